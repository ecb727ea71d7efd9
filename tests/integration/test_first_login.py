"""
Homes that are made, permission bits, and texts for people, with clients that others wrote.
"""

import ftplib
import io
import os
import shutil
import stat
from unittest import skipUnless

from tests.integration.harness import IntegrationTestCase, Site, hashPassword, sharedSite
from tests.integration.rawrfc913 import RawRFC913

ACCOUNTS = f"""
[[group]]
name = "guests"
umask = "027"
create_home = true
home_mode = "0710"
[[user]]
name = "carol"
password = "{hashPassword("sesame")}"
groups = ["guests"]
home = "/homes/%u"
[[user.rule]]
path = "/homes/carol"
allow = "elradfmwMT"
hidden = [".*"]
[[user]]
name = "dave"
password = "{hashPassword("sesame")}"
groups = ["guests"]
home = "/trap/%u"
[[user.rule]]
path = "/"
allow = "elradfmw"
[[user]]
name = "erin"
password = "{hashPassword("sesame")}"
groups = ["guests"]
home = "/owned/at/%u"
owner = 54321
owner_group = 54322
[[user.rule]]
path = "/"
allow = "elradfmw"
[anonymous]
enabled = true
networks = ["192.0.2.0/24"]
"""


class FirstLoginTests(IntegrationTestCase):
    """A server whose users have never been there."""

    def makeSite(self) -> Site:
        return sharedSite(
            "first login",
            accounts=ACCOUNTS,
            mount='links = "within-root"',
            ftp='welcome = "Hello\\n530 you"\nmessage_file = "READ.ME"',
            rfc913='welcome = "Hello"',
        )

    def login(self, user: str) -> ftplib.FTP:
        """A session of Python's own client."""
        client = ftplib.FTP(timeout=10)
        client.connect("127.0.0.1", self.site.ftp)
        self.addCleanup(client.close)
        client.login(user, "sesame")
        return client

    def mode(self, path: str) -> int:
        """The permission bits on disk."""
        return stat.S_IMODE((self.site.root / path).stat().st_mode)

    def test_home(self) -> None:
        """Made at the login with its bits; what is stored there lacks those of the umask."""
        shutil.rmtree(self.site.root / "homes", ignore_errors=True)
        client = self.login("carol")
        self.assertEqual(client.lastresp, "230")
        self.assertEqual(client.pwd(), "/homes/carol")
        self.assertEqual(self.mode("homes/carol"), 0o710)
        client.mkd("made")
        (self.local / "file").write_bytes(b"content")
        with open(self.local / "file", "rb") as file:
            client.storbinary("STOR file", file)
        client.sendcmd("SITE UMASK 000")
        client.mkd("made2")
        for path in ("file", "made", "made2"):
            self.assertEqual(self.mode(f"homes/carol/{path}") & 0o027, 0, path)
        self.assertRaises(ftplib.error_perm, client.mkd, ".hidden")

    @skipUnless(os.geteuid() == 0, "only root gives files away")
    def test_owner(self) -> None:
        """Home, directories, and files however they come about are the account's, as told."""
        client = self.login("erin")
        self.assertEqual(client.pwd(), "/owned/at/erin")
        client.mkd("made")
        for verb in ("STOR new", "STOU", "STOR new", "APPE appended", "STOR made/inner"):
            client.storbinary(verb, io.BytesIO(b"content"))
        client.sendcmd("COMB all new appended")
        with RawRFC913(self.site.rfc913) as client913:
            client913.command("USER erin")
            client913.command("PASS sesame")
            for command in ("CDIR /owned/at/erin", "STOR NEW simple", "SIZE 2"):
                client913.command(command)
            client913.send(b"ok")
            client913.reply()
        made = list((self.site.root / "owned/at").rglob("*"))
        # The home, a directory and what is in it, COMB's result, STOU's, and RFC 913's.
        self.assertEqual(len(made), 6, made)
        for each in made:
            self.assertEqual((each.stat().st_uid, each.stat().st_gid), (54321, 54322), each)
        self.assertEqual((self.site.root / "owned/at").stat().st_uid, 0)

    def test_links(self) -> None:
        """Nobody's home is made behind a link, not even inside the root."""
        (self.site.root / "elsewhere").mkdir()
        (self.site.root / "trap").symlink_to("elsewhere")
        self.assertEqual(self.login("dave").pwd(), "/trap")
        self.assertEqual(os.listdir(self.site.root / "elsewhere"), [])

    def test_texts(self) -> None:
        """The welcome and the message of a directory, once, and in step with the replies."""
        folder = self.site.root / "homes/carol/d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "READ.ME").write_text("Be kind.\n550 no\n")
        client = self.login("carol")
        self.assertEqual(client.pwd(), "/homes/carol")
        said = client.sendcmd("CWD d")
        self.assertEqual(
            said.splitlines(),
            ["250-Be kind.", " 550 no", "250 Directory changed to /homes/carol/d"],
        )
        self.assertEqual(client.sendcmd("CWD ."), "250 Directory changed to /homes/carol/d")
        curl = self.requireClient("curl")
        done = self.run_(
            curl, "-sSv", "-u", "carol:sesame",
            f"ftp://127.0.0.1:{self.site.ftp}/d/READ.ME",
        )  # fmt: skip
        self.assertIn(b"< 230-Hello", done.stdout)
        self.assertIn(b"< 250-Be kind.", done.stdout)
        with RawRFC913(self.site.rfc913) as client913:
            client913.command("USER carol")
            self.assertEqual(client913.command("PASS sesame"), b"! Logged in\r\nHello")

    def test_anonymous(self) -> None:
        """Those from other networks look like a wrong login."""
        self.assertRaises(ftplib.error_perm, self.login, "anonymous")
