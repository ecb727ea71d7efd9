"""
C{filehub user} and C{filehub group}.
"""

from __future__ import annotations

import json
from typing import Any

from click.testing import Result

from filehub.accounts.database import StoredAccount, openSQLite
from filehub.accounts.hashes import verifyHash
from tests.cli.test_commands import CommandCase


class DatabaseCase(CommandCase):
    """Commands on a database of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "users.db"

    def run_(self, *arguments: str, stdin: str = "") -> Result:
        """A command that has to end well."""
        words = [*arguments[:2], "--database", str(self.path), *arguments[2:]]
        result = self.command(*words, stdin=stdin)
        self.assertEqual(result.exit_code, 0, result.output)
        return result

    def fails(self, *arguments: str, stdin: str = "") -> str:
        """What a command says that must not end well."""
        words = [*arguments[:2], "--database", str(self.path), *arguments[2:]]
        result = self.command(*words, stdin=stdin)
        self.assertEqual(result.exit_code, 1, result.output)
        return str(result.stderr)

    def stored(self, name: str) -> StoredAccount:
        tables = openSQLite(self.path)
        try:
            found = tables.find(name)
        finally:
            tables.close()
        assert found is not None
        return found


class UserTests(DatabaseCase):
    """C{filehub user}"""

    def test_added(self) -> None:
        """An account with a password, rules and settings, as the schema has them."""
        self.run_(
            "user", "add", "ann", "--rule", "/=elr", "--rule", "/in=elrw", "--set", "sessions=3",
            "--set", "home=/in", "--set", 'groups=["staff"]', stdin="sesame\nsesame\n",
        )  # fmt: skip
        found = self.stored("ann")
        assert found.password is not None
        self.assertTrue(verifyHash(found.password, b"sesame"))
        self.assertEqual(
            found.settings,
            {
                "home": "/in",
                "sessions": 3,
                "groups": ["staff"],
                "rule": [{"path": "/", "allow": "elr"}, {"path": "/in", "allow": "elrw"}],
            },
        )

    def test_quotas(self) -> None:
        """Quotas have options of their own, for users and groups; empty removes one."""
        self.run_("user", "add", "ann", "--no-password", "--quota", "500", "--upload-quota", "7")
        self.run_("user", "set", "ann", "--quota", "", "--quota-period", "day")
        self.assertEqual(self.stored("ann").settings, {"upload_quota": 7, "quota_period": "day"})
        self.run_("group", "add", "staff", "--download-quota-files", "3")
        self.assertIn("quota_period", self.fails("user", "set", "ann", "--quota-period", "year"))

    def test_refused(self) -> None:
        """What the configuration file could not have is refused, and nothing is stored."""
        for words, expected in (
            (("--set", "home=here"), "home"),
            (("--set", "colour=red"), "colour"),
            (("--set", "sessions=-1"), "sessions"),
            (("--set", "password=x"), "KEY=VALUE"),
            (("--set", "sessions"), "KEY=VALUE"),
            (("--rule", "/=xyz"), "rule"),
            (("--rule", "here"), "PATH=LETTERS"),
            (("--hash", "nonsense"), "--hash"),
        ):
            self.assertIn(expected, self.fails("user", "add", "ann", "--no-password", *words))
        self.assertIn("differ", self.fails("user", "add", "ann", stdin="a\nb\n"))
        self.assertEqual(self.run_("user", "add", "ann", "--no-password").output, "")

    def test_twice(self) -> None:
        """A name that is taken is refused."""
        self.run_("user", "add", "ann", "--no-password", "--set", "home=/a")
        self.assertIn("already", self.fails("user", "add", "ann", "--no-password"))
        self.assertEqual(self.stored("ann").settings, {"home": "/a"})

    def test_changed(self) -> None:
        """Settings change one by one; an empty value removes one."""
        self.run_("user", "add", "ann", "--no-password", "--set", "home=/a", "--rule", "/=el")
        self.run_("user", "set", "ann", "--set", "home=", "--set", "sessions=1", "--rule", "/=elr")
        expected: dict[str, Any] = {"sessions": 1, "rule": [{"path": "/", "allow": "elr"}]}
        self.assertEqual(self.stored("ann").settings, expected)
        self.assertEqual(json.loads(self.run_("user", "show", "ann").stdout), expected)

    def test_namesStay(self) -> None:
        """Changing the letters of one rule loses nothing of what any says of names."""
        rule = [
            {"path": "/", "allow": "elr", "hidden": [".*"]},
            {"path": "/a", "allow": "w", "deny_names": ["*.exe"]},
        ]
        text = '[{path="/",allow="elr",hidden=[".*"]},{path="/a",allow="w",deny_names=["*.exe"]}]'
        self.run_("user", "add", "ann", "--no-password", "--set", f"rule={text}")
        self.assertEqual(self.stored("ann").settings["rule"], rule)
        self.run_("user", "set", "ann", "--rule", "/a=rw", "--set", "umask=027")
        rule[1]["allow"] = "rw"
        self.assertEqual(self.stored("ann").settings, {"rule": rule, "umask": "027"})
        self.assertIn("octal", self.fails("user", "set", "ann", "--set", "umask=27"))

    def test_password(self) -> None:
        """A password is changed, and taken away."""
        self.run_("user", "add", "ann", "--no-password")
        self.run_("user", "passwd", "ann", stdin="new\nnew\n")
        found = self.stored("ann").password
        assert found is not None
        self.assertTrue(verifyHash(found, b"new"))
        self.run_("user", "passwd", "ann", "--no-password")
        self.assertIsNone(self.stored("ann").password)

    def test_listed(self) -> None:
        """Names and how they log in, never a hash."""
        self.run_("user", "add", "bob", stdin="x\nx\n")
        self.run_("user", "add", "ann", "--no-password", "--set", 'groups=["a", "b"]')
        self.assertEqual(
            self.run_("user", "list").stdout, "ann\tno password\ta, b\nbob\targon2\t\n"
        )
        lines = self.run_("user", "list", "--json").stdout.splitlines()
        self.assertEqual(json.loads(lines[1]), {"name": "bob", "password": "argon2"})

    def test_missing(self) -> None:
        """Of nobody nothing is changed."""
        self.run_("user", "add", "ann", "--no-password")
        for words in (("del", "bob"), ("set", "bob"), ("show", "bob"), ("passwd", "bob")):
            self.assertIn("bob", self.fails("user", *words, stdin="x\nx\n"))
        self.run_("user", "del", "ann")
        self.assertEqual(self.run_("user", "list").stdout, "")

    def test_noDatabase(self) -> None:
        """Only what adds something makes a database."""
        self.assertIn(str(self.path), self.fails("user", "list"))
        self.assertFalse(self.path.exists())


class GroupTests(DatabaseCase):
    """C{filehub group}"""

    def test_life(self) -> None:
        """Made, changed, listed; removed when nobody is in it."""
        self.run_("group", "add", "staff", "--rule", "/=elr")
        self.assertIn("already", self.fails("group", "add", "staff"))
        self.run_("group", "set", "staff", "--rule", "/=el")
        self.assertEqual(
            self.run_("group", "list").stdout,
            'staff\t{"rule": [{"allow": "el", "path": "/"}]}\n',
        )
        self.run_("user", "add", "ann", "--no-password", "--set", 'groups=["staff"]')
        self.assertIn("ann", self.fails("group", "del", "staff"))
        self.run_("user", "del", "ann")
        self.run_("group", "del", "staff")
        self.assertIn("staff", self.fails("group", "del", "staff"))


class ImportTests(DatabaseCase):
    """Accounts of other programs."""

    BCRYPT = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe"
    MD5 = "$apr1$kMi3wHkN$hW.gJhmUTaPePv6gKlLRG."

    def take(self, form: str, text: str, *words: str) -> Result:
        file = self.folder / "their-file"
        file.write_text(text)
        return self.run_("user", "import", str(file), "--format", form, *words)

    def test_htpasswd(self) -> None:
        """Names and hashes; comments and what is no account are passed over."""
        text = f"# theirs\nann:{self.BCRYPT}\n\nbob:{self.MD5}\nx/y:abc\nnonsense\n"
        result = self.take("htpasswd", text, "--rule", "/=elr")
        self.assertIn("2 accounts taken over, 1 left out", result.stdout)
        self.assertIn("bob: its password hash is weak", result.stderr)
        self.assertEqual(self.stored("ann").password, self.BCRYPT)
        self.assertEqual(self.stored("bob").settings, {"rule": [{"path": "/", "allow": "elr"}]})

    def test_shadow(self) -> None:
        """Accounts of the system, which cannot log in, are none of ours."""
        result = self.take(
            "shadow",
            f"root:!:19000:0:99999:7:::\nann:{self.BCRYPT}:19000::::::\ndaemon:*:1::::::\n",
        )
        self.assertIn("1 accounts taken over, 0 left out", result.stdout)

    def test_puredb(self) -> None:
        """pure-ftpd's text."""
        self.take("puredb", f"ann:{self.BCRYPT}:1000:1000::/home/ann/./::::::::::::\n")
        self.assertEqual(self.stored("ann").password, self.BCRYPT)

    def test_authUserFile(self) -> None:
        """ProFTPD's lines begin as htpasswd's do."""
        self.take("htpasswd", f"ann:{self.BCRYPT}:1000:1000:Ann:/home/ann:/bin/false\n")
        self.assertEqual(self.stored("ann").password, self.BCRYPT)

    def test_again(self) -> None:
        """What exists stays, unless it is to be replaced."""
        self.run_("user", "add", "ann", "--no-password", "--set", "home=/h")
        self.assertIn("1 left out", self.take("htpasswd", f"ann:{self.BCRYPT}\n").stdout)
        self.assertIsNone(self.stored("ann").password)
        self.take("htpasswd", f"ann:{self.BCRYPT}\n", "--replace")
        self.assertEqual(self.stored("ann").password, self.BCRYPT)

    def test_unreadable(self) -> None:
        """A file that is not there is named."""
        said = self.fails("user", "import", "/none/such", "--format", "shadow")
        self.assertIn("/none/such", said)
