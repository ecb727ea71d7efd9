"""
Rules: which account may do what below which path.

The rule with the longest path that holds a file decides about it, alone; shorter ones
say nothing any more.  Where no rule applies nothing is permitted.  An account's own
rule for a path goes before its groups' rules for the same path; the rules of several
groups for one path add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from zope.interface import implementer

from filehub.accounts.patterns import NamePatterns
from filehub.interfaces import IPermissionPolicy
from filehub.naming import INamePolicy
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
    @ivar names: what it says of names below C{path}.
    @ivar alternatives: the rules of several groups for C{path} of which one is enough,
        where they differ in what they say of names; C{allow} is what they add up to.
    """

    path: VirtualPath
    allow: Permission
    origin: str = ""
    names: NamePatterns | None = None
    alternatives: tuple[PathRule, ...] = ()

    def plus(self, other: PathRule) -> PathRule:
        """Both of them, of one path: what one permits is permitted."""
        origin = ", ".join(filter(None, (self.origin, other.origin)))
        allow = self.allow | other.allow
        if self.names == other.names and self.allow == other.allow and not self.alternatives:
            return PathRule(self.path, allow, origin, self.names)
        if not (self.names or other.names or self.alternatives):
            return PathRule(self.path, allow, origin)
        return PathRule(self.path, allow, origin, None, (*self.parts, other))

    @property
    def parts(self) -> tuple[PathRule, ...]:
        """The alternatives; itself if there are none."""
        return self.alternatives or (self,)

    @property
    def naming(self) -> tuple[object, ...]:
        """See L{INamePolicy.namingBelow}."""
        if self.alternatives:
            return tuple((each.allow, each.names) for each in self.alternatives)
        return (self.names,) if self.names else ()

    def judge(self, path: VirtualPath) -> tuple[Permission, str]:
        """What it permits there, and what it says against the names; mostly nothing."""
        names = path.segments[len(self.path.segments) :]
        granted, why = NOTHING, ""
        for each in self.parts:
            if each.names is None:
                granted |= each.allow
                continue
            allow, objection = each.names.limit(names, each.allow)
            granted |= allow
            why = why or objection
        return granted, why if granted != self.allow else ""

    def __str__(self) -> str:
        where = f" ({self.origin})" if self.origin else ""
        return f"{self.path} allow {formatPermissions(self.allow) or 'nothing'}{where}"


@implementer(IPermissionPolicy, INamePolicy)
class RulePolicy:
    """See L{IPermissionPolicy} and this module's introduction."""

    def __init__(
        self,
        rules: Iterable[PathRule],
        inherited: Iterable[Iterable[PathRule]] = (),
        mounts: Mapping[VirtualPath, NamePatterns] | None = None,
    ) -> None:
        """
        @param rules: the account's own.
        @param inherited: the rules of each of its groups.
        @param mounts: what each mount says of names, be it nothing; L{None}: none says
            anything.
        """
        table: dict[tuple[str, ...], PathRule] = {}
        for group in inherited:
            for rule in group:
                other = table.get(rule.path.segments)
                if other is not None:
                    rule = other.plus(rule)
                table[rule.path.segments] = rule
        table.update((rule.path.segments, rule) for rule in rules)
        self._table = table
        self._depth = max(map(len, table), default=0)
        self._below = _belowEach(table.values())
        self._remembered: dict[tuple[str, ...], PathRule | None] = {}
        named = mounts if mounts is not None and any(mounts.values()) else {}
        self._mounts = {point.segments: names for point, names in named.items()}
        #: Is there anything to look at names for?
        self._looks = bool(self._mounts) or any(rule.naming for rule in table.values())

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
        if rule is None:
            return NOTHING
        return self._judge(rule, path)[0] if self._looks else rule.allow

    def _judge(self, rule: PathRule, path: VirtualPath) -> tuple[Permission, str]:
        granted, why = rule.judge(path)
        depth, names = self._mountOf(path)
        if names:
            granted, objection = names.limit(path.segments[depth:], granted)
            if objection:
                why = f"of the mount /{'/'.join(path.segments[:depth])}, {objection}"
        return granted, why

    def _mountOf(self, path: VirtualPath) -> tuple[int, NamePatterns | None]:
        """How deep the mount begins that has this path, and what it says of names."""
        if self._mounts:
            for length in range(len(path.segments), -1, -1):
                names = self._mounts.get(path.segments[:length])
                if names is not None:
                    return length, names
        return 0, None

    def reasonFor(self, path: VirtualPath) -> str:
        """See L{IPermissionPolicy.reasonFor}."""
        rule = self.ruleFor(path)
        if rule is None:
            return "no rule, and what no rule allows is denied"
        why = self._judge(rule, path)[1]
        return f"rule {rule}: {why}" if why else f"rule {rule}"

    def namingBelow(self, path: VirtualPath) -> tuple[object, ...]:
        """See L{INamePolicy.namingBelow}."""
        if not self._looks:
            return ()
        rule, names = self.ruleFor(path), self._mountOf(path)[1]
        return (*(rule.naming if rule is not None else ()), *((names,) if names else ()))

    def strictestRuleBelow(self, path: VirtualPath) -> Permission:
        """See L{INamePolicy.strictestRuleBelow}."""
        here = self._lettersAt(path)
        below = self._below.get(path.segments)
        return here if below is None else here & below[0]

    def strictestBelow(self, path: VirtualPath) -> Permission:
        """See L{IPermissionPolicy.strictestBelow}."""
        # Whichever name it is that nothing may be done with: it may come.
        return NOTHING if self.namingBelow(path) else self.strictestRuleBelow(path)

    def loosestBelow(self, path: VirtualPath) -> Permission:
        """See L{IPermissionPolicy.loosestBelow}."""
        here = self._lettersAt(path)
        below = self._below.get(path.segments)
        return here if below is None else here | below[1]

    def _lettersAt(self, path: VirtualPath) -> Permission:
        """What is permitted there, whatever the name."""
        rule = self.ruleFor(path)
        return rule.allow if rule is not None else NOTHING


def _belowEach(rules: Iterable[PathRule]) -> dict[tuple[str, ...], tuple[Permission, Permission]]:
    """
    For each directory with a rule somewhere below it: what all of those rules allow,
    and what any of them does.
    """
    # Plain integers: flags take ten times as long, and there may be thousands.
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    for rule in rules:
        segments, allow = rule.path.segments, int(rule.allow)
        surely = 0 if rule.naming else allow
        for length in range(len(segments)):
            every, some = found.get(segments[:length], (~0, 0))
            found[segments[:length]] = every & surely, some | allow
    return {key: (Permission(every), Permission(some)) for key, (every, some) in found.items()}
