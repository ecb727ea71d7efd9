"""
MFMT, MFCT and MFF.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.paths import ROOT
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import policy
from tests.protocols.ftp.doubles import Client


class ModifyingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client().logIn()
        self.client.tree.putFile("/a b", b"x")
        self.node = self.client.tree.find(ROOT.child("a b"))

    def test_MFF(self) -> None:
        """Several facts at once; what was set is said."""
        said = self.client.say("MFF Modify=20200102030405;UNIX.mode=0640; a b")
        self.assertEqual(said, b"213 Modify=20200102030405;UNIX.mode=0640; /a b\r\n")
        self.assertEqual((self.node.modified, self.node.mode), (1577934245.0, 0o640))
        said = self.client.say("mff unix.MODE=755; a b")
        self.assertEqual(said, b"213 UNIX.mode=0755; /a b\r\n")
        self.assertEqual(self.node.mode, 0o755)
        self.assertEqual(self.client.code("MFF modify=20210102030405.5; a b"), 213)

    def test_setId(self) -> None:
        """Set-id and sticky bits are quietly left out, as with SITE CHMOD."""
        self.assertIn(b"UNIX.mode=0755;", self.client.say("MFF UNIX.mode=6755; a b"))

    def test_wrong(self) -> None:
        """What cannot be set, or read, is refused, and then nothing at all is set."""
        before = self.node.modified, self.node.mode
        for facts, code in (
            ("UNIX.mode=600;Create=20200102030405;", 504), ("UNIX.mode=600;UNIX.owner=root;", 504),
            ("UNIX.mode=600;UNIX.group=root;", 504), ("UNIX.mode=600;colour=red;", 504),
            ("UNIX.mode=600;modify=yesterday;", 501), ("modify=20200102030405;UNIX.mode=9;", 501),
            ("UNIX.mode=600;modify;", 501), ("modify=20200102030405", 501),
            ("", 501), (";", 501),
        ):  # fmt: skip
            self.assertEqual(self.client.code(f"MFF {facts} a b"), code, facts)
            self.assertEqual((self.node.modified, self.node.mode), before)
        self.assertEqual(self.client.code("MFF UNIX.mode=600; none"), 550)

    def test_MFCT(self) -> None:
        """The time of creation is none of those things that can be set."""
        self.assertEqual(self.client.code("MFCT 20200102030405 a b"), 504)
        features = self.client.say("FEAT")
        self.assertNotIn(b"MFCT", features)
        self.assertIn(b"\r\n MFF Modify;UNIX.mode;\r\n", features)

    def test_permissions(self) -> None:
        """Times need T, modes need M, both need both."""
        tree = MemoryTree()
        tree.putFile("/f", b"x")
        for letters, expected in (("T", [213, 550, 550]), ("M", [550, 213, 550])):
            guarded = GuardedFileSystem(tree.viewFor("ann"), policy({"/": letters}))
            client = Client(fileSystem=guarded).logIn()
            modify, mode = "Modify=20200102030405;", "UNIX.mode=600;"
            lines = [f"MFF {facts} f" for facts in (modify, mode, modify + mode)]
            self.assertEqual(client.codes(lines), expected)
