"""
Why an account may, or may not, do something.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.explaining import VERBS, Decision, Rehearsal, explain
from filehub.accounts.policy import RulePolicy
from filehub.errors import NotFound
from filehub.interfaces import IFileSystem
from filehub.paths import ROOT
from filehub.vfs.memory import MemoryTree
from filehub.vfs.readonly import ReadOnlyFileSystem
from tests.accounts.doubles import at, now, rules


class ExplainTests(SynchronousTestCase):
    """L{explain}"""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.tree.putFile("/pub/file", b"content")
        self.tree.putFile("/secret/file", b"content")
        self.policy = RulePolicy(
            rules({"/pub": "elr", "/secret": ""}, "files.toml:7"),
            [rules({"/in": "w"}, "files.toml:30")],
        )

    def views(self) -> dict[object, IFileSystem]:
        return {ROOT: Rehearsal(self.tree.viewFor("ann"))}

    def ask(self, verb: str, path: str) -> Decision:
        return now(explain(self.views(), self.policy, verb, at(path)))  # type: ignore[arg-type]

    def test_allowed(self) -> None:
        """The rule that allows it, and where it stands."""
        for verb in ("RETR", "rrq", "get", "SEND", "HASH", "SIZE"):
            decision = self.ask(verb, "/pub/file")
            self.assertTrue(decision.isAllowed, verb)
            self.assertEqual(decision.reason, "rule /pub allow elr (files.toml:7)")
        self.assertTrue(self.ask("CWD", "/pub").isAllowed)
        self.assertTrue(self.ask("STOR", "/in/new").isAllowed)

    def test_denied(self) -> None:
        """What is missing, where, and the rule that decided."""
        decision = self.ask("STOR", "/pub/new")
        self.assertEqual(
            decision,
            Decision(
                False, at("/pub/new"), "needs w at /pub/new: rule /pub allow elr (files.toml:7)"
            ),
        )
        self.assertIn("no rule", self.ask("LIST", "/elsewhere").reason)
        self.assertIn("files.toml:30", self.ask("RETR", "/in/new").reason)

    def test_throughLinks(self) -> None:
        """A link is judged by where it leads."""
        now(self.tree.viewFor("ann").makeLink(at("/pub/way"), "/secret/file"))
        decision = self.ask("RETR", "/pub/way")
        self.assertFalse(decision.isAllowed)
        self.assertEqual(decision.canonical, at("/secret/file"))
        self.assertIn("/secret allow nothing", decision.reason)

    def test_nothingHappens(self) -> None:
        """Whatever is asked, with every permission: the files are as they were."""
        self.policy = RulePolicy(rules({"/": "elradfmwMT"}))
        for verb in VERBS:
            for path in ("/pub/file", "/pub", "/pub/new"):
                self.ask(verb, path)
        self.assertEqual(self.tree.content("/pub/file"), b"content")
        with self.assertRaises(NotFound):
            now(self.tree.viewFor("ann").stat(at("/pub/new")))
        self.assertTrue(self.ask("MV", "/pub/file").isAllowed)

    def test_readOnly(self) -> None:
        """A read-only mount denies what the rules allow, and says so."""
        self.policy = RulePolicy(rules({"/": "elradfmwMT"}))
        views = {ROOT: ReadOnlyFileSystem(Rehearsal(self.tree.viewFor("ann")))}
        decision = now(explain(views, self.policy, "STOR", at("/pub/new")))
        self.assertFalse(decision.isAllowed)
        self.assertIn("read-only", decision.reason)
        self.assertTrue(now(explain(views, self.policy, "RETR", at("/pub/file"))).isAllowed)

    def test_unknown(self) -> None:
        """A verb that is none is the caller's mistake."""
        with self.assertRaises(KeyError):
            self.ask("FLY", "/pub")
