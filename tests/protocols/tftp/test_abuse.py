"""
Forged, repeated, stray and hostile packets: the TFTP rows of the threat table, by
their numbers.
"""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from filehub.credentials import Address, ConnectionInfo
from filehub.errors import LimitExceeded
from filehub.events import Outcome
from filehub.protocols.tftp.settings import REFUSED_SOURCE_PORTS, TFTPSettings
from tests.protocols.tftp.doubles import Site


class AbuseTestCase(SynchronousTestCase):
    #: All of a small file is at hand.
    atOnce = False

    def makeSite(self, settings: TFTPSettings | None = None) -> Site:
        site = Site(settings, atOnce=self.atOnce)
        site.store("file", bytes(1280))
        return site


class LoopTests(AbuseTestCase):
    """T-F1: two servers cannot be made to talk to each other."""

    def test_wellKnownPort(self) -> None:
        """Nothing but requests is answered there: no ERROR, DATA, ACK, OACK, nonsense."""
        site = self.makeSite()
        client = site.client()
        for packet in (
            b"\0\3\0\1data",
            b"\0\4\0\0",
            b"\0\5\0\0error\0",
            b"\0\6tsize\0001\0",
            b"\0\7",
            b"\0\0",
            b"\0",
            b"",
            b"\1\1file\0octet\0",
            b"\0\1no end",
            b"\0\1" + b"x" * 3000,
        ):
            client.ask(packet)
        self.assertEqual(client.take(), [])
        self.assertEqual(site.service.transfers, 0)

    def test_servicePorts(self) -> None:
        """Requests from ports of services that answer anything are dropped."""
        site = self.makeSite()
        for port in (0, 7, 17, 19, 53, 69, 123):
            self.assertIn(port, REFUSED_SOURCE_PORTS)
        for port in REFUSED_SOURCE_PORTS:
            client = site.client(port=port)
            client.read(b"file")
            client.read(b"missing")
            self.assertEqual(client.take(), [])
        self.assertEqual(site.door.logins, 0)

    def test_firmwarePorts(self) -> None:
        """U-Boot picks ports from 1024 to 4095: none of them is refused."""
        self.assertLess(max(REFUSED_SOURCE_PORTS), 1024)

    def test_errorToTransfer(self) -> None:
        """An ERROR to a transfer's own port ends it without an answer."""
        site = self.makeSite()
        client = site.client()
        client.read(b"file")
        client.take()
        client.say(b"\0\5\0\0\0")
        self.assertEqual(client.take(), [])
        site.advance(10.0, 0.1)
        self.assertEqual(client.take(), [])

    def test_strayOpcodes(self) -> None:
        """In a transfer, what is neither ACK nor ERROR is ignored."""
        site = self.makeSite()
        client = site.client()
        client.read(b"file")
        client.take()
        for packet in (b"", b"\0\4", b"\1\4\0\1", b"\0\3\0\1x", b"\0\1f\0octet\0", b"\0\6"):
            client.say(packet)
        self.assertEqual(client.take(), [])
        client.ack(1)
        self.assertEqual(client.one()[:4], b"\0\3\0\2")


class ReflectionTests(AbuseTestCase):
    """T-F2: what one forged request makes us send to its victim."""

    def copies(self, *options: tuple[bytes, bytes], write: bool = False) -> list[bytes]:
        site = self.makeSite(TFTPSettings(write="overwrite"))
        victim = site.client()
        if write:
            victim.write(b"new", *options)
        else:
            victim.read(b"file", *options)
        site.advance(60.0, 0.05)
        self.assertEqual(site.service.transfers, 0)
        self.assertEqual(site.events.transfers[0].outcome, Outcome.STALLED)
        self.assertFalse(site.exists("new"))
        return victim.take()

    def test_options(self) -> None:
        """Four copies of a small OACK, never a window."""
        copies = self.copies((b"blksize", b"65464"), (b"windowsize", b"64"))
        self.assertEqual(copies, [b"\0\6blksize\00065464\0windowsize\00016\0"] * 4)

    def test_plain(self) -> None:
        """Four copies of one block."""
        copies = self.copies()
        self.assertEqual(len(copies), 4)
        self.assertEqual(set(copies), {b"\0\3\0\1" + bytes(512)})

    def test_write(self) -> None:
        """Four copies of ACK 0, and no file."""
        self.assertEqual(self.copies(write=True), [b"\0\4\0\0"] * 4)

    def test_backoff(self) -> None:
        """They come further and further apart."""
        site = self.makeSite()
        victim = site.client()
        victim.read(b"file")
        came = []
        for _ in range(300):
            came += [site.reactor.seconds()] * len(victim.take())
            site.advance(0.05, 0.05)
        gaps = [later - earlier for earlier, later in pairwise(came)]
        self.assertEqual([round(gap) for gap in gaps], [1, 2, 4])

    def test_repeatedRequests(self) -> None:
        """A flood of the same request does not bring more copies than one."""
        site = self.makeSite()
        victim = site.client()
        for _ in range(200):
            victim.read(b"file")
            site.advance(0.05, 0.05)
        # Within ten seconds one exchange ends, and a second one may begin.
        self.assertLessEqual(len(victim.take()), 8)

    def test_requestRate(self) -> None:
        """One address gets a burst of answers and then a few a second, misses included."""
        site = self.makeSite(TFTPSettings(requestRate=20, requestBurst=50))
        for port in range(2000, 3000):
            site.client(port=port).read(b"missing")
        answered = sum(1 for each in site.network.inboxes.values() for _ in each)
        self.assertEqual(answered, 50)
        site.advance(1.0)
        for port in range(3000, 4000):
            site.client(port=port).read(b"missing")
        answered = sum(1 for each in site.network.inboxes.values() for _ in each)
        self.assertEqual(answered, 70)
        other = site.client("192.0.2.99")
        other.read(b"missing")
        self.assertEqual(len(other.take()), 1)

    def test_totalRate(self) -> None:
        """All addresses together get so many answers, too."""
        site = self.makeSite(TFTPSettings(totalRequestRate=100, totalRequestBurst=300))
        for number in range(1000):
            site.client(f"198.51.100.{number % 250}").read(b"missing")
        self.assertEqual(sum(len(each) for each in site.network.inboxes.values()), 300)

    def test_provenRequestsAreFree(self) -> None:
        """A client that answers can do any number of transfers."""
        site = self.makeSite(TFTPSettings(requestRate=1, requestBurst=3))
        for port in range(2000, 2100):
            client = site.client(port=port)
            client.read(b"file")
            self.assertEqual(len(client.download()), 1280)

    def test_broadcast(self) -> None:
        """T-F14: a request to a broadcast address is ignored, unless it is wanted."""
        site = self.makeSite()
        client = site.client()
        client.ask(client.request(b"file"), direct=False)
        self.assertEqual(client.take(), [])
        site = self.makeSite(TFTPSettings(answerBroadcast=True))
        client = site.client()
        client.ask(client.request(b"file"), direct=False)
        self.assertEqual(len(client.take()), 1)


class ManyTests(AbuseTestCase):
    """T-F3: how many transfers there can be."""

    def test_flood(self) -> None:
        """
        10,000 requests from as many ports of 250 addresses: no more transfers and
        sockets than allowed, and an honest client in between gets its file at once.
        """
        site = self.makeSite(TFTPSettings(totalRequestBurst=100_000))
        for number in range(10_000):
            site.client(f"198.51.100.{number % 250}", 1024 + number).read(b"file")
            if number % 1000 == 999:
                site.network.inboxes.clear()
                honest = site.client("192.0.2.7")
                honest.read(b"file")
                self.assertEqual(len(honest.download()), 1280)
        self.assertLessEqual(site.service.transfers, 250)
        site.forgetSpares()
        still = [each for each in site.network.sockets.values() if not each.isClosed]
        self.assertEqual(len(still), site.service.transfers)
        self.assertEqual(site.door.logins - site.door.logouts, site.service.transfers)

    def test_perClient(self) -> None:
        """One address has so many transfers at a time; above: silence."""
        site = self.makeSite(TFTPSettings(maximumTransfersPerClient=3))
        for port in range(2000, 2010):
            client = site.client(port=port)
            client.read(b"file")
            if port < 2003:
                client.take()
                client.ack(1)
        self.assertEqual(site.service.transfers, 3)
        self.assertEqual(sum(1 for address in site.network.inboxes if address[1] >= 2003), 0)
        site.client("192.0.2.2").read(b"file")
        self.assertEqual(site.service.transfers, 4)

    def test_total(self) -> None:
        """Transfers that are under way are not pushed out by new requests."""
        site = self.makeSite(TFTPSettings(maximumTransfers=5))
        for number in range(10):
            client = site.client(f"192.0.2.{number}")
            client.read(b"file")
            if client.take():
                client.ack(1)
        self.assertEqual(site.service.transfers, 5)

    def test_registry(self) -> None:
        """The server's own cap on sessions is silence as well."""

        class Full:
            def admit(self, *_: object, **__: object) -> None:
                raise LimitExceeded("full")

        site = Site(sessions=Full())
        client = site.client()
        client.read(b"file")
        self.assertEqual(client.take(), [])


class RepeatTests(AbuseTestCase):
    """Requests that come again."""

    def test_sameRequest(self) -> None:
        """The same request is one transfer from one port; its answer comes at most twice."""
        site = self.makeSite()
        client = site.client()
        for _ in range(3):
            client.read(b"file")
            site.advance(0.005)
        self.assertEqual(len(client.take()), 1)
        site.advance(0.25)
        client.read(b"file")
        client.read(b"file")
        self.assertEqual(len(client.take()), 1)
        self.assertEqual(site.service.transfers, 1)
        self.assertEqual(site.door.logins, 1)
        client.ack(1)
        self.assertEqual(client.one()[:4], b"\0\3\0\2")

    def test_differentRequest(self) -> None:
        """Another request from the same port takes the place of the first."""
        site = self.makeSite()
        site.store("other", b"other")
        client = site.client()
        client.read(b"file")
        client.take()
        client.read(b"other")
        self.assertEqual(client.download(), b"other")
        self.assertEqual(
            [each.outcome for each in site.events.transfers], [Outcome.ABORTED, Outcome.COMPLETED]
        )
        self.assertEqual(site.service.transfers, 0)

    def test_afterProgress(self) -> None:
        """The same request after a reset of the client is a new transfer."""
        site = self.makeSite()
        client = site.client()
        client.read(b"file")
        client.take()
        client.ack(1)
        client.take()
        client.read(b"file")
        self.assertEqual(len(client.download()), 1280)

    def test_otherAddressOfOurs(self) -> None:
        """T-F15: what is asked of another of our addresses is another transfer, from there."""
        site = self.makeSite()
        for local in ("192.0.2.254", "192.0.2.253"):
            client = site.client(local=local)
            client.read(b"file")
            client.take()
            assert client.server is not None
            self.assertEqual(client.server[0], local)
        self.assertEqual(site.service.transfers, 2)

    def test_uploadAgain(self) -> None:
        """The same WRQ while its last ACK may still be repeated is a new upload."""
        site = self.makeSite(TFTPSettings(write="overwrite"))
        client = site.client()
        for content in (b"one", b"two"):
            client.write(b"new")
            client.take()
            client.data(1, content)
            client.take()
            self.assertEqual(site.content("new"), content)


class ApprenticeTests(AbuseTestCase):
    """T-F5: the Sorcerer's Apprentice."""

    def test_doubledAcks(self) -> None:
        """Every ACK twice: every block once."""
        site = self.makeSite()
        client = site.client()
        client.read(b"file")
        for block in (1, 2):
            client.one()
            client.ack(block)
            client.ack(block)
        self.assertEqual(client.one()[:4], b"\0\3\0\3")

    def test_lateAck(self) -> None:
        """An ACK for a block long ago, and for one not sent yet, do nothing."""
        site = self.makeSite()
        client = site.client()
        client.read(b"file")
        client.take()
        client.ack(1)
        client.take()
        for block in (1, 0, 65535, 3, 30000):
            client.ack(block)
        self.assertEqual(client.take(), [])

    def test_longAck(self) -> None:
        """An ACK may have more than four octets (Windows' variable window)."""
        site = self.makeSite()
        client = site.client()
        client.read(b"file")
        client.take()
        client.say(b"\0\4\0\1\4")
        self.assertEqual(client.one()[:4], b"\0\3\0\2")


class SinglePortTests(AbuseTestCase):
    """Everything over the listening port."""

    def makeSite(self, settings: TFTPSettings | None = None) -> Site:
        return super().makeSite(TFTPSettings(singlePort=True, write="overwrite"))

    def test_download(self) -> None:
        """All of a transfer comes from the port that was asked."""
        site = self.makeSite()
        client = site.client()
        client.read(b"file", (b"blksize", b"100"), (b"windowsize", b"4"))
        client.take()
        self.assertEqual(client.server, ("192.0.2.254", 69))
        client.ack(0)
        self.assertEqual(len(client.take()), 4)
        for block in (4, 8, 12, 13):
            client.ack(block)
        self.assertEqual(site.events.transfers[0].outcome, Outcome.COMPLETED)
        self.assertEqual(site.network.sockets, {})
        self.assertEqual(site.service.transfers, 0)

    def test_upload(self) -> None:
        """Uploads too."""
        site = self.makeSite()
        client = site.client()
        client.write(b"new")
        client.take()
        client.data(1, b"content")
        self.assertEqual(client.one(), b"\0\4\0\1")
        self.assertEqual(site.content("new"), b"content")

    def test_strangers(self) -> None:
        """T-F4: packets of others do not get into a transfer, and are not answered."""
        site = self.makeSite()
        client, stranger = site.client(), site.client("192.0.2.66")
        client.read(b"file")
        client.take()
        for packet in (b"\0\4\0\1", b"\0\5\0\0\0", b"\0\3\0\1x"):
            stranger.ask(packet)
        self.assertEqual(client.take(), [])
        self.assertEqual(stranger.take(), [])
        client.ack(1)
        self.assertEqual(client.one()[:4], b"\0\3\0\2")


class RegistryTests(AbuseTestCase):
    def test_session(self) -> None:
        """Each transfer is a session: admitted, logged in, busy, and over."""
        story: list[object] = []

        class Slot:
            connection = ConnectionInfo("tftp", 7, Address("192.0.2.1", 1), Address("a", 69))

            def loggedIn(self, account: object) -> None:
                story.append("in")

            def doing(self, verb: str, path: object = None, moving: object = None) -> None:
                story.append(f"{verb} {path}")

            def leave(self, reason: str) -> None:
                story.append(("left", reason))

        class Registry:
            def admit(self, protocol: str, peer: Address, local: Address, **how: object) -> Slot:
                story.append((protocol, str(peer), str(local), how["secure"]))
                self.disconnect = how["disconnect"]
                return Slot()

        registry = Registry()
        site = Site(sessions=registry)
        site.store("file", bytes(600))
        client = site.client()
        client.read(b"file")
        client.download()
        self.assertEqual(
            story,
            [
                ("tftp", "192.0.2.1:50000", "192.0.2.254:69", False),
                "in",
                "RRQ /file",
                ("left", "done"),
            ],
        )
        client.read(b"file")
        client.take()
        registry.disconnect("kicked")  # type: ignore[operator]
        self.assertEqual(client.one(), b"\0\5\0\0kicked\0")
        self.assertEqual(story[-1], ("left", "kicked"))
        self.assertEqual(site.service.transfers, 0)
