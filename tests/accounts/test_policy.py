"""
Rules: which one decides, and how it is told.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.accounts import policy as module
from filehub.accounts.policy import PathRule, RulePolicy
from filehub.interfaces import IPermissionPolicy
from filehub.paths import ROOT
from filehub.permissions import EVERYTHING, NOTHING, READ_ONLY, formatPermissions, parsePermissions
from tests.accounts.doubles import at, policy, rules

NAMES = st.sampled_from(["a", "b", "ab"])
PATHS = st.lists(NAMES, max_size=4).map(lambda names: at("/".join(names)))
TABLES = st.dictionaries(PATHS, st.integers(0, 1023).map(lambda n: EVERYTHING & n), max_size=6)


class PolicyTests(SynchronousTestCase):
    """L{RulePolicy}."""

    def letters(self, rule: RulePolicy, path: str) -> str:
        """What may be done there."""
        return formatPermissions(rule.permissionsFor(at(path)))

    def test_interface(self) -> None:
        """It has all that the guard asks."""
        verifyObject(IPermissionPolicy, RulePolicy(()))

    def test_longestMatch(self) -> None:
        """The rule with the longest path decides, alone."""
        rule = policy({"/": "elr", "/a": "w", "/a/b/c": "d"})
        for path, expected in {
            "/": "elr", "/x": "elr", "/a": "w", "/a/b": "w", "/a/b/c": "d", "/a/b/c/d/e": "d",
        }.items():  # fmt: skip
            self.assertEqual(self.letters(rule, path), expected, path)

    def test_wholeNames(self) -> None:
        """A rule holds for names, not for the beginnings of names."""
        rule = policy({"/pub": "elr"})
        self.assertEqual(self.letters(rule, "/public"), "")
        self.assertEqual(self.letters(rule, "/pub/lic"), "elr")

    def test_deniedByDefault(self) -> None:
        """Where no rule is, nothing may be done."""
        self.assertEqual(RulePolicy(()).permissionsFor(ROOT), NOTHING)
        self.assertEqual(self.letters(policy({"/a": "elr"}), "/b"), "")

    def test_groupsAddUp(self) -> None:
        """What several groups allow for one path is the union."""
        rule = policy({}, rules({"/a": "el", "/b": "r"}), rules({"/a": "wr"}))
        self.assertEqual(self.letters(rule, "/a"), "elrw")
        self.assertEqual(self.letters(rule, "/b"), "r")

    def test_groupsAddUpForOnePathOnly(self) -> None:
        """A longer path of one group goes before a shorter one of another."""
        rule = policy({}, rules({"/": "elradfmw"}), rules({"/a": "l"}))
        self.assertEqual(self.letters(rule, "/a/x"), "l")

    def test_ownBeforeGroup(self) -> None:
        """An account's own rule replaces its groups' for the same path, even to deny."""
        rule = policy({"/a": ""}, rules({"/a": "elr"}), rules({"/a": "w"}))
        self.assertEqual(self.letters(rule, "/a"), "")

    def test_longerGroupRuleBeforeOwn(self) -> None:
        """The path's length goes before whose rule it is."""
        rule = policy({"/": "elradfmw"}, rules({"/a": ""}))
        self.assertEqual(self.letters(rule, "/a"), "")

    def test_reason(self) -> None:
        """The operator is told the rule and where it was written."""
        rule = RulePolicy([PathRule(at("/a"), parsePermissions("lr"), "filehub.toml:17")])
        self.assertEqual(rule.reasonFor(at("/a/b")), "rule /a allow lr (filehub.toml:17)")
        self.assertEqual(rule.reasonFor(at("/b")), "no rule, and what no rule allows is denied")
        self.assertEqual(policy({"/": ""}).reasonFor(ROOT), "rule / allow nothing")

    def test_reasonOfSeveralGroups(self) -> None:
        """A rule made of several names them all."""
        rule = RulePolicy((), [rules({"/a": "l"}, "f:1"), rules({"/a": "r"}, "f:9")])
        self.assertEqual(rule.reasonFor(at("/a")), "rule /a allow lr (f:1, f:9)")

    def test_rules(self) -> None:
        """All rules in force, by path."""
        rule = policy({"/b": "l", "/a": "r"}, rules({"/": "e", "/a": "w"}))
        self.assertEqual([str(each) for each in rule.rules], [
            "/ allow e", "/a allow r", "/b allow l",
        ])  # fmt: skip

    def test_strictestAndLoosest(self) -> None:
        """Over a whole tree: what may be done everywhere, and what somewhere."""
        rule = policy({"/": "elr", "/a": "elrw", "/a/b": "e", "/aside": ""})
        self.assertEqual(formatPermissions(rule.strictestBelow(at("/a"))), "e")
        self.assertEqual(formatPermissions(rule.loosestBelow(at("/a"))), "elrw")
        self.assertEqual(rule.strictestBelow(at("/x")), READ_ONLY)
        self.assertEqual(rule.loosestBelow(at("/x")), READ_ONLY)
        self.assertEqual(rule.strictestBelow(ROOT), NOTHING)

    def test_memory(self) -> None:
        """However many paths are asked about, what is remembered is bounded."""
        self.patch(module, "_REMEMBERED", 8)
        rule = policy({"/a/b": "r", "/": "l"})
        for number in range(100):
            self.assertEqual(self.letters(rule, f"/{number}/x/y"), "l")
            self.assertEqual(self.letters(rule, f"/a/b/{number}"), "r")
            self.assertLessEqual(len(rule._remembered), 8)

    @given(TABLES, st.lists(PATHS, min_size=1))
    def test_model(self, table: dict, paths: list) -> None:
        """Looked up, remembered or not, it is what trying every rule says."""
        rule = RulePolicy(PathRule(path, allow) for path, allow in table.items())
        for path in paths * 2:
            holding = [each for each in table if path.isWithin(each)]
            longest = max(holding, key=lambda each: len(each.segments), default=None)
            expected = NOTHING if longest is None else table[longest]
            self.assertEqual(rule.permissionsFor(path), expected)
            strictest, loosest = expected, expected
            for each, allow in table.items():
                if each.isWithin(path):
                    strictest, loosest = strictest & allow, loosest | allow
            self.assertEqual(rule.strictestBelow(path), strictest)
            self.assertEqual(rule.loosestBelow(path), loosest)
