"""
Machines boot from FileHub: real firmware, real boot loaders, and a kernel that says what
it finds in memory.  The console and the server's records must tell the same story.
"""

from __future__ import annotations

import atexit
import tempfile
import zlib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.harness import ClientTestCase
from tests.integration.netboot import Machine, Room, spoken

_rooms: list[Room] = []


@atexit.register
def _closeRooms() -> None:
    for room in _rooms:
        room.close()


def sharedRoom() -> Room:
    """All machines start with the first test and boot at the same time."""
    if not _rooms:
        room = Room(Path(tempfile.mkdtemp(prefix="filehub-netboot-")))
        _rooms.append(room)
        room.startUserMode()
        try:
            room.startWired()
        except SkipTest as reason:
            room.reason = str(reason)
    return _rooms[0]


class NetworkBootTests(ClientTestCase):
    """One machine each."""

    #: Trial's own bound; L{Machine.booted} has a tighter one.
    timeout = 400

    def machine(self, name: str, *files: str) -> Machine:
        """
        The machine of this name.

        @param files: what has to be installed for it.
        """
        self.requireClient("qemu-system-x86_64")
        self.requireFiles("/usr/lib/ipxe/qemu/pxe-virtio.rom", *files)
        if name != "user":
            self.requireClient("dnsmasq")
        room = self.room = sharedRoom()
        if name not in room.machines:
            raise SkipTest(room.reason or f"there is no machine {name}")
        return room.machines[name]

    def assertTold(self, machine: Machine, *lines: str) -> None:
        """The machine boots, and said these lines."""
        console = machine.booted()
        for line in lines:
            self.assertIn(line, console)
        self.assertEqual(self.room.trouble(), "")

    def assertFetched(self, machine: Machine, *names: str) -> dict[str, dict[str, Any]]:
        """
        These files went to the machine, whole, one after the other; there may be others
        between them.  Returns the records of all that did.
        """
        done = [row for row in machine.transfers() if row["outcome"] == "completed"]
        paths = [row["path"] for row in done]
        self.assertEqual([path for path in paths if path.lstrip("/") in names],
                         ["/" + name for name in names])  # fmt: skip
        for row in done:
            size = (self.room.tree.root / row["path"].lstrip("/")).stat().st_size
            self.assertEqual((row["path"], row["nbytes"]), (row["path"], size))
            self.assertEqual((row["account"], row["protocol"]), ("netboot", "tftp"))
        return {row["path"].lstrip("/"): row for row in done}

    def test_iPXEUserMode(self) -> None:
        """iPXE behind address translation, by URL: script, kernel, ramdisk."""
        machine = self.machine("user")
        self.assertTold(machine, "FILEHUB-IPXE 10.0.2.15", spoken(self.room.tree.ramdisk))
        self.assertFetched(machine, "small.ipxe", "kernel", "ramdisk")

    def test_iPXE(self) -> None:
        """iPXE told by DHCP; the block numbers of its ramdisk go round."""
        machine = self.machine("ipxe")
        self.assertTold(
            machine, f"FILEHUB-IPXE {machine.address}", spoken(self.room.tree.largeRamdisk)
        )
        fetched = self.assertFetched(machine, "boot.ipxe", "kernel", "large")
        self.assertEqual(fetched["large"]["blksize"], 1432)
        self.assertGreater(fetched["large"]["blocks"], 65536)

    def test_PXELINUX(self) -> None:
        """PXELINUX tries its names one after the other, and finds its configuration."""
        machine = self.machine("pxelinux", "/usr/lib/PXELINUX/pxelinux.0", "/usr/lib/syslinux")
        self.assertTold(machine, "FILEHUB-PXELINUX", spoken(self.room.tree.ramdisk))
        fetched = self.assertFetched(
            machine, "pxelinux.0", "ldlinux.c32", "pxelinux.cfg/default", "mboot.c32", "kernel",
            "ramdisk",
        )  # fmt: skip
        self.assertEqual(fetched["ramdisk"]["blksize"], 1408)

    def test_GRUB(self) -> None:
        """GRUB for BIOS: modules, lists, and a consumer that stops to acknowledge."""
        machine = self.machine("grub", "/usr/lib/grub/i386-pc")
        self.assertTold(machine, f"FILEHUB-GRUB {machine.address}", spoken(self.room.tree.ramdisk))
        fetched = self.assertFetched(
            machine, "grub/i386-pc/core.0", "grub/i386-pc/normal.mod", "grub/grub.cfg", "kernel",
            "ramdisk",
        )  # fmt: skip
        self.assertEqual(fetched["ramdisk"]["blksize"], 1024)

    def bootEDK2(self, name: str, address: str) -> None:
        machine = self.machine(name, "/usr/lib/grub/x86_64-efi", "/usr/share/OVMF")
        self.assertTold(machine, f"FILEHUB-GRUB {address}", spoken(self.room.tree.ramdisk))
        core = "grub/x86_64-efi/core.efi"
        fetched = self.assertFetched(machine, core, "grub/grub.cfg", "kernel", "ramdisk")
        self.assertEqual(fetched[core]["windowsize"], 4)
        probe = machine.transfers()[0]
        self.assertEqual((probe["path"], probe["outcome"]), ("/" + core, "probed"))

    def test_EDK2(self) -> None:
        """UEFI asks for the size first, then fetches GRUB in windows of blocks."""
        self.bootEDK2("edk2", "10.99.4.50")

    def test_EDK2IPv6(self) -> None:
        """The same over IPv6, and nothing but IPv6."""
        self.requireIPv6()
        self.bootEDK2("edk2v6", "fd00:99:0:0:0:0:0:5")

    def test_UBoot(self) -> None:
        """U-Boot runs a script that fetches the ramdisk in windows and checks it."""
        machine = self.machine("uboot", "/usr/lib/u-boot/qemu-x86/u-boot.rom")
        checksum = f"==> {zlib.crc32(self.room.tree.ramdisk):08x}"
        self.assertTold(machine, f"FILEHUB-UBOOT {machine.address}", checksum)
        fetched = self.assertFetched(machine, "boot.scr.uimg", "ramdisk")
        row = fetched["ramdisk"]
        self.assertEqual((row["blksize"], row["windowsize"]), (1468, 4))
