"""
Services that know accounts, started for tests: by a user who may do nothing, on ports of
loopback, with all that they write in a folder of their own.
"""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.certauthority import Authority
from tests.integration.harness import ANSWER, PATIENCE, IntegrationTestCase
from tests.integration.rawftp import RawFTP
from tests.ports import freePort

#: Who runs them, where the tests are the superuser's.
NOBODY = "nobody"


class AccountsTestCase(IntegrationTestCase):
    """Logins that somebody else decides about."""

    def answer(self, name: str, password: str) -> int:
        """The code of the reply to this password."""
        with RawFTP(self.site.ftp) as client:
            client.expect(331, f"USER {name}")
            return client.command(f"PASS {password}").code

    def assertLetIn(self, name: str, password: str) -> None:
        """This is the password of an account."""
        self.assertEqual(self.answer(name, password), 230, f"{name}: {self.site.daemon.log()}")

    def assertRefused(self, *logins: tuple[str, str]) -> None:
        """Each of these names and passwords gets 530."""
        self.assertEqual({each: self.answer(*each) for each in logins}, dict.fromkeys(logins, 530))

    def assertLogged(self, *words: str) -> None:
        """A line of the log has all of these."""
        lines = self.site.daemon.log().splitlines()
        found = [line for line in lines if all(word in line for word in words)]
        self.assertTrue(found, self.site.daemon.log())


class Service:
    """
    A program that is asked over TCP.  It is gone when the tests have ended.

    @ivar folder: what it writes is here.
    @ivar port: where it listens.
    @cvar ending: the signal that ends it without waiting for its clients.
    """

    ending = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="filehub-service-"))
        self.port = freePort()
        self.process: subprocess.Popen[bytes] | None = None
        # Also if it turns out not to work.
        atexit.register(self.remove)

    def command(self) -> Sequence[str]:
        """What starts it, in the foreground."""
        raise AssertionError("each service has its own")

    def own(self) -> None:
        """Make everything in the folder that user's who runs it."""
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, NOBODY)

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command as the service's user; it must succeed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            user=_user(),
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"{command} exited with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def start(self) -> None:
        """Start it (again); it listens when this returns."""
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, user=_user(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        limit = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > limit:
                self.stop()
                text = (self.folder / "service.log").read_text(errors="replace")
                raise AssertionError(f"{self.command()[0]} does not listen:\n{text}")
            time.sleep(0.02)

    def answers(self) -> bool:
        """Does it accept connections?"""
        with socket.socket() as probe:
            probe.settimeout(ANSWER)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None:
            self.process.send_signal(self.ending)
            try:
                self.process.wait(ANSWER)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(ANSWER)
            self.process = None

    def remove(self) -> None:
        """End it and forget all that it knows."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _user() -> int | None:
    return pwd.getpwnam(NOBODY).pw_uid if os.geteuid() == 0 else None


class PostgreSQL(Service):
    """
    A database C{accounts} with two roles: C{filehub}, password C{db secret}, may do
    everything in it, and C{reader}, the same password, may not make tables.
    """

    ending = signal.SIGINT

    def __init__(self, programs: Path) -> None:
        """
        @param programs: the folder with C{initdb} and C{postgres}.
        """
        super().__init__()
        self._programs = programs
        self.own()
        self.run(
            str(programs / "initdb"), "-D", "data", "-U", "postgres", "-E", "UTF8",
            "--locale=C", "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256",
        )  # fmt: skip
        self.start()
        self.execute(
            "CREATE ROLE filehub LOGIN PASSWORD 'db secret'",
            "CREATE ROLE reader LOGIN PASSWORD 'db secret'",
            "CREATE DATABASE accounts OWNER filehub",
            database="postgres",
        )

    def command(self) -> Sequence[str]:
        """See L{Service.command}."""
        return [
            str(self._programs / "postgres"), "-D", "data", "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}",
            "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=20",
        ]  # fmt: skip

    def answers(self) -> bool:
        """See L{Service.answers}; it is a little later that it knows anything."""
        done = subprocess.run(
            [self._programs / "pg_isready", "-h", self.folder, "-p", str(self.port), "-q"],
            timeout=ANSWER,
            check=False,
        )
        return done.returncode == 0

    def execute(self, *statements: str, database: str = "accounts") -> None:
        """Run these as the superuser of the database, each for itself."""
        import psycopg

        address = f"host={self.folder} port={self.port} user=postgres dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def url(self, role: str = "filehub", password: str = "db%20secret") -> str:
        """Its address, for a configuration."""
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/accounts"


class Directory(Service):
    """
    A directory with the entries that it is given.

    @ivar secure: the port of C{ldaps://}.
    @ivar authority: the file of the authority that signed its certificate, which is for
        C{localhost}.
    @ivar administrator: who may do everything; the password is C{admin secret}.
    """

    suffix = "dc=example,dc=org"
    administrator = f"cn=admin,{suffix}"

    def __init__(self, program: str, entries: str) -> None:
        """
        @param program: C{slapd}.
        @param entries: LDIF; the suffix is there already.
        """
        super().__init__()
        self._program = program
        self.secure = freePort()
        authority = Authority()
        self.authority = authority.write(self.folder / "authority.pem")
        issued = authority.issue("directory", hosts=["localhost"])
        pem = issued.write(self.folder / "server.pem")
        (self.folder / "data").mkdir()
        modules = [f"moduleload {each}" for each in ("back_mdb", "memberof")]
        schemas = [f"include /etc/ldap/schema/{each}.schema" for each in ("core", "cosine", "nis")]
        lines = [
            "modulepath /usr/lib/ldap",
            *modules,
            *schemas,
            "include /etc/ldap/schema/inetorgperson.schema",
            f"TLSCertificateFile {pem}",
            f"TLSCertificateKeyFile {pem}",
            f"TLSCACertificateFile {self.authority}",
            "database mdb",
            f'suffix "{self.suffix}"',
            f'rootdn "{self.administrator}"',
            'rootpw "admin secret"',
            f"directory {self.folder / 'data'}",
            "dbnosync",
            "overlay memberof",
            # Who is nobody may compare passwords, and see nothing.
            "access to attrs=userPassword by anonymous auth by * none",
            "access to * by users read by * none",
        ]
        (self.folder / "slapd.conf").write_text("\n".join(lines) + "\n")
        self.own()
        self.start()
        self.add(
            f"dn: {self.suffix}\nobjectClass: dcObject\nobjectClass: organization\n"
            f"dc: example\no: example\n\n{entries}"
        )

    def command(self) -> Sequence[str]:
        """See L{Service.command}."""
        listening = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.secure}"
        return [self._program, "-f", "slapd.conf", "-h", listening, "-d", "0"]

    def add(self, entries: str) -> None:
        """Add entries, one after the other; LDIF without continuations."""
        with self.connection() as connection:
            for block in entries.split("\n\n"):
                attributes: dict[str, list[str]] = {}
                for line in block.strip().splitlines():
                    key, _, value = line.partition(": ")
                    attributes.setdefault(key, []).append(value)
                (name,) = attributes.pop("dn")
                connection.add(name, attributes=attributes)

    def connection(self) -> Any:
        """As the administrator; what goes wrong is raised."""
        import ldap3

        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE)
        return ldap3.Connection(
            server, self.administrator, "admin secret", auto_bind=True, raise_exceptions=True
        )
