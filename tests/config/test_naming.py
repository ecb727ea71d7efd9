"""
What is written of names, homes, permission bits and anonymous logins, wherever accounts
are written down.
"""

from __future__ import annotations

from typing import Any

from filehub.accounts.admission import Admission
from filehub.accounts.database import StoredAccount
from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import RulePolicy
from filehub.accounts.records import AccountRecord
from filehub.config import sources
from filehub.config.accounts import AccountBuilder
from filehub.config.sources import Source
from filehub.config.storages import namesOf
from filehub.errors import ConfigurationError
from filehub.permissions import NOTHING
from tests.accounts.doubles import at
from tests.config.test_loading import LISTEN, LoadingCase

ACCOUNTS = """
[[group]]
name = "staff"
umask = "027"
create_home = true
home_mode = "0710"
[[group.rule]]
path = "/"
allow = "elr"
deny_names = ["*.exe"]
[[user]]
name = "ann"
groups = ["staff"]
home = "/home/%u"
[[user.rule]]
path = "/home/ann"
allow = "elrw"
allow_names = ["*.jpg"]
names_ignore_case = false
[[user]]
name = "bob"
groups = ["staff"]
umask = "000"
create_home = false
[anonymous]
enabled = true
umask = "077"
protocols = ["ftp"]
[[anonymous.rule]]
path = "/"
allow = "elr"
hidden = [".*"]
"""


class NamingTests(LoadingCase):
    """Keys, and what becomes of them."""

    def records(self) -> dict[str, AccountRecord]:
        users, anonymous = AccountBuilder(self.load(LISTEN + ACCOUNTS)).records()
        assert anonymous is not None
        return {each.name: each for each in (*users, anonymous)}

    def test_file(self) -> None:
        """Users have what they say, or else what their groups say."""
        found = self.records()
        ann, bob, anonymous = found["ann"], found["bob"], found["anonymous"]
        self.assertEqual((ann.home, ann.umask, ann.homeMode), (at("/home/ann"), 0o027, 0o710))
        self.assertEqual((bob.umask, bob.homeMode), (0, None))
        self.assertEqual(ann.rules[0].names, NamePatterns((), (), ("*.jpg",), False))
        self.assertEqual(ann.groupRules[0][0].names, NamePatterns(deny=("*.exe",)))
        self.assertEqual(anonymous.rules[0].names, NamePatterns(hidden=(".*",)))
        self.assertEqual(anonymous.umask, 0o077)
        self.assertEqual(anonymous.admissions, (Admission(protocols=frozenset(("ftp",))),))

    def test_database(self) -> None:
        """The same keys in a database, and in what a program answers."""
        builder = AccountBuilder(self.load(LISTEN + ACCOUNTS))
        settings: dict[str, Any] = {
            "home": "/srv/%u",
            "create_home": True,
            "umask": "077",
            "rule": [{"path": "/", "allow": "elr", "hidden": ["x"]}],
        }
        record = builder.fromStored(StoredAccount("eve", None, settings), "sqlite")
        self.assertEqual((record.home, record.umask), (at("/srv/eve"), 0o077))
        self.assertEqual(record.homeMode, 0o755)
        policy = RulePolicy(record.rules, record.groupRules)
        self.assertEqual(policy.permissionsFor(at("/a/X")), NOTHING)
        self.assertIn("sqlite: user eve", policy.reasonFor(at("/a/X")))
        for name in (".", "..", "a/b"):
            with self.assertRaises(ConfigurationError):
                builder.fromStored(StoredAccount(name, None, settings), "sqlite")

    def test_checkedElsewhere(self) -> None:
        """What a source says of homes is for all whom it lets in, unless it says otherwise."""
        built: list[Any] = []
        builder = AccountBuilder(self.load(LISTEN + ACCOUNTS))

        class Checked:
            """In the place of the one that has threads."""

            def __init__(
                self, reactor: Any, place: str, check: Any, completed: Any, *_: Any
            ) -> None:
                built.append(completed)

            def stop(self) -> None:
                """Nothing runs."""

        self.patch(sources, "CheckedSource", Checked)
        source = Source(
            type="program", command=["x"], home="/home/%u", create_home=True, home_mode="0700"
        )
        sources.buildSource(None, source, builder.fromStored)
        record = built[0](StoredAccount("eve", None, {}))
        self.assertEqual((record.home, record.homeMode), (at("/home/eve"), 0o700))
        record = built[0](StoredAccount("eve", None, {"home": "/x/%u", "create_home": False}))
        self.assertEqual((record.home, record.homeMode), (at("/x/eve"), None))
        with self.assertRaises(ConfigurationError):
            built[0](StoredAccount("..", None, {}))

    def test_mount(self) -> None:
        """Mounts say something for everybody, or nothing."""
        mount = '[[mount]]\npath = "/m"\nsource = "file:///"\nhidden = [".git"]\n'
        names = namesOf(self.load(LISTEN + mount).values)
        self.assertEqual(names[at("/m")], NamePatterns(hidden=(".git",)))
        self.assertFalse(names[at("/")])

    def test_mistakes(self) -> None:
        """Line, key and what was expected."""
        for line, expected in (
            ('umask = "8"', "octal digits"),
            ("umask = 27", "octal digits"),
            ('home_mode = "1777"', "octal digits"),
            ('deny_names = ["a/b"]', "deny_names"),
        ):
            (said,) = self.complaints(f'{LISTEN}[[user]]\nname = "x"\n{line}\n')
            self.assertIn(expected, said)
        rule = '[[user]]\nname = "x"\n[[user.rule]]\npath = "/"\nallow = "e"\nhidden = ["a/b"]\n'
        (said,) = self.complaints(LISTEN + rule)
        self.assertIn("without /", said)
        (said,) = self.complaints('[ftp]\nlisten = ["tcp:1"]\nmessage_file = "../x"\n')
        self.assertIn("name of a file", said)
