"""
What the documents say of the code is true: every command has its line, every test that is
named exists, every link leads somewhere, and the README's commands are the ones that run.
"""

import re
import textwrap
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import filehub
from filehub.accounts.hashes import hashPassword
from filehub.config.loading import loadConfiguration
from filehub.protocols.ftp import commands, replies

ROOT = Path(filehub.__file__).parent.parent

#: RFC 913 section "protocol": the commands, and those that its grammar forgets.
RFC913_COMMANDS = (
    "USER", "ACCT", "PASS", "TYPE", "LIST", "CDIR", "KILL", "NAME", "TOBE", "DONE", "RETR",
    "SEND", "STOP", "STOR", "SIZE",
)  # fmt: skip

#: RFC 959 section 4.2, 1639, 2228 section 5, 2428, 3659 and 4217.
FTP_REPLIES = {
    110, 120, 125, 150, 200, 202, 211, 212, 213, 214, 215, 220, 221, 225, 226, 227, 228, 229, 230,
    232, 234, 235, 250, 257, 331, 332, 334, 335, 336, 350, 421, 425, 426, 431, 450, 451, 452, 500,
    501, 502, 503, 504, 521, 522, 530, 532, 533, 534, 535, 536, 537, 550, 551, 552, 553, 554, 631,
    632, 633,
}  # fmt: skip


def read(name: str) -> str:
    """A file of the source, or a skip where only an installation is."""
    path = ROOT / name
    if not path.exists():
        raise SkipTest(f"{name} is not here: not a copy of the source")
    return path.read_text()


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.rst"), *(ROOT / "docs").rglob("*.rst")])


class CoverageTests(SynchronousTestCase):
    """C{docs/rfc-coverage.rst}."""

    def lines(self, title: str) -> dict[str, str]:
        """The rows of the tables below a title: first word -> line."""
        text = read("docs/rfc-coverage.rst")
        _, found, section = text.partition(f"\n{title}")
        self.assertTrue(found, title)
        section = re.split(r"\n[^\n]+\n-{4,}\n", section, maxsplit=1)[0]
        return {line.split()[0]: line for line in section.splitlines() if line[:1].isupper()}

    def test_everyFTPCommand(self) -> None:
        """
        Every command that exists is done, every one that is known and does not exist is
        refused or planned, and no other is mentioned.
        """
        lines = self.lines("FTP: RFC 959")
        for spec in commands.COMMANDS:
            self.assertIn(spec.verb, lines)
            self.assertRegex(lines[spec.verb], r"\bdone\b", spec.verb)
        exist = {spec.verb for spec in commands.COMMANDS}
        for verb in commands.KNOWN - exist:
            self.assertIn(verb, lines)
            self.assertRegex(lines[verb], r"\b(refused|planned)\b", verb)
        verbs = {word for word in lines if re.fullmatch("[A-Z]{3,4}", word)}
        self.assertEqual(verbs - {"RFC"} - commands.KNOWN, set())

    def test_everyFTPReply(self) -> None:
        """
        C{docs/ftp-replies.rst} has a line with a test for each command, and for each reply
        code that the source of the server names.
        """
        text = read("docs/ftp-replies.rst")
        listed = re.findall(r"(?m)^([A-Z0-9]{3,8}) +``tests\.", text)
        self.assertEqual({spec.verb for spec in commands.COMMANDS} ^ set(listed), set())
        codes = {int(code) for code in re.findall(r"(?m)^([1-5][0-9]{2}) .*``tests\.", text)}
        used = set(replies.CODES.values())
        for path in (ROOT / "filehub" / "protocols" / "ftp").glob("*.py"):
            used |= {
                int(code)
                for code in re.findall(r"(?:reply|Reply)\(\s*([0-9]{3}),", path.read_text())
            }
        self.assertEqual(used - codes, set())

    def test_everyReplyOfTheRFCs(self) -> None:
        """Each code that an RFC defines is sent, or has a reason why not, and not both."""
        sent, _, never = read("docs/ftp-replies.rst").partition("\nCodes that are never sent\n")
        listed = {int(code) for code in re.findall(r"(?m)^([1-6][0-9]{2}) .*``tests\.", sent)}
        rows = re.findall(r"(?m)^([1-6][0-9]{2}(?:, [1-6][0-9]{2})*) ", never)
        missing = {int(code) for row in rows for code in row.split(", ")}
        self.assertEqual(FTP_REPLIES - listed - missing, set())
        self.assertEqual(listed & missing, set())

    def test_everyRFC913Command(self) -> None:
        """Every command of RFC 913 has a line."""
        lines = self.lines("RFC 913, Simple File Transfer Protocol")
        for verb in RFC913_COMMANDS:
            self.assertIn(verb, lines)


class ReadmeTests(SynchronousTestCase):
    """C{README.rst}."""

    def commands(self) -> list[str]:
        text = read("README.rst")
        return [line.strip() for line in text.splitlines() if "python3 -m venv" in line]

    def test_twoCommands(self) -> None:
        """One line serves, one line tests; the second is what C{.ci/run} runs."""
        serve, test = self.commands()
        self.assertIn("twistd -n filehub", serve)
        self.assertIn("twisted.trial tests", test)
        self.assertIn(f"\n  {test}\n", read(".ci/run"))

    def test_configuration(self) -> None:
        """The configuration in it is one that the server takes."""
        _, start, rest = read("README.rst").partition("\n    [server]\n")
        block = re.split(r"\n(?=\S)", start + rest)[0]
        folder = Path(self.mktemp())
        (folder / "files").mkdir(parents=True)
        text = textwrap.dedent(block).replace("/srv/files", str((folder / "files").absolute()))
        path = folder / "filehub.toml"
        path.write_text(text.replace("$argon2id$v=19$...", hashPassword(b"secret")))
        values = loadConfiguration(path).values
        self.assertEqual([user.name for user in values.user], ["ada", "netboot"])
        self.assertEqual(values.network[0].account, "netboot")

    def test_length(self) -> None:
        """It can be read in one go."""
        self.assertLessEqual(len(read("README.rst").splitlines()), 120)

    def test_example(self) -> None:
        """The example in it is lines of the example that the tests run."""
        example = re.sub(r"\s+", " ", read("examples/embed_ftp_tftp.py"))
        _, _, quoted = read("README.rst").partition("examples/embed_ftp_tftp.py``::\n")
        quoted, _, _ = quoted.partition("\nRead on\n")
        for line in quoted.splitlines():
            if line.strip() not in ("", "..."):
                self.assertIn(re.sub(r"\s+", " ", line.strip()), example)


class NamedTestsTests(SynchronousTestCase):
    """Documents that name the test for each of their claims."""

    def test_testsExist(self) -> None:
        """Each test that a document names is there."""
        read("docs/client-quirks.rst")
        texts = [document.read_text() for document in documents()]
        names = [name for text in texts for name in re.findall(r"``(tests\.[\w.]+)``", text)]
        self.assertGreater(len(names), 40)
        missing = []
        for name in names:
            parts = name.split(".")
            for length in range(len(parts), 0, -1):
                try:
                    found: object = import_module(".".join(parts[:length]))
                except ModuleNotFoundError:
                    continue
                for attribute in parts[length:]:
                    found = getattr(found, attribute, None)
                break
            else:
                found = None
            if found is None:
                missing.append(name)
        self.assertEqual(missing, [])

    def test_everyRow(self) -> None:
        """C{docs/reliability-rows.rst}: every row that was promised has its place."""
        text = read("docs/reliability-rows.rst")
        rows = [f"T-D{n}" for n in range(1, 21)]
        rows += [f"T-A{n}" for n in range(1, 16)]
        rows += [f"T-P{n}" for n in range(1, 16)]
        rows += [f"T-T{n}" for n in range(1, 18)]
        rows += [f"T-I{n}" for n in range(1, 8)]
        rows += [f"T-F{n}" for n in range(1, 19)]
        rows += [f"R{n}" for n in range(1, 21)]
        for row in rows:
            self.assertRegex(text, rf"(?m)^{row}\b", row)


class LinkTests(SynchronousTestCase):
    """Links and names of files in all documents."""

    def test_links(self) -> None:
        """A link to a file of the source leads to one."""
        broken = []
        for document in documents():
            for target in re.findall(r"<([^<>:\s]+)>`_", document.read_text()):
                if not (document.parent / target).exists():
                    broken.append(f"{document.name}: {target}")
        self.assertEqual(broken, [])

    def test_files(self) -> None:
        """So does the name of a file."""
        folders = ("filehub", "docs", "tests", "etc", "examples")
        broken = []
        for document in documents():
            for name in re.findall(r"``((?:[\w.-]+/)+[\w.-]+)``", document.read_text()):
                places = [ROOT / name, ROOT / "filehub" / name]
                if name.split("/")[0] in (*folders, "protocols", "vfs", "accounts", "transfer"):
                    if not any(place.exists() for place in places):
                        broken.append(f"{document.name}: {name}")
        self.assertEqual(broken, [])


class UnitTests(SynchronousTestCase):
    """C{etc/filehub.service}."""

    def test_noCore(self) -> None:
        """T-T17: the private key is in memory, so no memory is written to a file."""
        self.assertIn("\nLimitCORE=0\n", read("etc/filehub.service"))

    def test_noPidFile(self) -> None:
        """No process that is still root writes a file where others may put links."""
        (start,) = re.findall(r"(?m)^ExecStart=(.*)$", read("etc/filehub.service"))
        self.assertIn("--pidfile= ", start)
        self.assertIn("filehub --config ", start)
