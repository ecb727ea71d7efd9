"""
The bursts that windows leave in.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.tftp.pacing import Pace


def lose(pace: Pace, *through: int) -> None:
    for each in through:
        pace.lost(each)


class PaceTests(SynchronousTestCase):
    def test_chance(self) -> None:
        """Losses with whole windows between them change nothing."""
        pace = Pace(16)
        for _ in range(100):
            lose(pace, 3, 7)
            self.assertTrue(pace.watchful)
            pace.arrived()
            self.assertFalse(pace.watchful)
        self.assertEqual(pace.burst, 16)

    def test_repeated(self) -> None:
        """Three windows in a row: bursts are as long as what got through at the least."""
        pace = Pace(16)
        lose(pace, 5, 4, 6)
        self.assertEqual(pace.burst, 4)
        lose(pace, 4, 4, 4)
        self.assertEqual(pace.burst, 2)
        lose(pace, 0, 0, 0)
        self.assertEqual(pace.burst, 1)

    def test_longerPauses(self) -> None:
        """When bursts cannot be shorter, pauses become longer, up to a limit."""
        pace = Pace(4)
        lose(pace, 0, 0, 0)
        before = pace.pause(0.0)
        lose(pace, 0, 0, 0)
        self.assertEqual(pace.pause(0.0), 2 * before)
        lose(pace, *[0] * 100)
        self.assertEqual(pace.pause(0.0), 16 * before)

    def test_pause(self) -> None:
        """A window takes a round trip, or as long as timers can measure."""
        pace = Pace(16)
        lose(pace, 4, 4, 4)
        self.assertEqual(pace.pause(0.4), 0.1)
        self.assertEqual(pace.pause(0.0001), 0.001)

    def test_recovery(self) -> None:
        """Whole windows bring longer bursts; each time that fails, it takes more of them."""
        pace = Pace(16)
        needed = []
        for _ in range(3):
            while pace.burst == 16:
                lose(pace, 4)
            for count in range(1, 1000):
                pace.arrived()
                if pace.burst > 4:
                    needed.append(count)
                    break
            while pace.burst < 16:
                pace.arrived()
        self.assertEqual(needed, [2, 4, 8])
        self.assertFalse(pace.watchful)

    def test_hugeWindows(self) -> None:
        """A window is not cut into more than 64 bursts."""
        pace = Pace(65535)
        lose(pace, 0, 0, 0)
        self.assertEqual(pace.burst, 1024)
