"""
The commands of C{filehub sh}, and its completion, without a terminal.
"""

from __future__ import annotations

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.cli.completion import ShellCompleter, lastWord, quoted
from filehub.cli.shellcommands import Shell, UsageError
from filehub.errors import NotADirectory, NotFound
from filehub.remotes.base import Remote
from filehub.remotes.url import Location, parseLocation
from tests.remotes.test_copying import FakeRemote, outcomeOf


class ShellTests(SynchronousTestCase):
    """L{Shell}"""

    def setUp(self) -> None:
        self.fake = FakeRemote({"d": None, "d/e": None, "d/f": b"text", "g": b"123"})
        self.printed: list[str] = []
        self.shell = self.open("ftp://host/")

    def open(self, url: str) -> Shell:
        async def connect(location: Location) -> Remote:
            return self.fake

        def display() -> None:
            raise AssertionError("nothing is copied here")

        shell = Shell(connect, parseLocation(url), display, Clock(), self.printed.append)
        outcomeOf(shell.open())
        return shell

    def run_(self, *lines: str) -> str:
        del self.printed[:]
        for line in lines:
            outcomeOf(self.shell.run(line))
        return "\n".join(self.printed)

    def test_cd(self) -> None:
        """Directories are entered and left; what is none is not entered."""
        self.assertIn("e", self.run_("cd d", "ls -1").split())
        self.assertEqual(self.run_("pwd"), "ftp://host/d")
        self.assertIn("g", self.run_("cd e/../..", "ls -1").split())
        for line, error in (("cd nope", NotFound), ("cd g", NotADirectory)):
            with self.assertRaises(error):
                self.run_(line)

    def test_startDirectory(self) -> None:
        """The URL's directory is where the shell begins, and C{cd} returns to."""
        self.shell = self.open("ftp://host/d")
        self.assertEqual(self.run_("cd e", "cd", "pwd"), "ftp://host/d")

    def test_change(self) -> None:
        """rm, mv and mkdir act on the server."""
        self.run_("mkdir -p x/y", "mv g x", "rm d/f", "rm -r d")
        self.assertEqual(self.fake.tree, {"x": None, "x/y": None, "x/g": b"123"})

    def test_quoting(self) -> None:
        """Names are quoted as in a shell; comments are nothing."""
        self.run_("mkdir 'a b'", "mkdir c\\ d", "# nothing", "")
        self.assertIn("a b", self.fake.tree)
        self.assertIn("c d", self.fake.tree)

    def test_wrong(self) -> None:
        """What is written wrong is said with what was expected."""
        for line in ("nope", "ls a b", "mv a", "rm", "ls -z", "get 'open", "__init__"):
            with self.assertRaises(UsageError):
                self.run_(line)

    def test_quit(self) -> None:
        """It ends when it is told to."""
        self.assertFalse(self.shell.ended)
        self.run_("quit")
        self.assertTrue(self.shell.ended)

    def test_help(self) -> None:
        """Every command is in the help."""
        self.assertEqual(len(self.run_("help").splitlines()), 14)


class CompletionTests(SynchronousTestCase):
    """L{ShellCompleter}"""

    def complete(self, text: str) -> list[str]:
        names = {"": ["file", "folder/", "a b", ".hidden"], "folder/": ["inner"]}
        completer = ShellCompleter(lambda directory: names.get(directory, []))
        found = completer.get_completions(Document(text), CompleteEvent())
        return [each.text for each in found]

    def test_commands(self) -> None:
        """The first word is a command."""
        self.assertEqual(self.complete("l"), ["lcd ", "lls ", "lpwd ", "ls "])

    def test_remoteNames(self) -> None:
        """Others are names on the server, quoted where needed, hidden ones if asked for."""
        self.assertEqual(self.complete("get f"), ["file", "folder/"])
        self.assertEqual(self.complete("get -c folder/"), ["folder/inner"])
        self.assertEqual(self.complete("rm "), ["a\\ b", "file", "folder/"])
        self.assertEqual(self.complete("cat ."), [".hidden"])

    def test_words(self) -> None:
        """Quoting is undone, and done again."""
        self.assertEqual(lastWord("get a\\ b"), (4, "a b"))
        self.assertEqual(lastWord("get 'a b"), (4, "a b"))
        self.assertEqual(lastWord(f"x {quoted('its #1')}")[1], "its #1")
