"""
The letters.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.permissions import (
    EVERYTHING,
    LETTERS,
    NOTHING,
    READ_ONLY,
    Permission,
    formatPermissions,
    parsePermissions,
)


class PermissionTests(SynchronousTestCase):
    """Letters to permissions and back."""

    def test_letters(self) -> None:
        """Each letter is the permission that FTP administrators know by it."""
        self.assertEqual(
            {letter: each.name for letter, each in LETTERS.items()},
            {
                "e": "ENTER", "l": "LIST", "r": "RETRIEVE", "a": "APPEND", "d": "DELETE",
                "f": "RENAME", "m": "MAKE", "w": "STORE", "M": "MODE", "T": "TIME",
            },
        )  # fmt: skip
        self.assertEqual(list(LETTERS.values()), list(Permission))

    def test_sets(self) -> None:
        """The named sets are what their names say."""
        self.assertEqual(formatPermissions(EVERYTHING), "elradfmwMT")
        self.assertEqual(formatPermissions(READ_ONLY), "elr")
        self.assertEqual(formatPermissions(NOTHING), "")

    def test_unknown(self) -> None:
        """Another letter is an error that says which are known."""
        for letters in ("x", "elR", "e l", "é", "elr\n"):
            with self.assertRaises(ValueError) as caught:
                parsePermissions(letters)
            self.assertIn("expected letters of elradfmwMT", str(caught.exception))

    def test_case(self) -> None:
        """C{m} makes directories and C{M} changes modes."""
        self.assertIs(parsePermissions("m"), Permission.MAKE)
        self.assertIs(parsePermissions("M"), Permission.MODE)

    @given(st.sets(st.sampled_from("elradfmwMT")), st.randoms())
    def test_roundTrip(self, letters: set, random: object) -> None:
        """Any set of letters, in any order and repeated, comes back in the usual order."""
        text = list(letters) * 2
        random.shuffle(text)
        expected = "".join(each for each in "elradfmwMT" if each in letters)
        self.assertEqual(formatPermissions(parsePermissions("".join(text))), expected)
