"""
The tables of commands and errors cover what there is.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub import errors
from filehub.errors import FileHubError
from filehub.paths import ROOT
from filehub.protocols.ftp.commands import COMMANDS, KNOWN, REFUSED
from filehub.protocols.ftp.replies import CODES, INTERNAL_ERROR, failure, quoted
from filehub.protocols.ftp.settings import FTPSettings
from filehub.protocols.ftp.verbs import FUNCTIONS, enabledVerbs
from tests.protocols.ftp.doubles import EVERYTHING, Client


def leaves(kind: type[FileHubError]) -> set[type[FileHubError]]:
    """The classes below that have none below them."""
    below = kind.__subclasses__()
    return {leaf for each in below for leaf in leaves(each)} if below else {kind}


class CommandTableTests(SynchronousTestCase):
    def test_complete(self) -> None:
        """Table and functions name the same commands, each once."""
        verbs = [spec.verb for spec in COMMANDS]
        self.assertEqual(sorted(verbs), sorted(FUNCTIONS))
        self.assertEqual(len(verbs), len(set(verbs)))
        self.assertFalse(REFUSED & set(verbs))
        self.assertEqual(KNOWN, REFUSED | set(verbs))

    def test_switches(self) -> None:
        """Switches are settings; off, the command does not exist."""
        for switch in {spec.switch for spec in COMMANDS} - {None}:
            self.assertIsInstance(getattr(FTPSettings(), switch), bool)
        off = enabledVerbs(FTPSettings(active=False))
        missing = {"PORT", "EPRT", "AUTH", "PBSZ", "PROT", "CCC", "SSCN", "CPSV", "HOST"}
        self.assertEqual(set(FUNCTIONS) - set(off), missing)
        self.assertEqual(set(FUNCTIONS), set(enabledVerbs(EVERYTHING)))

    def test_texts(self) -> None:
        """Each command's help begins with its name and fits a line."""
        for spec in COMMANDS:
            self.assertTrue(spec.help.startswith(spec.verb), spec.verb)
            self.assertLess(len(spec.help), 75)

    def test_login(self) -> None:
        """Without a login nothing touches files: every command is refused or harmless."""
        settings = FTPSettings(maximumMistakes=1000, maximumAttempts=1000, allowFXP=True)
        client = Client(settings)
        missing = set(FUNCTIONS) - set(enabledVerbs(settings))
        for spec in COMMANDS:
            if spec.verb in ("QUIT", "USER", "PASS", "REIN") or spec.verb in missing:
                continue
            code = client.code(f"{spec.verb} x" if spec.argument.value != "none" else spec.verb)
            if spec.needsLogin:
                self.assertEqual(code, 530, spec.verb)
            else:
                self.assertIn(code // 100, (2, 5), spec.verb)


class ErrorTableTests(SynchronousTestCase):
    def test_everyError(self) -> None:
        """Every kind of error has a row of its own, and the row is a failure."""
        for kind in leaves(FileHubError):
            if not kind.__module__.startswith("filehub.errors"):
                continue
            self.assertIn(kind, CODES)
            self.assertGreaterEqual(CODES[kind], 400)

    def test_subclasses(self) -> None:
        """A subclass that nobody listed has the code of its nearest relative."""

        class Special(errors.PermissionDenied):
            pass

        self.assertEqual(failure(Special(ROOT)).code, 550)
        self.assertEqual(failure(FileHubError()).code, INTERNAL_ERROR.code)

    def test_text(self) -> None:
        """The error's words, beginning like a sentence."""
        self.assertEqual(failure(errors.NoSpace()).lines, ("No space left",))
        self.assertEqual(
            failure(errors.NotFound(ROOT.child("x"))).lines, ("/x: no such file or directory",)
        )

    def test_quotes(self) -> None:
        """Quotes in paths are doubled (RFC 959 appendix II)."""
        self.assertEqual(quoted('/a"b'), '"/a""b"')
