"""
Tests of L{filehub.config.workers}: what cannot be divided is refused in words.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.config.schema import Configuration
from filehub.config.workers import checkWorkers, workerCount


class WorkersTests(SynchronousTestCase):
    """Values as they stand in the file."""

    def complaints(self, **values: object) -> list[str]:
        found: list[str] = []
        checkWorkers(Configuration.model_validate(values), lambda text, *place: found.append(text))
        return found

    def test_refused(self) -> None:
        """Each reason is named."""
        for section, named in (
            ({"mount": [{"path": "/", "source": "file:///srv", "quota": 1000}]}, "quotas"),
            ({"tftp": {"multicast": {"addresses": ["239.1.0.0/30"]}}}, "tftp.multicast"),
            ({"tftp": {"listen": ["systemd:index=0"]}}, "TFTP sockets of systemd"),
        ):
            for workers in (2, "auto"):
                found = self.complaints(server={"workers": workers}, **section)
                self.assertEqual(len(found), 1)
                self.assertIn(named, found[0])
            self.assertEqual(self.complaints(**section), [])

    def test_count(self) -> None:
        """A number is that number, C{"auto"} at least one."""
        for workers, least, most in ((1, 1, 1), (3, 3, 3), ("auto", 1, 1024)):
            values = Configuration.model_validate({"server": {"workers": workers}})
            self.assertTrue(least <= workerCount(values) <= most)
