"""
Rules that rewrite or refuse the names in requests, before they become paths.

They see a name as the client sent it and are pure: which files exist they ask whoever
runs them (L{RuleSet.run} is a generator for that one question).  All of their work for
one request is bounded, see L{filehub.protocols.tftp.patterns}.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from filehub.errors import ConfigurationError, PermissionDenied
from filehub.protocols.tftp.patterns import Effort, Match, Pattern, PatternError, TooMuchWork

Repeat = Literal["once", "again", "rest"]
Then = Literal["next", "stop", "found", "restart", "deny", "jump"]
Verb = Literal["get", "put"]
Family = Literal["any", "ipv4", "ipv6"]

#: How often one request may start over from the first rule.
MAXIMUM_RESTARTS: Final = 100
#: The longest name that rules may make, in letters.
MAXIMUM_NAME: Final = 1024

#: What a backslash in a replacement may be followed by.
_ESCAPE: Final = re.compile(r"\\(ip|hex|mac|local|[0-9]|[ULE]|[^A-Za-z0-9])|\\(.?)", re.DOTALL)


class EndlessRules(PermissionDenied):
    """The rules came to no end: the operator's mistake, for the client a denial."""


class Caller:
    """
    What is known of a client.

    @ivar host: its address as text, without scope.
    @ivar local: our address that it asked.
    """

    __slots__ = ("_findMAC", "host", "local")

    def __init__(
        self, host: str, local: str = "", findMAC: Callable[[str], str | None] | None = None
    ) -> None:
        """
        @param findMAC: from an address to its hardware address; asked only if needed.
        """
        self.host = host.partition("%")[0]
        self.local = local.partition("%")[0]
        self._findMAC = findMAC

    @property
    def isIPv6(self) -> bool:
        return ":" in self.host

    @property
    def mac(self) -> str | None:
        """C{52-54-00-12-34-56}, or L{None} if it is not a neighbour."""
        found = self._findMAC(self.host) if self._findMAC is not None else None
        return found.replace(":", "-") if found is not None else None

    def macro(self, name: str) -> str | None:
        """The value of C{ip}, C{hex}, C{mac} or C{local}; L{None} if it is not known."""
        if name == "ip":
            return self.host
        if name == "hex":
            return ipaddress.ip_address(self.host).packed.hex().upper()
        return self.mac if name == "mac" else self.local


class _Part(NamedTuple):
    """A piece of a replacement: C{text}, C{group}, C{macro} or C{case}."""

    kind: str
    value: str


class Replacement:
    """
    What a match is replaced by: text with C{\\0} to C{\\9} (what groups matched),
    C{\\ip}, C{\\hex}, C{\\mac}, C{\\local} (the caller), C{\\U}, C{\\L}, C{\\E} (upper case,
    lower case, neither from here on) and a backslash before any other character.

    @ivar macros: the names of those that it uses.
    """

    def __init__(self, text: str) -> None:
        """
        @raise PatternError: a backslash before something else.
        """
        self.text = text
        self._parts: list[_Part] = []
        at = 0
        for found in _ESCAPE.finditer(text):
            self._add("text", text[at : found.start()])
            at = found.end()
            if found[1] is None:
                raise PatternError(f"\\{found[2]} means nothing in a replacement")
            word = found[1]
            if word in ("U", "L", "E"):
                self._add("case", word)
            elif word.isdigit():
                self._add("group", word)
            elif word.isalpha():
                self._add("macro", word)
            else:
                self._add("text", word)
        self._add("text", text[at:])
        self.macros = frozenset(part.value for part in self._parts if part.kind == "macro")
        self.groups = max(
            (int(each.value) for each in self._parts if each.kind == "group"), default=0
        )

    def _add(self, kind: str, value: str) -> None:
        if value:
            self._parts.append(_Part(kind, value))

    def expand(self, match: Match | None, text: str, caller: Caller) -> str | None:
        """The text for one match; L{None} if the caller is not known well enough."""
        done: list[str] = []
        case = "E"
        for kind, value in self._parts:
            if kind == "case":
                case = value
                continue
            if kind == "group":
                value = match.group(int(value), text) if match is not None else ""
            elif kind == "macro":
                found = caller.macro(value)
                if not found:
                    return None
                value = found
            done.append(value.upper() if case == "U" else value.lower() if case == "L" else value)
        return "".join(done)


@dataclass(frozen=True)
class RewriteRule:
    """
    One rule.

    @ivar pattern: what is looked for, anywhere in the name.
    @ivar replacement: what the match becomes; L{None} leaves the name.
    @ivar repeat: C{"again"} replaces as long as the pattern is found in the result,
        C{"rest"} every match from left to right.
    @ivar then: what comes next if the rule applied: the C{"next"} rule; none
        (C{"stop"}); none if such a file can be read, else the name stays as it was
        (C{"found"}); all of them once more (C{"restart"}); a refusal (C{"deny"}); those
        from L{target} on (C{"jump"}).
    @ivar unless: the rule applies to names without a match.
    @ivar verbs: the requests that it is for.
    @ivar message: what a client is told that is denied.
    @ivar label: a name for this rule, where others jump to.
    @ivar target: the label that this one jumps to.
    """

    pattern: Pattern
    replacement: Replacement | None = None
    repeat: Repeat = "once"
    then: Then = "next"
    unless: bool = False
    verbs: frozenset[Verb] = frozenset(("get", "put"))
    family: Family = "any"
    message: str = ""
    label: str = ""
    target: str = ""

    def __post_init__(self) -> None:
        """
        @raise PatternError: parts that do not go together.
        """
        if self.unless and self.replacement is not None:
            raise PatternError("what is not found cannot be replaced: unless and replace exclude")
        if self.then == "deny" and self.replacement is not None:
            raise PatternError("a rule that denies replaces nothing")
        if self.repeat != "once" and self.replacement is None:
            raise PatternError("only a replacement can be repeated")
        if (self.then == "jump") != bool(self.target):
            raise PatternError("a jump needs a label to jump to, and nothing else has one")
        if self.replacement is not None and self.replacement.groups > self.pattern.groups:
            raise PatternError(
                f"\\{self.replacement.groups} in the replacement, but the pattern has"
                f" {self.pattern.groups} groups"
            )

    def isFor(self, caller: Caller, verb: Verb) -> bool:
        """Is such a request looked at?"""
        if verb not in self.verbs:
            return False
        return self.family == "any" or (self.family == "ipv6") == caller.isIPv6


@dataclass(frozen=True)
class RuleSet:
    """
    All rules of a listener, in their order.

    @ivar macros: the facts about a client that its rules use.
    @ivar asks: must whoever runs it be able to say which files there are?
    """

    rules: Sequence[RewriteRule] = ()
    macros: frozenset[str] = field(init=False)
    asks: bool = field(init=False)
    _labels: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """
        @raise ConfigurationError: a jump to where nothing is.
        """
        labels = {rule.label: index for index, rule in enumerate(self.rules) if rule.label}
        for rule in self.rules:
            if rule.target and rule.target not in labels:
                raise ConfigurationError(f"found a jump to {rule.target!r}, expected a label")
        used = [rule.replacement.macros for rule in self.rules if rule.replacement is not None]
        object.__setattr__(self, "_labels", labels)
        object.__setattr__(self, "macros", frozenset().union(*used))
        object.__setattr__(self, "asks", any(rule.then == "found" for rule in self.rules))

    def run(self, name: str, caller: Caller, verb: Verb) -> Generator[str, bool, str]:
        """
        Yields names for the question whether such a file can be read; returns the
        name in the end.

        @raise PermissionDenied: a rule says so.
        @raise EndlessRules: they come to no end.
        """
        try:
            return (yield from self._run(name, caller, verb, Effort()))
        except TooMuchWork:
            raise EndlessRules(None) from None

    def _run(
        self, name: str, caller: Caller, verb: Verb, effort: Effort
    ) -> Generator[str, bool, str]:
        index = restarts = 0
        while index < len(self.rules):
            rule = self.rules[index]
            index += 1
            effort.spend(1)
            if not rule.isFor(caller, verb):
                continue
            match = rule.pattern.search(name, effort)
            if (match is None) is not rule.unless:
                continue
            before = name
            if rule.replacement is not None and match is not None:
                replaced = _replaced(rule, rule.replacement, name, match, caller, effort)
                if replaced is None:
                    continue
                name = replaced
            if rule.then == "deny":
                raise PermissionDenied(None, rule.message)
            if rule.then == "stop":
                break
            if rule.then == "found":
                if (yield name):
                    break
                name = before
            elif rule.then in ("restart", "jump"):
                restarts += 1
                if restarts > MAXIMUM_RESTARTS:
                    raise TooMuchWork()
                index = self._labels[rule.target] if rule.then == "jump" else 0
        return name


#: Names stay as they are.
NO_RULES: Final = RuleSet()


def _replaced(
    rule: RewriteRule,
    replacement: Replacement,
    name: str,
    match: Match,
    caller: Caller,
    effort: Effort,
) -> str | None:
    """The name after a replacement; L{None} if the caller is not known well enough."""
    found: Match | None = match
    while found is not None:
        text = replacement.expand(found, name, caller)
        if text is None:
            return None
        effort.spend(len(name))
        name = name[: found.start] + text + name[found.end :]
        if len(name) > MAXIMUM_NAME:
            raise TooMuchWork()
        if rule.repeat == "once":
            return name
        start = 0
        if rule.repeat == "rest":
            # An empty match must not be found again where it was.
            start = found.start + len(text) + (found.start == found.end)
            if start > len(name):
                return name
        found = rule.pattern.search(name, effort, start)
    return name
