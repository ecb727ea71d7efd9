"""
The name space, SITE, and what a client is told.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.attributes import AttributeChanges
from filehub.errors import OperationNotSupported
from filehub.paths import ROOT
from filehub.protocols.ftp.commands import COMMANDS, GENERAL_FEATURES
from filehub.protocols.ftp.settings import FTPSettings
from tests.accounts.doubles import policy
from tests.protocols.ftp.doubles import Client, finalCodes


class FileServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client().logIn()
        self.tree = self.client.tree
        self.tree.putFile("/f", b"0123456789")
        self.tree.putDirectory("/d/e")


class DirectoryTests(FileServiceTests):
    def pwd(self) -> bytes:
        """What PWD says between the quotes."""
        said = self.client.say("PWD")
        match = re.fullmatch(rb'257 "(.*)" is current\.\r\n', said)
        assert match is not None, said
        return match[1]

    def test_moving(self) -> None:
        """T-P1: CWD in all its forms stays below the root."""
        for line, where in (
            ("CWD d", b"/d"), ("CWD e/", b"/d/e"), ("CWD ..", b"/d"), ("CWD .", b"/d"),
            ("CWD //d//e//", b"/d/e"), ("CDUP", b"/d"), ("XCUP", b"/"), ("CDUP", b"/"),
            ("CWD ../../..", b"/"), ("XCWD /d/e", b"/d/e"), ("CWD", b"/"), ("CWD /../d", b"/d"),
        ):  # fmt: skip
            self.assertEqual(self.client.code(line), 250, line)
            self.assertEqual(self.pwd(), where, line)
        self.assertEqual(self.client.code("XPWD"), 257)

    def test_nowhere(self) -> None:
        """CWD to a file, to nothing, to C{~}: 550, and we stay where we are."""
        self.assertEqual(self.client.codes(["CWD f", "CWD none", "CWD ~", "CWD ..\\d"]), [550] * 4)
        self.assertEqual(self.pwd(), b"/")

    def test_notAllowed(self) -> None:
        """Without the permission to enter it is 550, whether or not there is a directory."""
        guarded = GuardedFileSystem(self.tree.viewFor("ann"), policy({"/": "lr"}))
        client = Client(fileSystem=guarded).logIn()
        said = client.say("CWD d")
        self.assertEqual(said, b"550 /d: permission denied\r\n")
        self.assertEqual(client.say("CWD none"), said.replace(b"/d", b"/none"))
        self.assertEqual(client.code("CDUP"), 550)

    def test_removedMeanwhile(self) -> None:
        """T-P10: in a directory that is gone, only CWD helps."""
        self.client.codes(["CWD d/e", "RMD /d/e"])
        self.assertEqual(finalCodes(self.client.retrieve("LIST")[0]), [550])
        self.assertEqual(self.client.codes(["CWD .", "CDUP"]), [550, 250])

    def test_quotes(self) -> None:
        """B10: quotes in 257 are doubled."""
        self.assertEqual(self.client.say('MKD a"b'), b'257 "/a""b" created.\r\n')
        self.client.code('CWD a"b')
        self.assertEqual(self.pwd(), b'/a""b')

    def test_making(self) -> None:
        """MKD says the whole path; an existing one is told in the words clients know."""
        self.assertEqual(self.client.say("MKD d/new"), b'257 "/d/new" created.\r\n')
        self.assertEqual(self.client.say("XMKD d/new"), b"550 /d/new: Directory already exists\r\n")
        self.assertEqual(self.client.codes(["MKD none/x", "MKD f/x", "MKD f"]), [550, 550, 550])

    def test_removing(self) -> None:
        """T-P10: RMD is for empty directories, DELE for files, the root stays."""
        lines = ["RMD d", "RMD f", "RMD none", "DELE d", "DELE none", "RMD /", "DELE /"]
        self.assertEqual({code // 100 for code in self.client.codes(lines)}, {5})
        self.assertEqual(self.client.codes(["RMD d/e", "XRMD d", "DELE f"]), [250, 250, 250])
        self.assertEqual(self.client.retrieve("NLST")[1], b"")

    def test_spaces(self) -> None:
        """Spaces belong to names, at both ends."""
        self.client.store("STOR  a ", b"1")
        self.assertEqual(self.tree.content("/ a "), b"1")
        self.assertEqual(self.client.codes(["SIZE a", "SIZE  a "]), [550, 213])

    def test_anyBytes(self) -> None:
        """T-P4: names that are not UTF-8 come back as they were."""
        self.client.say(b"MKD \xe9\xfe")
        self.client.say(b"CWD \xe9\xfe")
        self.assertEqual(self.pwd(), b"/\xe9\xfe")

    def test_NUL(self) -> None:
        """T-P3: NUL is refused before anything is looked at."""
        for verb in (
            "RETR",
            "STOR",
            "MKD",
            "DELE",
            "CWD",
            "SIZE",
            "RNFR",
            "STAT",
            "SITE CHMOD 644",
        ):
            self.assertEqual(self.client.code(f"{verb} a\0b"), 501, verb)

    def test_longNames(self) -> None:
        """T-P6: names and paths beyond the limits are 553."""
        self.assertEqual(self.client.code("MKD " + "x" * 256), 553)
        self.assertEqual(self.client.code("CWD " + "/x" * 129), 553)


class RenameTests(FileServiceTests):
    def test_rename(self) -> None:
        """RNFR, RNTO."""
        self.assertEqual(self.client.codes(["RNFR f", "RNTO d/g"]), [350, 250])
        self.assertEqual(self.tree.content("/d/g"), b"0123456789")

    def test_replaces(self) -> None:
        """An existing file is replaced, as every FTP server does."""
        self.tree.putFile("/g", b"old")
        self.assertEqual(self.client.codes(["RNFR f", "RNTO g"]), [350, 250])
        self.assertEqual(self.tree.content("/g"), b"0123456789")

    def test_missing(self) -> None:
        """RNFR of nothing is 550 at once; RNTO then has nothing to rename."""
        self.assertEqual(self.client.codes(["RNFR none", "RNTO x"]), [550, 503])

    def test_sequence(self) -> None:
        """T-D19: RNTO must follow directly, and once."""
        self.assertEqual(self.client.codes(["RNFR f", "NOOP", "RNTO g"]), [350, 200, 503])
        self.assertEqual(self.client.codes(["RNFR f", "BLAH", "RNTO g"]), [350, 500, 503])
        self.assertEqual(self.client.codes(["RNFR f", "RNTO none/x", "RNTO g"]), [350, 550, 503])
        self.assertEqual(self.client.code("RNTO g"), 503)

    def test_onDirectory(self) -> None:
        """A directory is not replaced by a file."""
        self.assertEqual(self.client.codes(["RNFR f", "RNTO d"]), [350, 553])


class FactTests(FileServiceTests):
    def test_size(self) -> None:
        """Exact, of files, and not in TYPE A."""
        self.assertEqual(self.client.say("SIZE f"), b"213 10\r\n")
        self.assertEqual(self.client.codes(["SIZE d", "SIZE none"]), [550, 550])
        self.client.code("TYPE A")
        self.assertIn(b"550 SIZE is not allowed in ASCII mode", self.client.say("SIZE f"))

    def test_modified(self) -> None:
        """MDTM tells what MFMT set."""
        self.assertEqual(
            self.client.say("MFMT 20200102030405 f"), b"213 Modify=20200102030405; /f\r\n"
        )
        self.assertEqual(self.client.say("MDTM f"), b"213 20200102030405\r\n")
        self.assertEqual(self.client.codes(["MDTM none", "MFMT 20200102030405 none"]), [550, 550])
        for bad in ("f", "2020 f", "20201302030405 f", "20200102030405", "2020010203040\u0665 f"):
            self.assertEqual(self.client.code(f"MFMT {bad}"), 501, bad)

    def test_modifiedByMDTM(self) -> None:
        """MDTM with a time sets it, unless a file is called so."""
        self.assertEqual(
            self.client.say("MDTM 20200102030405 f"), b"213 Modify=20200102030405; /f\r\n"
        )
        self.tree.putFile("/20200102030405 f", b"")
        self.client.code("MFMT 20210102030405 20200102030405 f")
        self.assertEqual(self.client.say("MDTM 20200102030405 f"), b"213 20210102030405\r\n")

    def test_facts(self) -> None:
        """MLST: exactly one space before the name, which is the whole path."""
        self.client.say("OPTS MLST type;size;perm;")
        self.assertEqual(
            self.client.say("MLST f"),
            b"250-Facts about /f:\r\n type=file;size=10;perm=adfrw; /f\r\n250 End\r\n",
        )
        self.assertIn(b"\r\n type=dir;perm=cdeflmp; /\r\n", self.client.say("MLST"))
        self.assertEqual(self.client.code("MLST none"), 550)

    def test_links(self) -> None:
        """SIZE, MDTM and MLST are about what a link leads to."""
        self.tree.links = "within-root"
        link = self.tree.viewFor("ann").makeLink(ROOT.child("l"), "f")
        self.assertRaises(StopIteration, link.send, None)
        self.assertEqual(self.client.say("SIZE l"), b"213 10\r\n")
        self.assertIn(b"type=file;size=10;", self.client.say("MLST l"))
        self.assertEqual(self.client.retrieve("RETR d")[1], b"")


class SiteTests(FileServiceTests):
    def setUp(self) -> None:
        super().setUp()
        self.changes: list[tuple[str, AttributeChanges]] = []
        test = self

        class Storage:
            async def setAttributes(self, path: Any, changes: AttributeChanges) -> None:
                test.changes.append((str(path), changes))

        self.client = Client(fileSystem=Storage()).logIn()

    def test_mode(self) -> None:
        """T-P11: octal digits; set-id and sticky bits are left out."""
        for text, mode in (("644", 0o644), ("0755", 0o755), ("4777", 0o777), ("000", 0)):
            self.assertEqual(self.client.code(f"SITE CHMOD {text} a b"), 200, text)
            self.assertEqual(self.changes.pop(), ("/a b", AttributeChanges(mode=mode)))
        for bad in (
            "-1 f",
            "99999999 f",
            "0o7 f",
            "8 f",
            "64 f",
            "644",
            "\u0666\u0664\u0664 f",
            "u+x f",
        ):
            self.assertEqual(self.client.code(f"site chmod {bad}"), 501, bad)

    def test_times(self) -> None:
        """Both spellings of UTIME, also for names with spaces."""
        self.client.code("SITE UTIME 20200102030405 a b")
        self.client.code("SITE UTIME 202001020304 f")
        self.client.code("SITE UTIME a b 20200102030405 20210102030405 20200102030405 UTC")
        self.assertEqual(
            self.changes,
            [
                ("/a b", AttributeChanges(modified=1577934245.0)),
                ("/f", AttributeChanges(modified=1577934240.0)),
                ("/a b", AttributeChanges(accessed=1577934245.0, modified=1609556645.0)),
            ],
        )
        for bad in ("f", "x f", "20200102030405", "f x 20210102030405 20200102030405 UTC"):
            self.assertEqual(self.client.code(f"SITE UTIME {bad}"), 501, bad)

    def test_unsupported(self) -> None:
        """Storage without modes says so."""

        class Storage:
            async def setAttributes(self, path: Any, changes: AttributeChanges) -> None:
                raise OperationNotSupported(path)

        client = Client(fileSystem=Storage()).logIn()
        self.assertEqual(client.code("SITE CHMOD 644 f"), 504)

    def test_help(self) -> None:
        """SITE HELP, and HELP SITE, list what there is; the rest is 500."""
        said = self.client.say("SITE HELP")
        self.assertEqual(said, self.client.say("HELP SITE"))
        self.assertIn(b"\r\n SITE CHMOD mode path\r\n", said)
        self.assertEqual(finalCodes(said), [214])
        self.assertEqual(self.client.codes(["SITE EXEC ls", "SITE"]), [500, 501])


class InformationTests(FileServiceTests):
    def test_system(self) -> None:
        """SYST to the byte."""
        self.assertEqual(Client().say("SYST"), b"215 UNIX Type: L8\r\n")

    def test_beforeLogin(self) -> None:
        """FEAT, HELP, NOOP, CLNT, OPTS, QUIT work without a login."""
        client = Client()
        lines = ["FEAT", "HELP", "NOOP", "CLNT x", "OPTS UTF8 ON", "QUIT"]
        self.assertEqual(client.codes(lines), [211, 214, 200, 200, 200, 221])

    def test_features(self) -> None:
        """FEAT to the byte: 211-, lines with one space in order, 211 End."""
        first, *lines, last, rest = Client().say("FEAT").split(b"\r\n")
        self.assertEqual((first, last, rest), (b"211-Features:", b"211 End", b""))
        for line in lines:
            self.assertRegex(line, rb"\A [!-~]+( [!-~]+)*\Z")
        self.assertEqual(lines, sorted(set(lines)))
        for feature in (
            b"CLNT", b"EPRT", b"EPSV", b"MDTM", b"MFMT", b"PASV", b"REST STREAM", b"SIZE", b"TVFS",
            b"MLST type*;size*;modify*;perm*;unique*;UNIX.mode*;UNIX.owner*;UNIX.group*;", b"UTF8",
        ):  # fmt: skip
            self.assertIn(b" " + feature, lines)

    def test_truthfulFeatures(self) -> None:
        """FEAT has a line for each extension that HELP has, and no other, however it is set."""
        for settings in (
            FTPSettings(),
            FTPSettings(tls="optional", allowCCC=True, allowFXP=True, deflate=True),
            FTPSettings(tls="required", active=False, checksums=False),
            FTPSettings(disabled=frozenset(("EPSV", "MLST", "REST", "SITE CHMOD", "HOST"))),
            FTPSettings(announceUTF8=False, charset="iso8859-1"),
        ):
            client = Client(settings)
            words = client.say("HELP").decode().split()
            wanted = {
                spec.feature for spec in COMMANDS if spec.feature is not None and spec.verb in words
            } | set(GENERAL_FEATURES)
            for feature, isOn in (
                ("MODE Z", settings.deflate),
                ("CCC", settings.allowCCC),
                ("UTF8", settings.charset is None and settings.announceUTF8),
            ):
                if not isOn:
                    wanted.discard(feature)
            lines = client.say("FEAT").decode().split("\r\n")[1:-2]
            told = {line.strip() for line in lines}
            self.assertEqual(
                {each.split()[0] for each in told}, {each.split()[0] for each in wanted}, settings
            )

    def test_help(self) -> None:
        """HELP names every enabled command, HELP with a command explains it."""
        words = set(self.client.say("HELP").split())
        self.assertNotIn(b"AUTH", words)
        for spec in COMMANDS:
            if spec.switch in ("offersTLS", "offersProtectedFXP", "virtualHosts"):
                continue
            self.assertIn(spec.verb.encode(), words)
            self.assertEqual(
                self.client.say(f"HELP {spec.verb.lower()}")[:4],
                b"214-" if spec.verb == "SITE" else b"214 ",
            )
        self.assertEqual(self.client.code("HELP BLAH"), 502)

    def test_status(self) -> None:
        """STAT tells who is connected, and in which state."""
        said = self.client.say("STAT")
        self.assertEqual(finalCodes(said), [211])
        for part in (b"192.0.2.1", b"ann", b"TYPE: Image", b"No data connection"):
            self.assertIn(part, said)
        self.client.code("PASV")
        self.assertIn(b"Waiting for a transfer", self.client.say("STAT"))

    def test_statusInTransfer(self) -> None:
        """T-D13: STAT during a transfer is answered at once, with the progress."""
        self.client.code("PASV")
        stream = self.client.data.stream
        stream.receive(b"x" * 1000)
        self.client.say("STOR new")
        self.client.clock.advance(3)
        said = self.client.say("STAT")
        self.assertEqual(finalCodes(said), [211])
        self.assertIn(b"STOR /new: 1000 bytes in 3 s", said)
        stream.receive(b"")
        self.assertEqual(finalCodes(self.client.take()), [226])

    def test_statusOfPathInTransfer(self) -> None:
        """STAT with a path waits for its turn."""
        self.client.code("PASV")
        stream = self.client.data.stream
        self.client.say("STOR new")
        self.assertEqual(self.client.say("STAT f"), b"")
        stream.receive(b"")
        self.assertEqual(finalCodes(self.client.take()), [226, 213])
