"""
What is written of names, homes, permission bits and anonymous logins, wherever accounts
are written down.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from filehub.accounts.admission import Admission
from filehub.accounts.database import StoredAccount
from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import RulePolicy
from filehub.accounts.records import AccountLimits, AccountRecord
from filehub.attributes import Ownership
from filehub.config import owners, sources
from filehub.config.accounts import AccountBuilder, givesAway
from filehub.config.sources import Source
from filehub.config.storages import namesOf
from filehub.errors import ConfigurationError
from filehub.paths import ROOT
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


class InheritanceTests(LoadingCase):
    """What users have of their groups."""

    GROUPS = """
[[group]]
name = "staff"
home = "/home/%u"
owner = 1000
owner_group = "root"
sessions = 3
idle = 60
commands = 5
profile = "camera"
allow_fxp = true
[[group]]
name = "slow"
home = "/slow"
owner = 1001
idle = 30
stall = 20
session_time = 40
"""

    def record(self, user: str, groups: str | None = None) -> AccountRecord:
        text = (self.GROUPS if groups is None else groups) + '[[user]]\nname = "ann"\n' + user
        (record,), _ = AccountBuilder(self.load(LISTEN + text)).records()
        return record

    def test_first(self) -> None:
        """The first group that says anything counts."""
        record = self.record('groups = ["staff", "slow"]')
        self.assertEqual(record.home, at("/home/ann"))
        self.assertEqual(record.ownership, Ownership(1000, 0))
        self.assertEqual(record.limits, AccountLimits(3, 60, 20, 40, 5))
        self.assertEqual((record.profile, record.foreignData), ("camera", True))
        record = self.record('groups = ["slow", "staff"]')
        self.assertEqual((record.home, record.limits.idle), (at("/slow"), 30))
        self.assertEqual(record.ownership, Ownership(1001, 0))

    def test_own(self) -> None:
        """What a user says himself stands above all groups, the root as a home too."""
        record = self.record(
            'groups = ["staff"]\nhome = "/"\nowner = 7\nidle = 5\nallow_fxp = false\n'
        )
        self.assertEqual((record.home, record.limits.idle), (ROOT, 5))
        self.assertEqual((record.ownership, record.foreignData), (Ownership(7, 0), False))

    def test_nothing(self) -> None:
        """Without any of it all is as ever."""
        record = self.record("")
        self.assertEqual((record.home, record.ownership), (ROOT, None))
        self.assertIs(record.limits.commands, None)

    def test_template(self) -> None:
        """C{%u} is the system's user of that name; where there is none nobody gets anything."""
        named = {"root": Ownership(0), "nosuchuser-": None}
        for name, expected in named.items():
            group = '[[group]]\nname = "g"\nowner = "%u"\n'
            text = f'{LISTEN}{group}[[user]]\nname = "{name}"\ngroups = ["g"]\n'
            (record,), _ = AccountBuilder(self.load(text)).records()
            self.assertEqual(record.ownership, expected, name)

    def test_names(self) -> None:
        """A name that the system does not know is a mistake, and so is a number that is none."""
        for owner in ('"nosuchuser-"', "-1", "4294967295", "true", '""'):
            found = self.complaints(f'{LISTEN}[[user]]\nname = "a"\nowner = {owner}\n')
            self.assertIn("of this system", found[0], owner)

    def test_homeOfNobody(self) -> None:
        """A name that is no name of a directory has no home from a template."""
        group = '[[group]]\nname = "g"\nhome = "/h/%u"\n'
        found = self.complaints(f'{LISTEN}{group}[[user]]\nname = ".."\ngroups = ["g"]\n')
        self.assertIn("no name of a directory", found[0])

    def test_stored(self) -> None:
        """In databases, too, with groups of the database and of the file."""
        builder = AccountBuilder(self.load(LISTEN + self.GROUPS))
        group = {"home": "/db/%u", "stall": 9, "owner_group": 12}
        stored = StoredAccount("eve", None, {"groups": ["own", "staff"]}, {"own": group})
        record = builder.fromStored(stored, "users.db")
        self.assertEqual((record.home, record.limits.stall), (at("/db/eve"), 9))
        self.assertEqual((record.limits.commands, record.ownership), (5, Ownership(1000, 12)))

    def test_sources(self) -> None:
        """A place that checks passwords leaves the home to the groups, unless it says one."""
        builder = AccountBuilder(self.load(LISTEN + self.GROUPS))
        made = {}
        homes: tuple[dict[str, Any], ...] = ({}, {"home": "/pam/%u"})
        for home in homes:
            source = Source(type="program", command=["x"], groups=["staff"], owner=5, **home)
            built = sources.buildSource(Clock(), source, builder.fromStored)
            assert built.login is not None
            convert = built.login._convert  # type: ignore[attr-defined]
            made[bool(home)] = convert(StoredAccount("eve", None, {}))
        self.assertEqual(made[False].home, at("/home/eve"))
        self.assertEqual(made[True].home, at("/pam/eve"))
        self.assertEqual(made[True].ownership, Ownership(5, 0))

    def test_rights(self) -> None:
        """A start without the rights that it takes is told of, once."""
        self.assertFalse(givesAway(self.load(LISTEN).values))
        self.assertTrue(givesAway(self.load(LISTEN + self.GROUPS).values))
        told = []
        for may in (False, True):
            self.patch(owners, "mayGiveAway", lambda may=may: may)
            with capturedLogs() as events:
                owners.OwnersService().startService()  # type: ignore[no-untyped-call]
            told.append([event["log_format"] for event in events])
        self.assertEqual(len(told[0]), 1)
        self.assertIn("CAP_CHOWN", told[0][0])
        self.assertEqual(told[1], [])
