"""
Accounts that a web service, a program or a database file knows; no C{[[user]]} at all.
"""

import atexit
import json
import shutil
import ssl
import sys
import sysconfig
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from filehub.accounts.database import openSQLite
from tests.certauthority import Authority
from tests.integration.harness import ANSWER, SOURCE, Site, hashPassword, sharedSite
from tests.integration.rawftp import RawFTP
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.services import AccountsTestCase

EVERYTHING = [{"path": "/", "allow": "elradfmwMT"}]

GROUPS = """
[[group]]
name = "all"
[[group.rule]]
path = "/"
allow = "elr"
"""

#: Lets C{pia} in, and fails for C{paul}.
PROGRAM = """
import json, sys
asked = json.load(sys.stdin)
if asked["name"] == "paul":
    print("no database today", file=sys.stderr)
    sys.exit(3)
if (asked["name"], asked["password"]) != ("pia", "sesame"):
    sys.exit(1)
print(json.dumps({"home": "/" + asked["protocol"]}))
"""


class Answering(BaseHTTPRequestHandler):
    """Lets C{wil} and C{..} in; C{wendy} is disabled, C{walt} and C{wanda} make no sense."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {
        "wil": (200, json.dumps({"rule": EVERYTHING}).encode()),
        "..": (200, b""),
        "wendy": (200, b'{"enabled": false}'),
        "walt": (200, b'{"home": 7}'),
        "wanda": (200, b'{"groups": 7}'),
        "long": (200, b"[" * 60_000),
        "away": (302, b""),
    }

    def do_POST(self) -> None:
        """The name decides, if the password is right."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        right = asked["password"] == "sesame" and self.headers["Authorization"] == "Bearer token"
        status, body = self.answers.get(asked["name"], (401, b"")) if right else (401, b"")
        if asked["name"] == "garbage":
            self.wfile.write(b"\0\1\2\r\n\r\n")
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The log of a test is no place for this."""


class Quiet(ThreadingHTTPServer):
    """What a client does not like is the business of the test."""

    def handle_error(self, request: object, client_address: object) -> None:
        """See L{ThreadingHTTPServer}."""


class Web:
    """
    A web service with a certificate of an authority of its own.
    """

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        self.authority = authority.write(folder / "authority.pem")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = authority.issue("web", hosts=["localhost"]).write(folder / "server.pem")
        self._context.load_cert_chain(pem)
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen (again), where it did before."""
        self._server = Quiet(("127.0.0.1", self.port), Answering)
        self.port = self._server.server_port
        self._server.socket = self._context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(ANSWER)


_running: list[tuple[Site, Web, Path]] = []


class HookTests(AccountsTestCase):
    """C{type = "http"}, C{"program"} and C{"sqlite"}, one after the other."""

    def makeSite(self) -> Site:
        if not _running:
            _running.append(self._start())
        site, self.web, self.file = _running[0]
        return site

    def _start(self) -> tuple[Site, Web, Path]:
        folder = Path(tempfile.mkdtemp(prefix="filehub-hooks-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        file = folder / "users.db"
        openSQLite(file, create=True).close()
        program = folder / "check"
        program.write_text(f"#!{sys.executable}\n{PROGRAM}")
        program.chmod(0o755)
        web = Web(folder)
        atexit.register(web.stop)
        sources = f"""
[[source]]
type = "http"
url = "https://127.0.0.1:{web.port}/wrong-name"
authority = "{web.authority}"
[[source]]
type = "http"
url = "https://localhost:{web.port}/check"
authority = "{web.authority}"
headers = {{ Authorization = "Bearer token" }}
[[source]]
type = "program"
command = ["{program}"]
groups = ["all"]
[[source]]
type = "sqlite"
file = "{file}"
"""
        # Nothing of it may go through a proxy that the environment names.
        prefix = ("env", "https_proxy=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1")
        site = sharedSite("hooks", accounts=GROUPS + sources, ban="delay = 0", prefix=prefix)
        return site, web, file

    def test_web(self) -> None:
        """Right, wrong, unknown; its settings count; another host's certificate does not."""
        with RawFTP(self.site.ftp).login("wil", "sesame") as client:
            self.assertEqual(client.command(f"MKD {self.virtual}/x").code, 257)
        self.assertRefused(("wil", "wrong"), ("wil", ""), ("nobody", "sesame"), ("wendy", "sesame"))
        self.assertLogged("http https://127.0.0.1", "certificate verify failed")

    def test_webNonsense(self) -> None:
        """Answers that are none: 530, and a line that says so."""
        self.assertRefused(
            *((each, "sesame") for each in ("walt", "wanda", "long", "away", "garbage", ".."))
        )
        self.assertLogged("the account walt cannot be used", "home")
        self.assertLogged("the account wanda cannot be used", "groups")
        self.assertLogged("expected a JSON object of settings")
        self.assertLogged("answers with 302")
        self.assertLogged("the account .. cannot be used")

    def test_webGone(self) -> None:
        """While it is gone its users get 530 and the log says why; others do not notice."""
        self.web.stop()
        try:
            self.assertRefused(("wil", "sesame"))
            self.assertLogged("https://localhost", "refused")
            self.assertLetIn("pia", "sesame")
        finally:
            self.web.start()
        self.assertLetIn("wil", "sesame")

    def test_program(self) -> None:
        """Right, wrong, and a program that fails; RFC 913 asks it as well."""
        (self.site.root / "ftp").mkdir(exist_ok=True)
        with RawFTP(self.site.ftp).login("pia", "sesame") as client:
            self.assertIn('"/ftp"', client.expect(257, "PWD"))
        self.assertRefused(("pia", "wrong"), ("pia", ""), ("paul", "sesame"))
        self.assertLogged("program", "ended with 3: no database today")
        RawRFC913(self.site.rfc913).login("pia", "sesame").connection.close()

    def test_changes(self) -> None:
        """What is changed in the database counts from the next login on."""
        tables = openSQLite(self.file)
        self.addCleanup(tables.close)
        tables.addUser("sam", hashPassword("one"), {"rule": EVERYTHING})
        self.addCleanup(tables.removeUser, "sam")
        self.assertLetIn("sam", "one")
        tables.setPassword("sam", hashPassword("two"))
        self.assertRefused(("sam", "one"))
        tables.changeUser("sam", {"rule": EVERYTHING, "enabled": False})
        self.assertRefused(("sam", "two"))
        tables.changeUser("sam", {"rule": [{"path": "/", "allow": "el"}]})
        with RawFTP(self.site.ftp).login("sam", "two") as client:
            self.assertEqual(client.command(f"MKD {self.virtual}/x").code, 550)
        tables.removeUser("sam")
        self.assertRefused(("sam", "two"))

    def test_checked(self) -> None:
        """C{filehub check} lists them all, and no secret."""
        done = self.run_(
            Path(sysconfig.get_path("scripts")) / "filehub", "check", self.site.configuration,
            COLUMNS="200", PYTHONPATH=str(SOURCE),
        )  # fmt: skip
        text = done.stdout.decode()
        for each in ("https://localhost", "program", str(self.file)):
            self.assertIn(each, text)
        self.assertNotIn("Bearer", text)
