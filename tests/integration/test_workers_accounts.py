"""
Several processes: accounts of a database, TLS, and the operator's view of all sessions.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from filehub.accounts.database import openSQLite
from tests.integration.harness import (
    ACCOUNTS,
    PATIENCE,
    Site,
    content,
    daemonEnvironment,
    hashPassword,
    until,
)
from tests.integration.rawftp import drain
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RRQ, RawTFTP, ack, request
from tests.integration.test_workers import WorkersTestCase


class AccountsTests(WorkersTestCase):
    """With two processes and users in SQLite; data connections have to resume sessions."""

    def makeSite(self) -> Site:
        self.users = Path(tempfile.mkdtemp(prefix="filehub-users-")) / "users.sqlite"
        self.addUser("eve", upload_quota=5_000)
        source = f'[[source]]\ntype = "sqlite"\nfile = "{self.users}"\n'
        return self.newSite(
            accounts=ACCOUNTS + source,
            server=self.server,
            tls=True,
            ftp='tls_sessions = "require"',
        )

    def addUser(self, name: str, **settings: object) -> None:
        rule = [{"path": "/", "allow": "elradfmwMT"}]
        with contextlib.closing(openSQLite(self.users, create=True)) as tables:
            tables.addUser(name, hashPassword("apple"), {"rule": rule, **settings})

    def filehub(self, *arguments: str) -> tuple[int, str]:
        """One of the operator's commands."""
        done = subprocess.run(
            [
                sys.executable, "-c", "from filehub.cli.main import main; main()",
                *arguments, "--config", str(self.site.configuration),
            ],
            env=daemonEnvironment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode()

    def who(self) -> list[dict[str, object]]:
        status, text = self.filehub("who", "--as-json")
        self.assertEqual(status, 0, text)
        return [json.loads(line) for line in text.splitlines()]

    def test_tls(self) -> None:
        """Data connections reach the process of their session, and resume its session only."""
        payload = content(200_000)
        (self.work / "file").write_bytes(payload)
        context = ssl.create_default_context(cafile=str(self.site.folder / "server.pem"))
        sessions = self.spread()
        for session in sessions:
            session.secure(context)
            session.login()
            for _ in range(3):
                self.assertSameContent(session.retrieve(f"RETR {self.virtual}/file"), payload)
        for session, other in (sessions, sessions[::-1]):
            # Each is the first with TLS in its process.
            assert isinstance(other.control, ssl.SSLSocket)
            received = b""
            with session.passive() as plain, contextlib.suppress(OSError):
                session.expect(150, f"RETR {self.virtual}/file")
                data = context.wrap_socket(
                    plain, server_hostname="files.test", session=other.control.session
                )
                received = drain(data)
            self.assertIn(session.final().code, (425, 522))
            self.assertNotIn(payload[:100], received)

    def test_added(self) -> None:
        """A user who is added gets into all of them; what he brings along holds over all."""
        self.addUser("fay", upload_quota=3_000)
        for name, limit in (("eve", 5_000), ("fay", 3_000)):
            first, second = self.spread()
            for session in (first, second):
                session.login(name, "apple")
            self.assertEqual(first.store(f"STOR {self.virtual}/a", bytes(limit - 1)).code, 226)
            self.assertEqual(second.store(f"STOR {self.virtual}/b", bytes(2)).code, 552)
            # It takes what fits, for whoever continues it.
            self.assertIn(f"{limit} of {limit} bytes", str(second.command("SITE QUOTA")))
            for session in (first, second):
                session.expect(221, "QUIT")

    def test_moved(self) -> None:
        """What has moved of a file that is on its way is told for each protocol alike."""
        (self.work / "small").write_bytes(bytes(2_000))
        session, _ = self.spread()
        session.login()
        with (
            RawRFC913(self.site.rfc913) as simple,
            RawTFTP(self.site.tftp) as trivial,
            session.passive() as data,
        ):
            session.expect(150, f"STOR {self.virtual}/a")
            data.sendall(bytes(5_000))
            simple.login()
            self.assertEqual(simple.command(f"STOR NEW {self.virtual}/b")[:1], b"+")
            self.assertEqual(simple.command("SIZE 9000")[:1], b"+")
            simple.send(bytes(4_000))
            trivial.ask(request(RRQ, f"{self.virtual}/small".encode()))
            trivial.answer(ack(1))
            expected = {("ftp", 5_000), ("rfc913", 4_000), ("tftp", 512)}

            def isTold() -> bool:
                rows = [row for row in self.who() if row["bytes"] is not None]
                return {(row["protocol"], row["bytes"]) for row in rows} == expected

            until(isTold, "all three are told")
            shown = self.filehub("who")[1]
            for moved in ("5.0 kB", "4.0 kB", "512 bytes", "B/s"):
                self.assertIn(moved, shown)
        self.assertEqual(session.final().code, 226)

    def test_who(self) -> None:
        """The sessions of all are listed, and ended, and one that was killed leaves nothing."""
        first, second = self.spread()
        first.login()
        with RawRFC913(self.site.rfc913) as simple:
            simple.login()
            rows = self.who()
            workers = {self.workerOf(each) for each in (first, second)}
            self.assertEqual({row["process"] for row in rows}, workers)
            self.assertEqual(
                {(row["protocol"], row["account"]) for row in rows},
                {("ftp", "ada"), ("ftp", None), ("rfc913", "ada")},
            )
            number = next(str(row["session"]) for row in rows if row["account"] is None)
            status, text = self.filehub("kick", number, "--reason", "house is closed")
            self.assertEqual(status, 0, text)
            self.assertRegex(str(second.reply()), "^421 .*house is closed")
            self.assertEqual(self.filehub("kick", "--user", "ada")[0], 0)
            self.assertEqual(first.reply().code, 421)
        until(lambda: self.who() == [], "all have gone")
        self.site.daemon.stop()
        self.assertEqual(self.filehub("who")[0], 1)
