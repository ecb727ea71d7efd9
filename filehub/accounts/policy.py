"""
Rules: which account may do what below which path.

The rule with the longest path that holds a file decides about it, alone; shorter ones
say nothing any more.  Where no rule applies nothing is permitted.  An account's own
rule for a path goes before its groups' rules for the same path; the rules of several
groups for one path add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from zope.interface import implementer

from filehub.interfaces import IPermissionPolicy
from filehub.paths import VirtualPath
from filehub.permissions import NOTHING, Permission, formatPermissions

#: Paths whose rule is remembered; beyond that they are looked up again.
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class PathRule:
    """
    At and below C{path}, C{allow}.

    @ivar origin: where the rule was written, for the operator, e.g.
        C{"filehub.toml:17"}.
    """

    path: VirtualPath
    allow: Permission
    origin: str = ""

    def __str__(self) -> str:
        where = f" ({self.origin})" if self.origin else ""
        return f"{self.path} allow {formatPermissions(self.allow) or 'nothing'}{where}"


@implementer(IPermissionPolicy)
class RulePolicy:
    """See L{IPermissionPolicy} and this module's introduction."""

    def __init__(
        self, rules: Iterable[PathRule], inherited: Iterable[Iterable[PathRule]] = ()
    ) -> None:
        """
        @param rules: the account's own.
        @param inherited: the rules of each of its groups.
        """
        table: dict[tuple[str, ...], PathRule] = {}
        for group in inherited:
            for rule in group:
                other = table.get(rule.path.segments)
                if other is not None:
                    origin = ", ".join(filter(None, (other.origin, rule.origin)))
                    rule = PathRule(rule.path, other.allow | rule.allow, origin)
                table[rule.path.segments] = rule
        table.update((rule.path.segments, rule) for rule in rules)
        self._table = table
        self._depth = max(map(len, table), default=0)
        self._below = _belowEach(table.values())
        self._remembered: dict[tuple[str, ...], PathRule | None] = {}

    @property
    def rules(self) -> tuple[PathRule, ...]:
        """All rules in force, in order of their paths."""
        return tuple(self._table[key] for key in sorted(self._table))

    def ruleFor(self, path: VirtualPath) -> PathRule | None:
        """The rule that decides about this path."""
        key = path.segments[: self._depth]
        try:
            return self._remembered[key]
        except KeyError:
            found = None
            for length in range(len(key), -1, -1):
                found = self._table.get(key[:length])
                if found is not None:
                    break
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
            return found

    def permissionsFor(self, path: VirtualPath) -> Permission:
        """See L{IPermissionPolicy.permissionsFor}."""
        rule = self.ruleFor(path)
        return rule.allow if rule is not None else NOTHING

    def reasonFor(self, path: VirtualPath) -> str:
        """See L{IPermissionPolicy.reasonFor}."""
        rule = self.ruleFor(path)
        return f"rule {rule}" if rule is not None else "no rule, and what no rule allows is denied"

    def strictestBelow(self, path: VirtualPath) -> Permission:
        """See L{IPermissionPolicy.strictestBelow}."""
        here = self.permissionsFor(path)
        below = self._below.get(path.segments)
        return here if below is None else here & below[0]

    def loosestBelow(self, path: VirtualPath) -> Permission:
        """See L{IPermissionPolicy.loosestBelow}."""
        here = self.permissionsFor(path)
        below = self._below.get(path.segments)
        return here if below is None else here | below[1]


def _belowEach(rules: Iterable[PathRule]) -> dict[tuple[str, ...], tuple[Permission, Permission]]:
    """
    For each directory with a rule somewhere below it: what all of those rules allow,
    and what any of them does.
    """
    # Plain integers: flags take ten times as long, and there may be thousands.
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    for rule in rules:
        segments, allow = rule.path.segments, int(rule.allow)
        for length in range(len(segments)):
            every, some = found.get(segments[:length], (~0, 0))
            found[segments[:length]] = every & allow, some | allow
    return {key: (Permission(every), Permission(some)) for key, (every, some) in found.items()}
