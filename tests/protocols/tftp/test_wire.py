"""
Requests as real firmware sends them, and what hostile peers make of packets.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.tftp import wire
from filehub.protocols.tftp.wire import Mode, Request

#: Requests of real clients, as they are on the wire.
CLIENTS = {
    "iPXE": (
        b"\0\1boot.ipxe\0octet\0blksize\0001432\0tsize\0000\0",
        (b"boot.ipxe", ((b"blksize", b"1432"), (b"tsize", b"0"))),
    ),
    "EDK2, the probe": (
        b"\0\1grub.efi\0octet\0tsize\0000\0blksize\0001468\0windowsize\0004\0",
        (b"grub.efi", ((b"tsize", b"0"), (b"blksize", b"1468"), (b"windowsize", b"4"))),
    ),
    "EDK2, the download": (
        b"\0\1grub.efi\0octet\0blksize\0001468\0windowsize\0004\0",
        (b"grub.efi", ((b"blksize", b"1468"), (b"windowsize", b"4"))),
    ),
    "PXELINUX": (
        b"\0\1pxelinux.cfg/01-52-54-00-fe-ed-01\0octet\0tsize\0000\0blksize\0001408\0",
        (b"pxelinux.cfg/01-52-54-00-fe-ed-01", ((b"tsize", b"0"), (b"blksize", b"1408"))),
    ),
    "GRUB": (
        b"\0\1/grub/i386-pc/normal.mod\0octet\0blksize\0001024\0tsize\0000\0",
        (b"/grub/i386-pc/normal.mod", ((b"blksize", b"1024"), (b"tsize", b"0"))),
    ),
    "U-Boot": (
        b"\0\1uImage\0octet\0timeout\0005\0blksize\0001468\0windowsize\0004\0",
        (b"uImage", ((b"timeout", b"5"), (b"blksize", b"1468"), (b"windowsize", b"4"))),
    ),
    "Windows bootmgr": (
        b"\0\1\\Boot\\BCD\0octet\0tsize\0000\0blksize\0001456\0windowsize\0004\0"
        b"msftwindow\00031416\0",
        (
            b"\\Boot\\BCD",
            (
                (b"tsize", b"0"),
                (b"blksize", b"1456"),
                (b"windowsize", b"4"),
                (b"msftwindow", b"31416"),
            ),
        ),
    ),
    "Raspberry Pi": (
        b"\0\0019ffefdef/start.elf\0octet\0tsize\0000\0",
        (b"9ffefdef/start.elf", ((b"tsize", b"0"),)),
    ),
    "curl": (
        b"\0\1/f\0octet\0tsize\0000\0blksize\000512\0timeout\0006\0",
        (b"/f", ((b"tsize", b"0"), (b"blksize", b"512"), (b"timeout", b"6"))),
    ),
    "busybox": (
        b"\0\1f\0octet\0blksize\0001428\0tsize\0000\0",
        (b"f", ((b"blksize", b"1428"), (b"tsize", b"0"))),
    ),
    "tftp-hpa": (b"\0\1f\0netascii\0", (b"f", ())),
    "HP firmware, padded to 516": (
        (b"\0\1f\0octet\0tsize\0000\0").ljust(516, b"\0"),
        (b"f", ((b"tsize", b"0"),)),
    ),
}


class RequestTests(SynchronousTestCase):
    def test_clients(self) -> None:
        """What each client asks comes out as it was meant."""
        for client, (packet, (name, options)) in CLIENTS.items():
            request = wire.parseRequest(packet)
            assert request is not None
            self.assertEqual((request.filename, request.options), (name, options), client)
            self.assertFalse(request.write)

    def test_write(self) -> None:
        """A WRQ is one, with the mode in any case."""
        self.assertEqual(
            wire.parseRequest(b"\0\2up\0NetASCII\0"), Request(True, b"up", Mode.NETASCII, ())
        )

    def test_lenient(self) -> None:
        """A missing last NUL and an option without a value are forgiven."""
        self.assertEqual(wire.parseRequest(b"\0\1f\0octet"), Request(False, b"f", Mode.OCTET, ()))
        self.assertEqual(
            wire.parseRequest(b"\0\1f\0octet\0tsize\0000\0blksize"),
            Request(False, b"f", Mode.OCTET, ((b"tsize", b"0"),)),
        )
        self.assertEqual(
            wire.parseRequest(b"\0\1f\0octet\0tsize\0000"),
            Request(False, b"f", Mode.OCTET, ((b"tsize", b"0"),)),
        )

    def test_duplicateOptions(self) -> None:
        """Of options that differ in case only, the first one counts."""
        request = wire.parseRequest(b"\0\1f\0octet\0BLKSIZE\0001024\0blksize\0008\0")
        assert request is not None
        self.assertEqual(request.options, ((b"BLKSIZE", b"1024"),))

    def test_modes(self) -> None:
        """Mail is known so that it can be refused; nonsense is no mode."""
        for text, mode in ((b"mail", Mode.MAIL), (b"OCTET", Mode.OCTET), (b"x", None), (b"", None)):
            request = wire.parseRequest(b"\0\1f\0" + text + b"\0")
            assert request is not None
            self.assertIs(request.mode, mode)

    def test_bytesInNames(self) -> None:
        """Names are bytes; what they mean is decided elsewhere."""
        request = wire.parseRequest(b"\0\1\xff\xe9 ..\\x\0octet\0")
        assert request is not None
        self.assertEqual(request.filename, b"\xff\xe9 ..\\x")

    def test_noRequest(self) -> None:
        """Other opcodes, packets that are too long, and a name without its end."""
        for packet in (
            b"",
            b"\0",
            b"\0\1",
            b"\0\1name",
            b"\0\3\0\1data\0octet\0",
            b"\0\4\0\1",
            b"\0\5\0\1x\0",
            b"\1\1f\0octet\0",
            b"\0\1" + b"x" * 1500 + b"\0octet\0",
        ):
            self.assertIsNone(wire.parseRequest(packet), packet)

    def test_manyOptions(self) -> None:
        """A thousand options are cut to a few."""
        packet = b"\0\1f\0octet\0" + b"".join(b"o%d\0001\0" % each for each in range(200))
        request = wire.parseRequest(packet)
        assert request is not None
        self.assertEqual(len(request.options), wire.MAXIMUM_OPTIONS)

    def test_roundTrip(self) -> None:
        """What the client's side writes, the server's side reads."""
        request = Request(True, b"a b", Mode.OCTET, ((b"blksize", b"1428"), (b"tsize", b"7")))
        self.assertEqual(wire.parseRequest(wire.encodeRequest(request)), request)

    @settings(max_examples=500, deadline=None)
    @given(st.binary(max_size=600))
    def test_anything(self, packet: bytes) -> None:
        """No datagram makes a parser raise."""
        wire.parseRequest(packet)
        wire.parseRequest(b"\0\1" + packet)
        wire.parseError(packet)
        wire.parseOptions(packet)
        wire.opcode(packet)

    def test_mutated(self) -> None:
        """T-F8: requests of real clients, damaged in 20,000 ways."""
        dice = random.Random(5)
        packets = [packet for packet, _ in CLIENTS.values()]
        for _ in range(20_000):
            packet = bytearray(dice.choice(packets))
            for _ in range(dice.randrange(1, 5)):
                at = dice.randrange(len(packet))
                action = dice.randrange(3)
                if action == 0:
                    packet[at] = dice.randrange(256)
                elif action == 1:
                    del packet[at : at + dice.randrange(8)]
                else:
                    packet[at:at] = bytes(dice.randrange(20))
                if not packet:
                    break
            request = wire.parseRequest(bytes(packet))
            if request is not None:
                self.assertNotIn(b"\0", request.filename)
                self.assertLessEqual(len(request.options), wire.MAXIMUM_OPTIONS)


class PacketTests(SynchronousTestCase):
    def test_error(self) -> None:
        """T-F9: an ERROR is short, printable ASCII, and ends in NUL."""
        self.assertEqual(wire.encodeError(1, "no such file"), b"\0\5\0\1no such file\0")
        packet = wire.encodeError(0, "\n\x7fé" + "x" * 500)
        self.assertEqual(len(packet), wire.MAXIMUM_ERROR)
        self.assertEqual(packet[:8], b"\0\5\0\0???x")
        self.assertEqual(packet[-1], 0)

    def test_parseError(self) -> None:
        """Whatever the peer puts into an ERROR, it is short and printable here."""
        self.assertEqual(wire.parseError(b"\0\5\0\10stop\0more"), (8, "stop"))
        self.assertEqual(wire.parseError(b"\0\5"), (0, ""))
        self.assertEqual(wire.parseError(b"\0\5\0\0\x1b[2J"), (0, "?[2J"))
        self.assertLess(len(wire.parseError(b"\0\5\0\0" + b"x" * 9999).message), 200)

    def test_optionAck(self) -> None:
        """Every string of an OACK ends in NUL."""
        packet = wire.encodeOptionAck([(b"blksize", b"1428"), (b"tsize", b"7")])
        self.assertEqual(packet, b"\0\6blksize\0001428\0tsize\0007\0")
        self.assertEqual(wire.parseOptions(packet), ((b"blksize", b"1428"), (b"tsize", b"7")))

    def test_numbers(self) -> None:
        """Block numbers have 16 bits."""
        self.assertEqual(wire.encodeAck(65536 + 258), b"\0\4\1\2")
        self.assertEqual(wire.dataHeader(65535), b"\0\3\xff\xff")
