"""
Which line is it?
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.config.places import findPlaces, lineOf

REFERENCE = Path(__file__).parent.parent.parent / "etc"

TEXT = '''\
# A comment with [brackets] and key = value

title = "x"
[server]
name = "[ftp]"     # [not a table]
state = "/a#b"
dotted.key = 1
"quoted key" = 2

[[mount]]
path = "/"
[[mount]]
path = "/two"
source = """
[fake]
also = "fake"
"""
list = [
  "a",
  "b = c",
  [1, 2],
]
inline = { one = 1, two = [
  2 ] }
after = true

[[user]]
name = "ann"
[[user.rule]]
path = "/"
[[user.rule]]
allow = ""
[[user]]
name = 'bob'
[[user.rule]]
path = "/bob"
[ a . "b" ]
deep = 1
'''


def keysOf(data: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in parsed data that has a key or header of its own."""
    found: list[tuple[Any, ...]] = []
    if isinstance(data, dict):
        for key, value in data.items():
            found.append((*place, key))
            if isinstance(value, dict):
                found += keysOf(value, (*place, key))
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                for index, each in enumerate(value):
                    found += keysOf(each, (*place, key, index))
    return found


class PlaceTests(SynchronousTestCase):
    """L{findPlaces} and L{lineOf}."""

    def test_lines(self) -> None:
        """Headers, keys, arrays of tables, nested ones; nothing inside strings."""
        lines = TEXT.splitlines()
        places = findPlaces(TEXT)
        for place, text in {
            ("title",): 'title = "x"',
            ("server",): "[server]",
            ("server", "name"): 'name = "[ftp]"     # [not a table]',
            ("server", "state"): 'state = "/a#b"',
            ("server", "dotted", "key"): "dotted.key = 1",
            ("server", "quoted key"): '"quoted key" = 2',
            ("mount", 0): "[[mount]]",
            ("mount", 0, "path"): 'path = "/"',
            ("mount", 1, "path"): 'path = "/two"',
            ("mount", 1, "source"): 'source = """',
            ("mount", 1, "list"): "list = [",
            ("mount", 1, "after"): "after = true",
            ("user", 0, "rule", 1): "[[user.rule]]",
            ("user", 0, "rule", 1, "allow"): 'allow = ""',
            ("user", 1, "name"): "name = 'bob'",
            ("user", 1, "rule", 0, "path"): 'path = "/bob"',
            ("a", "b", "deep"): "deep = 1",
        }.items():
            self.assertEqual(lines[places[place] - 1], text, place)
        self.assertNotIn(("mount", 1, "also"), places)
        self.assertNotIn(("fake",), places)

    def test_nearest(self) -> None:
        """What has no line has that of what is around it."""
        places = findPlaces(TEXT)
        self.assertEqual(lineOf(places, ("mount", 1, "list", 2)), places["mount", 1, "list"])
        self.assertEqual(lineOf(places, ("user", 0, "missing")), places["user", 0])
        self.assertIsNone(lineOf(places, ("nowhere", "key")))
        self.assertIsNone(lineOf(places, ()))

    def test_shippedFiles(self) -> None:
        """Every key of the files that are shipped has a line, on which it is."""
        files = sorted(REFERENCE.rglob("*.toml"))
        self.assertTrue(files)
        for path in files:
            text = path.read_text()
            lines = text.splitlines()
            places = findPlaces(text)
            for place in keysOf(tomllib.loads(text)):
                line = lineOf(places, place)
                if place in places or not isinstance(place[-1], str):
                    assert line is not None
                    self.assertIn(place[-1], lines[line - 1], (path, place))
                else:
                    # Only what is implied by a header has none of its own.
                    self.assertTrue(any(each[: len(place)] == place for each in places), place)

    @given(st.text())
    def test_anyText(self, text: str) -> None:
        """No text breaks it, and every line that it names exists."""
        count = len(text.splitlines())
        for line in findPlaces(text).values():
            self.assertTrue(1 <= line <= count)
