"""
Tests of L{filehub.config.values}: what texts mean.
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from filehub.config.values import Rate, Size


class SizeTests(SynchronousTestCase):
    """Bytes, and bytes a second."""

    def test_units(self) -> None:
        """Tens for SI, twos for IEC, to the byte."""
        read = TypeAdapter(Size).validate_python
        for text, expected in (
            (0, 0),
            ("500 MB", 500_000_000),
            ("2.5 GiB", 2_684_354_560),
            ("1kB", 1000),
            ("1KiB", 1024),
            ("3 TB", 3 * 10**12),
            ("0.001 kB", 1),
            ("1.001 KiB", 1025),
        ):
            self.assertEqual(read(text), expected)
        self.assertEqual(TypeAdapter(Rate).validate_python("1 MiB"), 1 << 20)

    def test_nonsense(self) -> None:
        """What could mean two things means none."""
        read = TypeAdapter(Size).validate_python
        for text in ("", "1", "1M", "1KB", "-1 MB", "1. MB", "1.0000 MB", "1 MB ", "\u0661 MB"):
            self.assertRaises(ValidationError, read, text)
