"""
Texts for people: the welcome, and the messages of directories.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import RulePolicy
from filehub.paths import ROOT
from filehub.protocols.ftp.messages import MAXIMUM_MESSAGE
from filehub.protocols.ftp.settings import FTPSettings
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import policy, rules
from tests.accounts.verbs import link
from tests.protocols.ftp.doubles import Client

MESSAGES = FTPSettings(messageFile=".message")


class WelcomeTests(SynchronousTestCase):
    """C{welcome}"""

    def test_welcome(self) -> None:
        """It stands in front of 230, and no line of it can be taken for another reply."""
        client = Client(FTPSettings(welcome="Hello\n530 no\r\n\x1b[2J\n\nbye\n"))
        client.say("USER ann")
        self.assertEqual(
            client.say("PASS secret"),
            b"230-Hello\r\n 530 no\r\n ?[2J\r\n \r\n bye\r\n230 Logged in.\r\n",
        )

    def test_notBefore(self) -> None:
        """Who is not logged in does not see it."""
        client = Client(FTPSettings(welcome="Hello"))
        client.say("USER ann")
        self.assertEqual(client.say("PASS wrong"), b"530 Login incorrect.\r\n")

    def test_blank(self) -> None:
        """Without a word it is none."""
        client = Client(FTPSettings(welcome=" \n \n"))
        client.say("USER ann")
        self.assertEqual(client.say("PASS secret"), b"230 Logged in.\r\n")


class DirectoryMessageTests(SynchronousTestCase):
    """C{message_file}"""

    def client(self, tree: MemoryTree, settings: FTPSettings = MESSAGES) -> Client:
        return Client(settings, fileSystem=tree.viewFor("ann")).logIn()

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.tree.putFile("/d/.message", b"Be kind.\n226 done\r\n")
        self.tree.putDirectory("/e")

    def test_once(self) -> None:
        """Whenever a directory is entered first in a session, by whatever command."""
        client = self.client(self.tree)
        plain = b"250 Directory changed to /d\r\n"
        said = b"250-Be kind.\r\n 226 done\r\n" + plain
        self.assertEqual(client.say("CWD /d"), said)
        self.assertEqual(client.say("CWD /d"), plain)
        self.assertEqual(client.say("CWD /e"), b"250 Directory changed to /e\r\n")
        self.assertEqual(client.say("CWD ../d"), plain)
        client.logIn()
        self.assertEqual(client.say("CWD /d"), said)

    def test_off(self) -> None:
        """Nobody looks for one unless that is said."""
        client = self.client(self.tree, FTPSettings())
        self.assertEqual(client.say("CWD /d"), b"250 Directory changed to /d\r\n")

    def test_bounded(self) -> None:
        """A long one, or a long line, is cut."""
        self.tree.putFile("/d/.message", b"x\n" * MAXIMUM_MESSAGE)
        self.tree.putFile("/e/.message", b"y" * MAXIMUM_MESSAGE * 2)
        client = self.client(self.tree)
        self.assertEqual(len(client.say("CWD /d").splitlines()), 51)
        self.assertLess(len(client.say("CWD /e")), 600)

    def test_anyBytes(self) -> None:
        """What is no text is shown without harm: every line of it is indented."""
        self.tree.putFile("/d/.message", b"\xef\xbb\xbfa\0b\xff\n221 bye\r230 in\x85ok")
        said = self.client(self.tree).say("CWD /d")
        lines = said.split(b"\r\n")
        self.assertEqual(lines[0], b"250-a?b\xff\xff")
        self.assertEqual(lines[-2:], [b"250 Directory changed to /d", b""])
        for line in lines[1:-2]:
            self.assertTrue(line.startswith(b" "), line)

    def test_noFile(self) -> None:
        """A directory, or a link to nowhere, of that name is no message."""
        self.tree.putDirectory("/e/.message")
        self.tree.putDirectory("/f")
        link(self.tree, "/f/.message", "nowhere")
        client = self.client(self.tree)
        self.assertEqual(client.codes(["CWD /e", "CWD /f"]), [250, 250])

    def test_notReadable(self) -> None:
        """
        Without the permission to read it, by its own name or by that of what it leads
        to, it is not shown; where names are hidden neither.
        """
        self.tree.putFile("/secret/file", b"secret")
        self.tree.putDirectory("/way")
        link(self.tree, "/way/.message", "/secret/file")
        hidden = RulePolicy(rules({"/": "elr"}), (), {ROOT: NamePatterns(hidden=(".*",))})
        for rule, path in (
            (policy({"/": "el"}), "/d"),
            (policy({"/": "elr", "/secret": "el"}), "/way"),
            (hidden, "/d"),
        ):
            guarded = GuardedFileSystem(self.tree.viewFor("ann"), rule)
            client = Client(MESSAGES, fileSystem=guarded).logIn()
            said = client.say(f"CWD {path}")
            self.assertEqual(said, b"250 Directory changed to %s\r\n" % path.encode())
