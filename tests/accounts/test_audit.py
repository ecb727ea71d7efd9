"""
What the observers are told of denials and changes.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.audit import AuditedFileSystem
from filehub.accounts.guard import Denial, GuardedFileSystem
from filehub.errors import NotFound
from filehub.events import Denied, NameChanged
from filehub.vfs.memory import MemoryFileSystem
from tests.accounts.doubles import Events, at, connection, now, policy
from tests.accounts.verbs import CASES, LETTERS, newTree


class AuditTests(SynchronousTestCase):
    """What the observers are told."""

    def setUp(self) -> None:
        self.sink = Events()
        self.tree = newTree()

    def audited(self, table: dict[str, str]) -> AuditedFileSystem:
        """The whole stack over C{/real}."""
        guarded = GuardedFileSystem(MemoryFileSystem(self.tree), policy(table))
        return AuditedFileSystem(guarded, self.sink, connection(), "ann")

    def test_denials(self) -> None:
        """Every verb's denial is told once, with verb, path and reason, and still raised."""
        for name, verb, _ in CASES:
            self.sink.seen.clear()
            with self.assertRaises(Denial) as caught:
                now(verb(self.audited({"/": ""}), lambda name: at(f"/real/{name}")))
            (event,) = self.sink.seen
            assert isinstance(event, Denied)
            self.assertEqual((event.account, event.verb), ("ann", name))
            self.assertEqual(event.path, caught.exception.path)
            self.assertIn("rule / allow nothing", event.reason)
            self.assertNotIn("rule", str(caught.exception))

    def test_changes(self) -> None:
        """Changes of names are told after they happened; other verbs are silent."""
        told = {
            "makeDirectory", "removeDirectory", "removeFile", "rename", "setAttributes",
            "makeLink", "copy",
        }  # fmt: skip
        for name, verb, _ in CASES:
            self.tree = newTree()
            self.sink.seen.clear()
            now(verb(self.audited({"/": LETTERS}), lambda name: at(f"/real/{name}")))
            kinds = [type(event) for event in self.sink.seen]
            self.assertEqual(kinds, [NameChanged] if name in told else [], name)

    def test_failures(self) -> None:
        """What fails for another reason is neither a denial nor a change."""
        with self.assertRaises(NotFound):
            now(self.audited({"/": LETTERS}).removeFile(at("/missing")))
        self.assertEqual(self.sink.seen, [])
