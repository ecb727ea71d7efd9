"""
One account and one rule set, three protocols: what one stores the others read, and what
a rule denies is denied in all of them, with each protocol's own error.
"""

import os

from tests.integration.harness import IntegrationTestCase, Site, content, hashPassword
from tests.integration.rawftp import RawFTP
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RRQ, RawTFTP, TFTPError, request

LETTERS = "elradfmwMT"

#: C{carol} may do everything, but nothing in C{/secret} and no change in C{/fixed}.
CAROL = f"""
[[user]]
name = "carol"
password = "{hashPassword("sesame")}"
[[user.rule]]
path = "/"
allow = "{LETTERS}"
[[user.rule]]
path = "/secret"
allow = ""
[[user.rule]]
path = "/fixed"
allow = "elr"
[[network]]
address = "127.0.0.0/8"
account = "carol"
protocols = ["tftp"]
"""


def tftpCode(client: RawTFTP, call: str, *arguments: bytes) -> int:
    """The code of the error that a transfer ends in; -1 if it succeeds."""
    try:
        getattr(client, call)(*arguments)
    except TFTPError as failure:
        return int(failure.code)
    return -1


class OneRuleSetTests(IntegrationTestCase):
    """One account seen through three protocols."""

    def makeSite(self) -> Site:
        return self.newSite(accounts=CAROL)

    def setUp(self) -> None:
        super().setUp()
        self.root = self.site.root
        for name in ("secret", "fixed", "free"):
            (self.root / name).mkdir()
            (self.root / name / "file").write_bytes(name.encode())
        self.ftp = RawFTP(self.site.ftp).login("carol", "sesame")
        self.rfc913 = RawRFC913(self.site.rfc913).login("carol", "sesame")
        self.tftp = RawTFTP(self.site.tftp)
        for each in (self.ftp.control, self.rfc913.connection, self.tftp.socket):
            self.addCleanup(each.close)

    def test_storedByOneReadByAll(self) -> None:
        """What one protocol stores is the same file in the others."""
        data = content(70_000)
        self.ftp.store("STOR /free/ftp", data)
        self.tftp.write(b"/free/tftp", data)
        self.rfc913.store("NEW", "/free/rfc913", data)
        for name in ("ftp", "tftp", "rfc913"):
            path = f"/free/{name}"
            self.assertSameContent((self.root / path[1:]).read_bytes(), data)
            self.assertSameContent(self.ftp.retrieve(f"RETR {path}"), data)
            self.assertSameContent(RawTFTP(self.site.tftp).read(path.encode()), data)
            self.assertSameContent(self.rfc913.retrieve(path), data)

    def test_reading(self) -> None:
        """A file that the rule hides: 550, error 2 or 1, C{-}."""
        self.assertEqual(self.ftp.command("SIZE /secret/file").code, 550)
        self.ftp.passive()
        self.assertEqual(self.ftp.command("RETR /secret/file").code, 550)
        self.assertIn(tftpCode(self.tftp, "read", b"/secret/file"), (1, 2))
        self.assertEqual(self.rfc913.command("RETR /secret/file")[:1], b"-")

    def test_replacing(self) -> None:
        """A file that the rule protects: 550 or 553, error 2, C{-}; it stays as it is."""
        self.ftp.passive()
        self.assertIn(self.ftp.command("STOR /fixed/file").code, (550, 553))
        self.ftp.passive()
        self.assertIn(self.ftp.command("APPE /fixed/file").code, (550, 553))
        self.assertEqual(tftpCode(self.tftp, "write", b"/fixed/file", b"x"), 2)
        for how in ("OLD", "APP"):
            self.assertEqual(self.rfc913.command(f"STOR {how} /fixed/file")[:1], b"-")
        self.assertEqual((self.root / "fixed/file").read_bytes(), b"fixed")

    def test_making(self) -> None:
        """A new file where the rule allows none: the same, and none is made."""
        self.ftp.passive()
        self.assertIn(self.ftp.command("STOR /fixed/new").code, (550, 553))
        self.assertIn(self.ftp.command("MKD /fixed/new").code, (550, 553))
        self.assertEqual(tftpCode(self.tftp, "write", b"/fixed/new", b"x"), 2)
        self.assertEqual(self.rfc913.command("STOR NEW /fixed/new")[:1], b"-")
        self.assertNothingLeft(self.root / "fixed", "file")

    def test_removing(self) -> None:
        """Deleting and renaming, from and to a place that the rule protects."""
        for line in ("DELE /fixed/file", "RMD /fixed", "RMD /secret"):
            self.assertEqual(self.ftp.command(line).code, 550, line)
        self.assertEqual(self.rfc913.command("KILL /fixed/file")[:1], b"-")
        for source, target in (("/fixed/file", "/free/x"), ("/free/file", "/fixed/x")):
            if self.ftp.command(f"RNFR {source}").code == 350:
                self.assertIn(self.ftp.command(f"RNTO {target}").code, (550, 553))
            if self.rfc913.command(f"NAME {source}")[:1] == b"+":
                self.assertEqual(self.rfc913.command(f"TOBE {target}")[:1], b"-")
        self.assertNothingLeft(self.root / "fixed", "file")
        self.assertNothingLeft(self.root / "free", "file")
        self.assertNothingLeft(self.root / "secret", "file")

    def test_linksOut(self) -> None:
        """
        A symbolic link out of the root, to a file, in the middle of a path, and
        dangling: refused for reading and writing in all three.
        """
        outside = self.local / "outside"
        outside.mkdir()
        (outside / "file").write_bytes(b"outside")
        (self.root / "free/link").symlink_to(outside / "file")
        (self.root / "free/folder").symlink_to(outside)
        (self.root / "free/dangling").symlink_to(outside / "new")
        for name in ("link", "folder/file", "dangling", "folder/new"):
            path = f"/free/{name}"
            self.ftp.passive()
            self.assertEqual(self.ftp.command(f"RETR {path}").code, 550)
            self.ftp.passive()
            self.assertIn(self.ftp.command(f"STOR {path}").code, (550, 553))
            self.assertEqual(self.ftp.command(f"SIZE {path}").code, 550)
            self.assertIn(tftpCode(self.tftp, "read", path.encode()), (1, 2))
            self.assertIn(tftpCode(self.tftp, "write", path.encode(), b"x"), (1, 2))
            self.assertEqual(self.rfc913.command(f"RETR {path}")[:1], b"-")
            self.assertEqual(self.rfc913.command(f"STOR OLD {path}")[:1], b"-")
        for line in ("CWD /free/folder", "MKD /free/folder/made"):
            self.assertIn(self.ftp.command(line).code, (550, 553), line)
        self.assertEqual(self.rfc913.command("CDIR /free/folder")[:1], b"-")
        self.assertEqual(os.listdir(outside), ["file"])
        self.assertEqual((outside / "file").read_bytes(), b"outside")

    def test_strangeNames(self) -> None:
        """
        C{..}, backslash, over-long and not UTF-8: clamped at the root, taken as plain
        bytes, or refused; a NUL never cuts a name short.
        """
        (self.root / "top").write_bytes(b"top")
        for name in (b"/../../top", b"../top", b"/free/../../../top", b"//top", b"/./top"):
            self.assertEqual(self.ftp.retrieve(b"RETR " + name), b"top")
            self.assertEqual(RawTFTP(self.site.tftp).read(name), b"top")
            self.assertEqual(self.rfc913.retrieve(name), b"top")

        for name in (b"/free/x\xff\xfey", b"/free/..\\..\\x", b"/free/\xc0\xae\xc0\xae"):
            # FF is Telnet's IAC, so FTP doubles it.
            self.assertEqual(
                self.ftp.store(b"STOR " + name.replace(b"\xff", b"\xff\xff"), b"odd").code, 226
            )
            self.assertIn(name[6:], os.listdir(os.fsencode(self.root / "free")))
            self.assertEqual(self.rfc913.retrieve(name), b"odd")
            if b"\\" not in name:
                self.assertEqual(RawTFTP(self.site.tftp).read(name), b"odd")

        long = b"/free/" + b"x" * 256
        self.ftp.passive()
        self.assertIn(self.ftp.command(b"STOR " + long).code, (501, 550, 553))
        self.assertNotEqual(tftpCode(self.tftp, "write", long, b"x"), -1)
        self.assertEqual(self.rfc913.command(b"STOR NEW " + long)[:1], b"-")

        self.ftp.passive()
        self.assertEqual(self.ftp.command(b"RETR /top\0/no").code, 501)
        self.assertEqual(self.ftp.command(b"DELE /top\0").code, 501)
        self.tftp.socket.sendto(request(RRQ, b"/top\0/no"), self.tftp.server)
        try:
            self.assertEqual(self.tftp.receive(1.0)[:2], b"\0\5")
        except TimeoutError:
            pass
        self.assertTrue((self.root / "top").exists())


#: What each letter lets one do: letter -> lines of FTP of which at least one must pass
#: with it, and none without it.  C{DATA} marks those that need a data connection.
NEEDS = {
    "e": ["CWD /d"],
    "l": ["DATA LIST /d", "DATA NLST /d", "DATA MLSD /d", "STAT /d"],
    "r": ["DATA RETR /file"],
    "a": ["DATA APPE /file"],
    "d": ["DELE /file", "RMD /empty"],
    "f": ["RNFR /file RNTO /renamed"],
    "m": ["MKD /made"],
    "w": ["DATA STOR /stored", "DATA STOR /file", "DATA STOU"],
    "M": ["SITE CHMOD 600 /file"],
    "T": ["MFMT 20010909014640 /file"],
}


class EveryLetterTests(IntegrationTestCase):
    """
    An account for each permission letter that lacks it alone: whatever command asks for
    that permission is refused, in every protocol (row T-P12: a command that forgot).
    """

    def makeSite(self) -> Site:
        accounts = ""
        for number, letter in enumerate(LETTERS):
            accounts += f"""
[[user]]
name = "without{number}"
password = "{hashPassword("sesame")}"
[[user.rule]]
path = "/"
allow = "{LETTERS.replace(letter, "")}"
[[network]]
address = "127.0.9.{number}/32"
account = "without{number}"
protocols = ["tftp"]
"""
        accounts += f"""
[[user]]
name = "all"
password = "{hashPassword("sesame")}"
[[user.rule]]
path = "/"
allow = "{LETTERS}"
[[network]]
address = "127.0.9.99/32"
account = "all"
protocols = ["tftp"]
"""
        return self.newSite(accounts=accounts)

    def lay(self) -> None:
        root = self.site.root
        for name in ("d", "empty"):
            (root / name).mkdir(exist_ok=True)
        (root / "file").write_bytes(b"file")
        (root / "d" / "inner").write_bytes(b"inner")
        for name in ("made",):
            if (root / name).exists():
                (root / name).rmdir()
        for name in ("stored", "renamed"):
            (root / name).unlink(missing_ok=True)

    def passes(self, ftp: RawFTP, line: str) -> bool:
        """Does this line of L{NEEDS} succeed?"""
        self.lay()
        if line.startswith("RNFR"):
            first, _, second = line.partition(" RNTO")
            return ftp.command(first).code == 350 and ftp.command("RNTO" + second).code == 250
        if not line.startswith("DATA "):
            return ftp.command(line).code < 400
        with ftp.passive():
            reply = ftp.command(line[5:])
        return reply.code < 400 and ftp.final().code == 226

    def test_FTP(self) -> None:
        """Each command passes with all letters, and fails without its own."""
        with RawFTP(self.site.ftp).login("all", "sesame") as ftp:
            for lines in NEEDS.values():
                for line in lines:
                    self.assertTrue(self.passes(ftp, line), f"{line} with all letters")
        for number, letter in enumerate(LETTERS):
            with RawFTP(self.site.ftp).login(f"without{number}", "sesame") as ftp:
                for line in NEEDS[letter]:
                    self.assertFalse(self.passes(ftp, line), f"{line} without {letter}")

    def test_TFTP(self) -> None:
        """RRQ needs r, WRQ needs w."""
        self.lay()
        for number, letter in [*enumerate(LETTERS), (99, "")]:
            with RawTFTP(self.site.tftp, source=f"127.0.9.{number}") as client:
                code = tftpCode(client, "read", b"/file")
                self.assertEqual(code, 2 if letter == "r" else -1, f"read without {letter}")
            with RawTFTP(self.site.tftp, source=f"127.0.9.{number}") as client:
                code = tftpCode(client, "write", b"/stored", b"x")
                if letter == "w":
                    self.assertEqual(code, 2)
                elif letter == "":
                    self.assertEqual(code, -1)

    def test_RFC913(self) -> None:
        """LIST needs l, RETR r, STOR w or a, KILL d, NAME and TOBE f, CDIR e."""
        needs = {"LIST F /d": "l", "RETR /file": "r", "STOR NEW /stored": "w",
                 "STOR APP /file": "a", "KILL /file": "d", "CDIR /d": "e"}  # fmt: skip
        for number, letter in [*enumerate(LETTERS), (99, "")]:
            user = f"without{number}" if letter else "all"
            with RawRFC913(self.site.rfc913).login(user, "sesame") as client:
                for line, needed in needs.items():
                    self.lay()
                    passed = client.command(line)[:1] != b"-"
                    if needed == letter:
                        self.assertFalse(passed, f"{line} without {letter}")
                    elif not letter:
                        self.assertTrue(passed, f"{line} with all letters")
                self.lay()
                moved = client.command("NAME /file")[:1] == b"+" and (
                    client.command("TOBE /renamed")[:1] == b"+"
                )
                if letter in ("f", ""):
                    self.assertEqual(moved, letter == "")

    def test_withoutLogin(self) -> None:
        """Without a login every command but those of the greeting is refused with 530."""
        self.lay()
        free = {"USER", "PASS", "ACCT", "QUIT", "NOOP", "SYST", "HELP", "FEAT", "OPTS",
                "CLNT", "REIN", "STAT", "AUTH", "PBSZ", "PROT", "HOST", "LANG",
                "CSID"}  # fmt: skip
        with RawFTP(self.site.ftp) as ftp:
            listed = ftp.expect(214, "HELP")
            verbs = {word for word in listed.upper().replace("*", " ").split()
                     if word.isalpha() and 3 <= len(word) <= 4}  # fmt: skip
            self.assertIn("RETR", verbs)
            for verb in sorted(verbs - free):
                reply = ftp.command(f"{verb} /file")
                self.assertIn(reply.code, (530, 500, 502, 503), f"{verb}: {reply}")
        self.assertEqual((self.site.root / "file").read_bytes(), b"file")
