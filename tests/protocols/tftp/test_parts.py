"""
The small parts: errors and codes, rate limits, timers, round trips, listener strings.
"""

from __future__ import annotations

import math
import os
import socket
import tempfile
from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub import errors
from filehub.errors import ConfigurationError, FileHubError, InvalidName
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.tftp import replies
from filehub.protocols.tftp.alarms import Alarms
from filehub.protocols.tftp.gate import RequestGate, TokenBucket, isLoopback, prefixOf
from filehub.protocols.tftp.listening import openListener
from filehub.protocols.tftp.names import pathOf
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.protocols.tftp.timing import RoundTrip
from filehub.protocols.tftp.wire import MAXIMUM_ERROR, encodeError


def leaves(kind: type[FileHubError]) -> Iterator[type[FileHubError]]:
    below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


class ReplyTests(SynchronousTestCase):
    def test_everyError(self) -> None:
        """Each leaf of the tree of errors has its code, by itself or by a class above."""
        for kind in leaves(FileHubError):
            self.assertTrue(any(each in replies.CODES for each in kind.__mro__), kind)
            self.assertIn(replies.codeFor(kind()), range(9))

    def test_texts(self) -> None:
        """T-F9: texts are short and name no path, neither ours nor the client's."""
        path = VirtualPath(["secret", "place"])
        for kind in leaves(FileHubError):
            error = kind(path) if issubclass(kind, errors.FileSystemError) else kind()
            text = replies.textFor(error)
            self.assertNotIn("secret", text)
            self.assertLessEqual(len(encodeError(0, text)), MAXIMUM_ERROR)
        self.assertEqual(replies.textFor(ConfigurationError("/etc/x: line 3")), "internal error")

    def test_someCodes(self) -> None:
        """The codes that clients act on."""
        for kind, code in (
            (errors.NotFound, 1),
            (errors.PermissionDenied, 2),
            (errors.NoSpace, 3),
            (errors.QuotaExceeded, 3),
            (errors.AlreadyExists, 6),
            (errors.Busy, 0),
        ):
            self.assertEqual(replies.codeFor(kind()), code)


class NameTests(SynchronousTestCase):
    def test_home(self) -> None:
        """Everything is below the home."""
        home = ROOT.join("boot/arm")
        for name in ("f", "/f", "../../../f", "a/../f", "\\f", "a\\..\\f", "./f", "f/"):
            self.assertEqual(str(pathOf(name, home, backslashes=True)), "/boot/arm/f")

    def test_backslashes(self) -> None:
        """They are ordinary bytes unless they are wanted as slashes."""
        self.assertEqual(pathOf("a\\b", ROOT, backslashes=False).segments, ("a\\b",))

    def test_refused(self) -> None:
        """What cannot be a file's name."""
        for name in ("", "/", "..", "x" * 256, "a/" * 200):
            self.assertRaises(InvalidName, pathOf, name, ROOT, backslashes=True)


class GateTests(SynchronousTestCase):
    def test_bucket(self) -> None:
        """A burst, then so many a second, and never more than a burst."""
        bucket = TokenBucket(10, 3, 0.0)
        self.assertEqual([bucket.take(0.0) for _ in range(4)], [True, True, True, False])
        self.assertTrue(bucket.take(0.1))
        self.assertFalse(bucket.take(0.1))
        self.assertEqual([bucket.take(100.0) for _ in range(4)], [True, True, True, False])

    def test_clockGoesBack(self) -> None:
        """A clock that jumps back gives nothing, and takes nothing for long."""
        bucket = TokenBucket(10, 1, 1000.0)
        self.assertTrue(bucket.take(1000.0))
        self.assertFalse(bucket.take(0.0))
        self.assertTrue(bucket.take(0.1))

    def test_proved(self) -> None:
        """What was proved does not count."""
        gate = RequestGate(1, 2, 100, 100, 0.0)
        for _ in range(50):
            self.assertTrue(gate.admit("192.0.2.1", 0.0))
            gate.proved("192.0.2.1")
        self.assertTrue(gate.admit("192.0.2.1", 0.0))
        self.assertTrue(gate.admit("192.0.2.1", 0.0))
        self.assertFalse(gate.admit("192.0.2.1", 0.0))
        self.assertTrue(gate.admit("192.0.2.2", 0.0))

    def test_prefixes(self) -> None:
        """An IPv6 client has a whole /64 to come from."""
        self.assertEqual(prefixOf("2001:db8:1:2:3:4:5:6"), prefixOf("2001:db8:1:2::9"))
        self.assertNotEqual(prefixOf("2001:db8:1:3::1"), prefixOf("2001:db8:1:2::1"))
        self.assertEqual(prefixOf("fe80::1"), prefixOf("fe80::2"))
        self.assertEqual(prefixOf("192.0.2.1"), "192.0.2.1")
        self.assertTrue(isLoopback("127.9.9.9") and isLoopback("::1"))
        self.assertFalse(isLoopback("192.0.2.1") or isLoopback("::1:1"))

    def test_memory(self) -> None:
        """Any number of sources takes a bounded amount of memory."""
        gate = RequestGate(1, 2, 1e9, 1e9, 0.0)
        for number in range(25_000):
            gate.admit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
        self.assertLessEqual(len(gate._sources), 10_000)


class Sleeper:
    def __init__(self, alarms: Alarms, due: float) -> None:
        self.alarms = alarms
        self.due = due
        self.rang: list[float] = []
        self.again = math.inf

    def ring(self, now: float) -> None:
        self.rang.append(now)
        self.due = self.again


class AlarmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.alarms = Alarms(self.clock)

    def sleeper(self, due: float) -> Sleeper:
        sleeper = Sleeper(self.alarms, due)
        self.alarms.add(sleeper)
        if due < self.alarms.next:
            self.alarms.expect(due)
        return sleeper

    def test_neverEarly(self) -> None:
        """All are called, in a tick after they were due, with one delayed call."""
        sleepers = [self.sleeper(0.01 * each) for each in range(1, 50)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for _ in range(600):
            self.clock.advance(0.001)
        for sleeper in sleepers:
            (rang,) = sleeper.rang
            self.assertTrue(-1e-9 <= rang - (0.01 * (sleepers.index(sleeper) + 1)) < 0.0065)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_postponed(self) -> None:
        """Whoever is due later than before is called later, without a word."""
        sleeper = self.sleeper(0.02)
        self.clock.advance(0.01)
        sleeper.due = 0.1
        self.clock.pump([0.01] * 8)
        self.assertEqual(sleeper.rang, [])
        self.clock.pump([0.01] * 3)
        self.assertEqual(len(sleeper.rang), 1)

    def test_earlier(self) -> None:
        """Whoever is due earlier than anybody expected says so."""
        late, early = self.sleeper(5.0), self.sleeper(0.5)
        self.clock.pump([0.1] * 7)
        self.assertEqual((len(early.rang), len(late.rang)), (1, 0))

    def test_stream(self) -> None:
        """However many others say that they are due a moment later, nobody waits for them."""
        sleeper = self.sleeper(0.02)
        for _ in range(100):
            self.clock.advance(0.001)
            self.sleeper(self.clock.seconds() + 0.02)
        (rang,) = sleeper.rang
        self.assertLess(rang, 0.0265)

    def test_endedMeanwhile(self) -> None:
        """Whoever is over because another one was called is not called any more."""

        class Pair(Sleeper):
            other: Sleeper

            def ring(self, now: float) -> None:
                super().ring(now)
                self.other.due = math.inf

        pair = [Pair(self.alarms, 0.01) for _ in range(2)]
        pair[0].other, pair[1].other = pair[1], pair[0]
        for each in pair:
            self.alarms.add(each)
        self.alarms.expect(0.01)
        self.clock.advance(0.1)
        self.assertEqual(sum(len(each.rang) for each in pair), 1)

    def test_failing(self) -> None:
        """One that fails does not keep the others from being called."""

        class Failing(Sleeper):
            def ring(self, now: float) -> None:
                self.due = math.inf
                raise ZeroDivisionError

        failing = Failing(self.alarms, 0.01)
        self.alarms.add(failing)
        fine = self.sleeper(0.01)
        self.clock.advance(0.1)
        self.assertEqual(len(fine.rang), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_gone(self) -> None:
        """Whoever has left is not called, and nothing stays behind after a stop."""
        sleeper = self.sleeper(0.01)
        self.alarms.discard(sleeper)
        self.clock.advance(0.1)
        self.assertEqual(sleeper.rang, [])
        self.sleeper(1.0)
        self.alarms.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RoundTripTests(SynchronousTestCase):
    def test_first(self) -> None:
        """RFC 6298 2.2: three times the first sample, within the bounds."""
        trip = RoundTrip(1.0, 0.02, 8.0)
        self.assertEqual(trip.timeout, 1.0)
        trip.sample(0.1)
        self.assertAlmostEqual(trip.timeout, 0.3)
        trip = RoundTrip(1.0, 0.02, 8.0)
        trip.sample(0.0001)
        self.assertEqual(trip.timeout, 0.02)
        self.assertEqual(RoundTrip(1.0, 0.02, 0.01).timeout, 0.01)

    def test_backOff(self) -> None:
        """It doubles up to the ceiling, and an answer brings it back."""
        trip = RoundTrip(1.0, 0.02, 8.0)
        trip.sample(0.001)
        for wanted in (0.04, 0.08, 0.16):
            trip.backOff()
            self.assertAlmostEqual(trip.timeout, wanted)
        for _ in range(20):
            trip.backOff()
        self.assertEqual(trip.timeout, 8.0)
        trip.sample(0.001)
        self.assertEqual(trip.timeout, 0.02)

    def test_outlier(self) -> None:
        """One answer that came by the peer's own timer does not make us slow."""
        trip = RoundTrip(1.0, 0.02, 8.0)
        trip.sample(0.001)
        trip.backOff()
        trip.sample(3.0)
        self.assertLess(trip.timeout, 0.1)

    def test_growth(self) -> None:
        """A way that has become slow is believed after some samples."""
        trip = RoundTrip(1.0, 0.02, 8.0)
        trip.sample(0.001)
        for _ in range(20):
            trip.sample(0.5)
        self.assertGreater(trip.timeout, 0.5)

    def test_tooSoon(self) -> None:
        """Nothing comes sooner than the shortest round trip."""
        trip = RoundTrip(1.0, 0.02, 8.0)
        self.assertFalse(trip.tooSoon(0.0))
        trip.sample(0.010)
        self.assertTrue(trip.tooSoon(0.005))
        self.assertFalse(trip.tooSoon(0.0095))


class ListenerTests(SynchronousTestCase):
    def refusal(self, text: str, environ: dict[str, str] | None = None) -> str:
        error = self.assertRaises(ConfigurationError, openListener, text, environ or {})
        self.assertNotIn("\n", str(error))
        return str(error)

    def test_wrong(self) -> None:
        """What is wrong with a string is said in one line."""
        self.assertIn("expected udp:PORT", self.refusal("tcp:69"))
        self.assertIn("expected udp:PORT", self.refusal(""))
        for text in ("udp:", "udp:x", "udp:70000", "udp:-1", "udp"):
            self.assertIn("port number", self.refusal(text))
        self.assertIn("interface=", self.refusal("udp:0:intreface=127.0.0.1"))
        self.assertIn("cannot listen", self.refusal("udp:0:interface=not an address"))
        self.assertIn("cannot listen", self.refusal("udp:0:interface=192.0.2.1"))

    def test_inUse(self) -> None:
        """A port in use is one line too."""
        first = openListener("udp:0:interface=127.0.0.1")
        self.addCleanup(first.close)
        text = f"udp:{first.address.port}:interface=127.0.0.1"
        self.assertIn("Address already in use", self.refusal(text))

    def test_escaped(self) -> None:
        """Colons in an address are escaped, as in Twisted's endpoint strings."""
        listener = openListener(r"udp:0:interface=\:\:1")
        self.addCleanup(listener.close)
        self.assertEqual(listener.address.host, "::1")

    def test_systemd(self) -> None:
        """A socket that systemd hands over, by its place; and one that is none."""
        self.assertIn("no such socket", self.refusal("systemd:index=0"))
        self.assertIn("no such socket", self.refusal("systemd:name=tftp"))
        given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(given.close)
        given.bind(("127.0.0.1", 0))
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "tftp"}
        for text in ("systemd:name=tftp", "systemd:index=0", "systemd:domain=INET:index=0"):
            listener = openListener(text, environ, given.fileno())
            self.assertEqual(listener.address.port, given.getsockname()[1])
            listener.close()
        with tempfile.TemporaryFile() as other:
            error = self.assertRaises(
                ConfigurationError, openListener, "systemd:index=0", environ, other.fileno()
            )
            self.assertIn("systemd", str(error))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
            error = self.assertRaises(
                ConfigurationError, openListener, "systemd:index=0", environ, stream.fileno()
            )
            self.assertIn("not a UDP socket", str(error))


class SettingsTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """Values that cannot work are refused with what was expected."""
        for wrong in (
            {"write": "yes"},
            {"maximumBlksize": 7},
            {"maximumBlksize": 65465},
            {"maximumWindow": 0},
            {"portRange": (5, 4)},
            {"portRange": (0, 70000)},
        ):
            error = self.assertRaises(ConfigurationError, TFTPSettings, **wrong)
            self.assertIn("expected", str(error))
