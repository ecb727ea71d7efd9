"""
LANG: every reply in every language, and nothing that programs read.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import filehub
from filehub import errors
from filehub.errors import FileHubError, NotFound
from filehub.paths import ROOT
from filehub.protocols.ftp import german, replies
from filehub.protocols.ftp.languages import LANGUAGES, Language, Template, translated
from filehub.protocols.ftp.wire import Reply
from tests.protocols.ftp.doubles import Client, finalCodes

PACKAGE = Path(filehub.__file__).parent

#: What programs read, in whatever language their users do.
KEPT = {
    "Entering Extended Passive Mode (|||{}|)",
    "Entering Passive Mode ({}).",
    "FILE: {}",
    "MARK {} = {}",
    "Modify={}; {}",
    "Name=FileHub; {}CaseSensitive=1; DirSep=/;",
    "PBSZ=0",
    "SITE HELP",
    "SSCN:CLIENT METHOD",
    "SSCN:SERVER METHOD",
    "UNIX Type: L8",
    "Windows_NT",
    # A checksum, a name, a fact: nothing but what differs.
    "{} {}",
    "{} {} {} {}",
    # Clients recognise these words.
    "{}: Directory already exists",
}
#: Modules of the other end of the line.
CLIENTS = ("client.py", "reply_parser.py", "fxp.py", "connect.py", "tlsclient.py")
#: What is said to the operator, or by clients.
NOT_SAID = {"bad configuration", "{} at {}: {}"}
#: Modules whose errors a client of the FTP server can get to see.
SPEAKING = ("vfs", "accounts/guard.py", "transfer", "state/tallies.py", "paths.py")


def templateOf(node: ast.expr) -> str | None:
    """A literal, or an f-string with C{{}} for what it puts in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
        )
    return None


def calls(paths: Iterator[Path]) -> Iterator[tuple[str, ast.Call]]:
    """All calls in these modules, with the name of what is called."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else ""
                yield getattr(function, "id", name), node


def modules(*names: str) -> Iterator[Path]:
    """Modules of the server, by file or by folder."""
    for name in names:
        place = PACKAGE / name
        for path in [place] if place.suffix else sorted(place.glob("*.py")):
            if path.name not in CLIENTS:
                yield path


def replyTexts() -> set[str]:
    """Every text that a command gives in a reply."""
    found = set()
    for name, call in calls(modules("protocols/ftp")):
        if name in ("reply", "Reply", "announce", "kick"):
            found |= {templateOf(argument) for argument in call.args[1:]}
            for argument in call.args[1:]:
                if isinstance(argument, ast.IfExp):
                    found |= {templateOf(argument.body), templateOf(argument.orelse)}
    found.discard(None)
    found.discard("")
    return {text for text in found if text is not None}


def errorTexts() -> set[str]:
    """Every text of an error that can get to a client."""
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, FileHubError)
    }
    found = {getattr(errors, name).summary for name in kinds}
    for name, call in calls(modules("protocols/ftp", *SPEAKING)):
        if name in kinds - {"ConfigurationError"}:
            found |= {templateOf(argument) for argument in call.args[:2]}
    return {text for text in found if text} - NOT_SAID


class CatalogueTests(SynchronousTestCase):
    def test_everyReply(self) -> None:
        """Every text of a reply is in the catalogue, or is for programs."""
        texts = replyTexts()
        self.assertGreater(len(texts), 120)
        errors = {f"{{}}: {clause}" for clause in german.CLAUSES}
        self.assertEqual(texts - set(german.REPLIES) - errors - KEPT, set())

    def test_everyError(self) -> None:
        """So is every clause of an error."""
        texts = errorTexts()
        self.assertGreater(len(texts), 50)
        self.assertEqual(texts - set(german.CLAUSES), set())

    def test_holes(self) -> None:
        """A translation puts in what the original does, and is one line of its own."""
        for catalogue in (german.REPLIES, german.CLAUSES):
            for english, other in catalogue.items():
                self.assertEqual(english.count("{}"), other.count("{}"), english)
                self.assertTrue(other.isprintable() and other.strip() == other, english)
                self.assertNotRegex(other.replace("{}", ""), "[{}]")
                self.assertEqual(english.endswith("."), other.endswith("."), english)

    def test_clauses(self) -> None:
        """Clauses of errors are what errors say: after a path, and alone."""
        language = LANGUAGES["DE"]
        for english, other in german.CLAUSES.items():
            if "{}" in english:
                continue
            if ": " not in english:
                failed = replies.failure(NotFound(ROOT.child("a: b"), english))
                self.assertEqual(translated(failed, language).lines, (f"/a: b: {other}",))
            alone = replies.failure(NotFound(None, english))
            self.assertEqual(translated(alone, language).lines, (other[:1].upper() + other[1:],))


class TemplateTests(SynchronousTestCase):
    def test_apply(self) -> None:
        """What is in the holes goes where it belongs."""
        for source, target, text, expected in (
            ("a {} b", "x {} y", "a 1 b", "x 1 y"),
            ("{} is {}.", "{} ist {}.", "a is b.", "a ist b."),
            ("{} is {}.", "{} ist {}.", "a is b is c.", "a ist b is c."),
            ("{}", "<{}>", "", "<>"),
            ("a{}a", "{}", "a", None),
            ("a{}", "{}!", "a{0.x}{}", "{0.x}{}!"),
            ("{}-{}-{}", "{}{}{}", "1-2", None),
        ):
            self.assertEqual(Template(source, target).apply(text), expected, (source, text))

    def test_quick(self) -> None:
        """A hostile name costs no more than its length."""
        texts = {"{} {} {} is not {} {} {}.": "{} {} {} {} {} {}"}
        language = Language("X", texts, {})
        began = time.process_time()
        language.translate(" " * 8000 + ".")
        language.translate(" is not" * 1000 + ".")
        self.assertLess(time.process_time() - began, 0.2)


class LANGTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client()

    def test_choosing(self) -> None:
        """LANG chooses, also before login; LANG alone is English again; FEAT has the star."""
        self.assertIn(b"\r\n LANG EN*;DE\r\n", self.client.say("FEAT"))
        self.assertEqual(self.client.say("LANG de"), b"200 Die Sprache ist DE.\r\n")
        self.assertIn(b"\r\n LANG EN;DE*\r\n", self.client.say("FEAT"))
        self.assertEqual(self.client.say("USER ann"), b"331 Das Kennwort wird verlangt.\r\n")
        self.assertEqual(self.client.say("PASS secret"), b"230 Angemeldet.\r\n")
        self.assertEqual(self.client.say("LANG"), b"200 Language is EN.\r\n")
        self.assertEqual(self.client.say("NOOP"), b"200 OK.\r\n")

    def test_tags(self) -> None:
        """The first part of a tag counts; others are 504, what is no tag is 501."""
        self.assertEqual(self.client.code("LANG de-AT-1901"), 200)
        self.assertEqual(self.client.say("BLAH"), b"500 Unbekannter Befehl.\r\n")
        self.assertEqual(
            self.client.codes(["LANG fr", "LANG x-klingon", "LANG d e"]), [504, 504, 501]
        )
        self.assertEqual(self.client.say("BLAH"), b"500 Unbekannter Befehl.\r\n")
        self.assertEqual(self.client.say("LANG en-GB"), b"200 Language is EN.\r\n")

    def test_reinitialized(self) -> None:
        """REIN forgets the language too."""
        self.client.code("LANG de")
        self.assertEqual(self.client.say("REIN"), b"220 Ready for a new user.\r\n")

    def test_forPeople(self) -> None:
        """Paths, errors and texts between lines for programs."""
        self.client.logIn().code("LANG DE")
        self.client.tree.putFile("/f", b"12345")
        for line, answer in (
            ("CWD none", "550 /none: keine solche Datei und kein solches Verzeichnis"),
            ("CWD f", "550 /f: kein Verzeichnis"),
            ("MKD a b", '257 "/a b" angelegt.'),
            ("CWD a b", "250 Verzeichnis gewechselt zu /a b"),
            ("PWD", '257 "/a b" ist das aktuelle Verzeichnis.'),
            ("SITE IDLE", "200 Die Wartezeit ist 300 Sekunden, höchstens 7200."),
            ("MKD " + "x" * 256, "553 Name zu lang"),
        ):
            self.assertEqual(self.client.say(line), f"{answer}\r\n".encode(), line)
        said, _ = self.client.retrieve("RETR /f")
        self.assertIn("wird geöffnet (5 bytes).\r\n226 Übertragung abgeschlossen.".encode(), said)
        self.assertIn(b"150 Es folgt das Verzeichnis.\r\n", self.client.retrieve("LIST")[0])
        said = self.client.say("FEAT")
        self.assertTrue(said.startswith(b"211-Erweiterungen:\r\n AVBL\r\n"))
        self.assertTrue(said.endswith(b"\r\n211 Ende\r\n"))

    def test_forPrograms(self) -> None:
        """What programs take apart is the same in every language."""
        self.client.logIn()
        self.client.tree.putFile("/f", b"12345")
        self.client.tree.putFile("/x is current.", b"12345")
        lines = [
            "SYST", "SIZE f", "MFMT 20200102030405 f", "PASV", "EPSV", "MDTM f", "HASH f", "AVBL",
            "XCRC f", "CSID Name=x", "OPTS HASH", "HASH x is current.", "MD5 x is current.",
        ]  # fmt: skip
        english = [self.client.say(line) for line in lines]
        self.client.code("LANG DE")
        other = [self.client.say(line) for line in lines]
        # The ports differ.
        english[3:5] = [each.rstrip(b"0123456789,|).\r\n") for each in english[3:5]]
        other[3:5] = [each.rstrip(b"0123456789,|).\r\n") for each in other[3:5]]
        self.assertEqual(english, other)

    def test_names(self) -> None:
        """A name that looks like a text of ours does no harm."""
        self.client.logIn().code("LANG DE")
        for name in ("{}", "{0}", "x: permission denied", "OK.", "a is current."):
            said = self.client.say(f"MKD /{name}")
            self.assertEqual(said, f'257 "/{name}" angelegt.\r\n'.encode())
            said = self.client.say(f"CWD /{name}")
            self.assertEqual(finalCodes(said), [250])
            self.assertIn(name.encode(), said)

    def test_unknownText(self) -> None:
        """What is in no catalogue stays as it is."""
        reply = Reply(200, ("What the embedder says.",))
        self.assertEqual(translated(reply, LANGUAGES["DE"]), reply)
