"""
Regular expressions of our own: what they find, and that they never take long.
"""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.tftp.patterns import (
    MAXIMUM_PARTS,
    Effort,
    Match,
    Pattern,
    PatternError,
    TooMuchWork,
)


def find(pattern: str, text: str, **how: bool) -> Match | None:
    return Pattern(pattern, **how).search(text, Effort())


#: Patterns without anchors, in a language that C{re} has too.
PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[]c]", r"\.", "[[:alpha:]]"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
    ),
    max_leaves=8,
)


class FindingTests(SynchronousTestCase):
    def test_groups(self) -> None:
        """Groups tell what they matched; one that took no part is empty."""
        match = find(r"^/*([^/]+)/(x)?(.*)\.cfg$", "//boot/grub.cfg")
        assert match is not None
        text = "//boot/grub.cfg"
        self.assertEqual([match.group(n, text) for n in range(5)], [text, "boot", "", "grub", ""])

    def test_longest(self) -> None:
        """The leftmost match counts, of those the longest, whatever comes first."""
        for pattern, text, span in (
            ("a|ab|abc", "xabcd", (1, 4)),
            ("(a|ab)(c|bcd)(d*)", "abcd", (0, 4)),
            ("b|..c", "abc", (0, 3)),
            ("x*", "aaa", (0, 0)),
            ("", "abc", (0, 0)),
            ("$", "abc", (3, 3)),
        ):
            match = find(pattern, text)
            assert match is not None, pattern
            self.assertEqual((match.start, match.end), span, pattern)

    @given(PATTERNS, st.text("abc.]", max_size=7))
    def test_oracle(self, pattern: str, text: str) -> None:
        """It is what the standard library says of every single place."""
        theirs = re.compile(pattern.replace("[[:alpha:]]", "[A-Za-z]"))
        places = ((s, e) for s in range(len(text) + 1) for e in range(len(text), s - 1, -1))
        wanted = next((place for place in places if theirs.fullmatch(text, *place)), None)
        match = find(pattern, text)
        self.assertEqual((match.start, match.end) if match else None, wanted)

    def test_case(self) -> None:
        """On request, case does not matter: to letters, ranges and their opposites."""
        for pattern in ("boot", "BOOT", "[a-z]{4}", "[[:upper:]]+"):
            self.assertIsNotNone(find(f"^{pattern}$", "bOoT", ignoreCase=True), pattern)
        self.assertIsNone(find("[^a]", "A", ignoreCase=True))
        self.assertIsNone(find("boot", "BOOT"))

    def test_shorthands(self) -> None:
        """Those that everybody writes, though POSIX does not know them."""
        self.assertIsNotNone(find(r"^\d\w\s\D\W\S(?:x)$", "1_ a-bx"))

    def test_brackets(self) -> None:
        """As POSIX has them: a backslash is a backslash, a ] at the beginning is one."""
        for pattern, taken in ((r"[\d]", "\\d"), ("[]x]", "]x"), ("[^]x]", "a"), ("[a-]", "a-")):
            self.assertTrue(all(find(f"^{pattern}$", each) for each in taken), pattern)

    def test_fromTheMiddle(self) -> None:
        """A search that begins later still knows where the name begins."""
        self.assertIsNone(Pattern("^b").search("ab", Effort(), 1))
        self.assertEqual(Pattern("b").search("bab", Effort(), 1), Match((2, 3)))


class RefusedTests(SynchronousTestCase):
    def test_wrong(self) -> None:
        """What cannot be used is refused when it is read, not when a client comes."""
        for pattern in (
            "(", ")", "a)", "(a", "[", "[a", "[z-a]", "[[:what:]]", "*a", "a{", "a{x}", "a{2,1}",
            "a{256}", "\\", r"\b", r"(a)\1", "(?=a)", "(?i)a", "a*?", "(" * 60 + ")" * 60,
        ):  # fmt: skip
            self.assertRaises(PatternError, Pattern, pattern)

    def test_tooLong(self) -> None:
        """Counted repeats are written out, so far and no further."""
        self.assertRaises(PatternError, Pattern, "((a{100}){100}){100}")
        self.assertRaises(PatternError, Pattern, "a" * MAXIMUM_PARTS)


class TimeTests(SynchronousTestCase):
    def test_linear(self) -> None:
        """Patterns that keep other matchers busy for ever take a step for each letter."""
        for pattern in ("((a+)+)+$", "(a|a)*b", "(a|aa)+$", "(.*)(.*)(.*)(.*)x", "(a?){50}a{50}"):
            effort = Effort(500_000)
            Pattern(pattern).search("a" * 500 + "!", effort)
            self.assertGreater(effort.left, 0, pattern)

    def test_everyStep(self) -> None:
        """Parts that take no letter are counted too."""
        for pattern in ("(a?){80}(b?){80}(a?){40}x", "[a-z0-9._-]{250}x"):
            self.assertRaises(TooMuchWork, find, pattern, "ab" * 700)

    def test_anchored(self) -> None:
        """What can only be at the beginning is looked for nowhere else."""
        for pattern in ("^b", "(^b)+", "^(b|c)"):
            effort = Effort()
            before = effort.left
            self.assertIsNone(Pattern(pattern).search("a" * 1000 + "b", effort))
            self.assertLess(before - effort.left, 20, pattern)
        self.assertIsNotNone(find("a|^b", "ca"))
        self.assertIsNotNone(find("(^b)?a", "ca"))

    def test_counted(self) -> None:
        """Steps are counted over all searches; then it is over."""
        effort = Effort(100)
        pattern = Pattern("b")
        with self.assertRaises(TooMuchWork):
            for _ in range(100):
                pattern.search("aaaaa", effort)
