"""
Regular expressions whose time is bounded, for names that strangers choose.

Theory of operation
===================

The standard library's matcher goes back and tries again, and there are patterns, quite
harmless ones to look at, for which a name of forty letters keeps it, and with it the
reactor, busy for ever.  This one walks once over the name with all that the pattern
could still become (Thompson's construction, with captures as Pike added them): never
more steps than letters times parts of the pattern, and each of them is counted against
L{Effort}, so that a whole set of rules is bounded too.

The language is that of C{egrep} (POSIX extended regular expressions), as tftp-hpa's map
files have it: C{. [] () | * + ? {m,n} ^ $} and a backslash before what is to be taken
literally; C{\\d \\w \\s} and their opposites and C{(?:)} are understood as well.  There
are no references back and no looking around.  The leftmost match counts, and of those
the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

#: Parts that a pattern may have, after counted repeats were written out.
MAXIMUM_PARTS: Final = 1000
_MAXIMUM_COUNT: Final = 255

_NAMED: Final[dict[str, str]] = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": " \t\n\r\f\v",
    "blank": " \t",
    "xdigit": "0-9A-Fa-f",
    "punct": "!-/:-@[-`{-~",
    "print": " -~",
    "graph": "!-~",
    "cntrl": "\0-\x1f\x7f",
}
_SHORT: Final[dict[str, str]] = {"d": "digit", "w": "alnum", "s": "space"}


class PatternError(ValueError):
    """A pattern that cannot be used; says why."""


class TooMuchWork(Exception):
    """The effort that was allowed is used up."""


class Effort:
    """
    What may still be done for one request.

    @ivar left: steps; about half a million are a second.
    """

    __slots__ = ("left",)

    def __init__(self, steps: int = 50_000) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """
        @raise TooMuchWork: there are not so many left.
        """
        self.left -= steps
        if self.left < 0:
            raise TooMuchWork()


class _Set(NamedTuple):
    """Letters that one part of a pattern takes."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False
    folded: bool = False

    def takes(self, letter: str) -> bool:
        found = self._has(letter)
        if not found and self.folded:
            found = self._has(letter.lower()) or self._has(letter.upper())
        return found != self.negated

    def _has(self, letter: str) -> bool:
        return any(first <= letter <= last for first, last in self.ranges)


class _Instruction:
    """
    One part of a program.

    @ivar kind: C{letter}, C{split}, C{save}, C{begin}, C{end} or C{match}.
    @ivar next: which part follows; of a C{split} the one that is preferred.
    """

    __slots__ = ("kind", "next", "other", "slot", "takes")

    def __init__(self, kind: str, following: int, other: int = -1, slot: int = -1) -> None:
        self.kind = kind
        self.next = following
        self.other = other
        self.slot = slot
        self.takes: Callable[[str], bool] = _nothing


def _nothing(letter: str) -> bool:
    return False


class Match(NamedTuple):
    """Where a pattern was found: pairs of positions, -1 for what took no part."""

    spans: tuple[int, ...]

    @property
    def start(self) -> int:
        return self.spans[0]

    @property
    def end(self) -> int:
        return self.spans[1]

    def group(self, number: int, text: str) -> str:
        """The text of a group; empty where it took no part or is not there."""
        if 2 * number + 1 >= len(self.spans) or self.spans[2 * number] < 0:
            return ""
        return text[self.spans[2 * number] : self.spans[2 * number + 1]]


class Pattern:
    """
    A compiled pattern.

    @ivar text: as it was written.
    @ivar groups: how many it has.
    """

    def __init__(self, text: str, *, ignoreCase: bool = False) -> None:
        """
        @raise PatternError: it is wrong, too long, or of another language.
        """
        self.text = text
        self.ignoreCase = ignoreCase
        compiler = _Compiler(text, ignoreCase)
        self._program, self._first = compiler.program, compiler.first
        self.groups = compiler.groups
        first = self._first
        while self._program[first].kind == "save":
            first = self._program[first].next
        #: It can only be found at the beginning.
        self._anchored = self._program[first].kind == "begin"

    def search(self, text: str, effort: Effort, start: int = 0) -> Match | None:
        """
        The leftmost longest match from C{start} on.

        @raise TooMuchWork:
        """
        program, length = self._program, len(text)
        empty = (-1,) * (2 * self.groups + 2)
        found: tuple[int, ...] | None = None
        current: list[tuple[int, tuple[int, ...]]] = []
        position = start
        while True:
            seen: set[int] = {pc for pc, _ in current}
            if found is None and not (self._anchored and position):
                saved = (position, *empty[1:])
                self._follow(self._first, saved, text, position, current, seen)
            effort.spend(len(seen) + 1)
            letter = text[position] if position < length else ""
            following: list[tuple[int, tuple[int, ...]]] = []
            seen = set()
            for pc, saved in current:
                instruction = program[pc]
                if instruction.kind == "match":
                    # Threads with the same beginning come in the order of preference.
                    if found is None or (saved[0], -position) < (found[0], -found[1]):
                        found = (saved[0], position, *saved[2:])
                elif letter and (found is None or saved[0] <= found[0]):
                    if instruction.takes(letter):
                        after = position + 1
                        self._follow(instruction.next, saved, text, after, following, seen)
            current = following
            position += 1
            over = found is not None or self._anchored
            if position > length or (not current and over):
                return Match(found) if found is not None else None

    def _follow(
        self,
        pc: int,
        saved: tuple[int, ...],
        text: str,
        position: int,
        threads: list[tuple[int, tuple[int, ...]]],
        seen: set[int],
    ) -> None:
        """Add what can be had without taking a letter, the preferred first."""
        pending = [(pc, saved)]
        while pending:
            pc, saved = pending.pop()
            if pc in seen:
                continue
            seen.add(pc)
            instruction = self._program[pc]
            kind = instruction.kind
            if kind == "split":
                pending.append((instruction.other, saved))
                pending.append((instruction.next, saved))
            elif kind == "save":
                slot = instruction.slot
                pending.append((instruction.next, (*saved[:slot], position, *saved[slot + 1 :])))
            elif kind == "begin":
                if position == 0:
                    pending.append((instruction.next, saved))
            elif kind == "end":
                if position == len(text):
                    pending.append((instruction.next, saved))
            else:
                threads.append((pc, saved))


#: Makes the program for one part, given which part follows it; returns where it begins.
_Builder = Callable[[int], int]


class _Compiler:
    """Reads a pattern from left to right and builds its program from the end."""

    def __init__(self, text: str, ignoreCase: bool) -> None:
        self._text = text
        self._at = 0
        self._fold = ignoreCase
        self.groups = 0
        self.program: list[_Instruction] = []
        build = self._alternatives(0)
        if self._at < len(text):
            raise PatternError("a ) without its (")
        self.first = build(self._add("match", -1))

    def _add(self, kind: str, following: int, other: int = -1, slot: int = -1) -> int:
        if len(self.program) >= MAXIMUM_PARTS:
            raise PatternError(f"too long: more than {MAXIMUM_PARTS} parts")
        self.program.append(_Instruction(kind, following, other, slot))
        return len(self.program) - 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        letter = self._peek()
        self._at += 1
        return letter

    # --- the grammar ---

    def _alternatives(self, depth: int) -> _Builder:
        if depth > 50:
            raise PatternError("too many ( inside one another")
        builders = [self._sequence(depth)]
        while self._peek() == "|":
            self._take()
            builders.append(self._sequence(depth))
        return self._either(builders)

    def _either(self, builders: list[_Builder]) -> _Builder:
        if len(builders) == 1:
            return builders[0]
        first, rest = builders[0], self._either(builders[1:])
        return lambda after: self._add("split", first(after), rest(after))

    def _sequence(self, depth: int) -> _Builder:
        builders: list[_Builder] = []
        while self._peek() not in ("", "|", ")"):
            builders.append(self._repeated(depth))

        def build(after: int) -> int:
            for builder in reversed(builders):
                after = builder(after)
            return after

        return build

    def _repeated(self, depth: int) -> _Builder:
        builder = self._single(depth)
        while self._peek() in ("*", "+", "?", "{"):
            letter = self._take()
            if letter == "{":
                least, most = self._counts()
            else:
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[letter]
            if letter != "{" and self._peek() == "?":
                raise PatternError(f"{letter}? is not supported: the longest match counts")
            builder = self._times(builder, least, most)
        return builder

    def _counts(self) -> tuple[int, int | None]:
        closing = self._text.find("}", self._at)
        low, comma, high = self._text[self._at : max(closing, self._at)].partition(",")
        if closing < 0 or not low.isascii() or not low.isdigit():
            raise PatternError("expected {m}, {m,} or {m,n}; a literal { is written \\{")
        if high and not (high.isascii() and high.isdigit()):
            raise PatternError("expected {m}, {m,} or {m,n}; a literal { is written \\{")
        self._at = closing + 1
        least = int(low)
        most = int(high) if high else None if comma else least
        if max(least, most or 0) > _MAXIMUM_COUNT or (most is not None and most < least):
            raise PatternError(f"a count must be at most {_MAXIMUM_COUNT}, the smaller first")
        return least, most

    def _times(self, builder: _Builder, least: int, most: int | None) -> _Builder:
        def build(after: int) -> int:
            if most is None:
                loop = self._add("split", -1, after)
                self.program[loop].next = builder(loop)
                after = loop
            else:
                end = after
                for _ in range(most - least):
                    after = self._add("split", builder(after), end)
            for _ in range(least):
                after = builder(after)
            return after

        return build

    def _single(self, depth: int) -> _Builder:
        letter = self._take()
        if letter == "(":
            return self._group(depth)
        if letter == "[":
            return self._one(self._bracket())
        if letter == ".":
            return self._one(_Set((("\0", "\U0010ffff"),)))
        if letter == "^":
            return lambda after: self._add("begin", after)
        if letter == "$":
            return lambda after: self._add("end", after)
        if letter in ("*", "+", "?", "{"):
            raise PatternError(f"nothing before {letter} that could be repeated")
        if letter == "\\":
            return self._one(self._escaped())
        return self._one(_Set(((letter, letter),), folded=self._fold))

    def _group(self, depth: int) -> _Builder:
        number = 0
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise PatternError("(? is only understood as (?: )")
            self._at += 2
        else:
            self.groups += 1
            number = self.groups
        inner = self._alternatives(depth + 1)
        if self._take() != ")":
            raise PatternError("a ( without its )")
        if not number:
            return inner

        def build(after: int) -> int:
            end = self._add("save", after, slot=2 * number + 1)
            return self._add("save", inner(end), slot=2 * number)

        return build

    def _one(self, letters: _Set) -> _Builder:
        def build(after: int) -> int:
            place = self._add("letter", after)
            self.program[place].takes = letters.takes
            return place

        return build

    def _escaped(self) -> _Set:
        letter = self._take()
        if not letter:
            raise PatternError("a backslash at the end")
        name = _SHORT.get(letter.lower())
        if name is not None:
            more = (("_", "_"),) if name == "alnum" else ()
            return _Set((*_ranges(_NAMED[name]), *more), negated=letter.isupper())
        if letter.isalnum():
            raise PatternError(f"\\{letter} is not supported")
        return _Set(((letter, letter),))

    def _bracket(self) -> _Set:
        negated = self._peek() == "^"
        if negated:
            self._take()
        ranges: list[tuple[str, str]] = []
        first = True
        while first or self._peek() != "]":
            letter = self._take()
            if not letter:
                raise PatternError("a [ without its ]")
            first = False
            if letter == "[" and self._peek() in (":", ".", "="):
                ranges += self._named()
                continue
            last = letter
            following = self._text[self._at : self._at + 2]
            if following[:1] == "-" and following[1:] not in ("", "]"):
                self._take()
                last = self._take()
            if last < letter:
                raise PatternError(f"{letter}-{last} is in the wrong order")
            ranges.append((letter, last))
        self._take()
        return _Set(tuple(ranges), negated, self._fold)

    def _named(self) -> list[tuple[str, str]]:
        closing = self._text.find(":]", self._at)
        name = self._text[self._at + 1 : max(closing, self._at + 1)]
        if self._peek() != ":" or closing < 0 or name not in _NAMED:
            raise PatternError(f"expected one of [:{':], [:'.join(_NAMED)}:] inside of []")
        self._at = closing + 2
        return list(_ranges(_NAMED[name]))


def _ranges(text: str) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        if text[at + 1 : at + 2] == "-" and at + 2 < len(text):
            found.append((text[at], text[at + 2]))
            at += 3
        else:
            found.append((text[at], text[at]))
            at += 1
    return tuple(found)
