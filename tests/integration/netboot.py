"""
Machines without a disk, and what they need to boot from the network.

The machines are QEMU's, with the firmware that real ones have.  Each is on a wire of its
own; dnsmasq gives it an address and the name of a file.  Every byte from there on
is FileHub's: the boot loader, its modules and configuration, a kernel, and an initial
ramdisk.  The kernel says on the serial console what it finds in memory.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from socket import SOCK_DGRAM
from typing import Any, Final

from tests.integration.harness import Daemon, content, tomlList
from tests.integration.namespaces import Namespace
from tests.ports import freePort

#: Seconds until every machine must have booted; together they need 40 where nothing else
#: is done on two processors.
PATIENCE: Final = 280.0

#: Where the kernel is in memory, and where its stack begins.
_BASE: Final = 0x100000
_STACK: Final = _BASE + 0x400

#: What the kernel says before the checksum, and what ends its image.
_SPOKEN: Final = b"\nFILEHUB-KERNEL adler32="


def _kernel() -> bytes:
    """
    A kernel as small as it gets (Multiboot 0.6.96): 32 bits, no interrupts.  It computes
    Adler-32 of the first module, says it on the first serial port, and resets the
    machine.
    """
    code = bytes.fromhex(
        f"fa bc{_STACK.to_bytes(4, 'little').hex()}"  # no interrupts; a stack
        "8b4318 8b30 8b7804 29f7"  # ESI: the first module; EDI: its length
        "bb01000000 31ed"  # EBX, EBP: the two sums
        # As many octets as can be summed up in 32 bits without a remainder.
        "b9b0150000 39cf 7302 89f9 29cf"
        "0fb606 46 01c3 01dd e2f6"
        "b9f1ff0000 89d8 31d2 f7f1 89d3 89e8 31d2 f7f1 89d5"
        "85ff 75d0"
        "c1e510 09eb"
        "be 00000000"  # ESI: what to say; filled in below
        "ac 84c0 7407 e82b000000 ebf4"
        # Eight hexadecimal digits, and the end of the line.
        "b908000000 c1c304 88d8 240f 3c0a 7202 0427 0430 e810000000 e2ea"
        "b00a e807000000"
        "b0fe e664 f4 ebfd"  # reset, through the keyboard's controller
        # One character, as soon as the port can take it.
        "88c4 66bafd03 ec a820 74fb 66baf803 88e0 ee c3"
    )
    flags = 0x00010000  # what follows says where everything goes
    header = struct.pack("<3I", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    header += struct.pack("<5I", _BASE, _BASE, 0, 0, _BASE + len(header) + 20)
    spoken = _BASE + len(header) + len(code)
    code = code.replace(b"\xbe\0\0\0\0", b"\xbe" + spoken.to_bytes(4, "little"))
    return (header + code + _SPOKEN + b"\0").ljust(0x200, b"\0")


def _script(text: str) -> bytes:
    """A script for U-Boot, in the clothes of its images (C{image.h}, the old format)."""
    body = struct.pack(">II", len(text), 0) + text.encode()
    # For Linux, any CPU that is a 386, a script, not compressed.
    kind = bytes((5, 3, 6, 0)) + b"filehub".ljust(32, b"\0")
    sums = (0, len(body), 0, 0, zlib.crc32(body))
    blank = struct.pack(">7I", 0x27051956, 0, *sums) + kind
    return struct.pack(">7I", 0x27051956, zlib.crc32(blank), *sums) + kind + body


def spoken(ramdisk: bytes) -> str:
    """The line in which the kernel reports on this ramdisk."""
    return f"{_SPOKEN.decode().strip()}{zlib.adler32(ramdisk):08x}"


class Tree:
    """
    The files that the machines ask for.

    @ivar ramdisk: about what a small system has.
    @ivar largeRamdisk: more blocks of iPXE's than 16 bits can number.
    """

    SYSLINUX: Final = Path("/usr/lib/syslinux/modules/bios")
    PXELINUX: Final = Path("/usr/lib/PXELINUX/pxelinux.0")
    GRUB: Final = Path("/usr/lib/grub")
    GRUB_CONFIGURATION: Final = (
        "serial --unit=0 --speed=115200\n"
        "terminal_output serial\n"
        "echo FILEHUB-GRUB $net_default_ip\n"
        "multiboot (tftp)/kernel\n"
        "module (tftp)/ramdisk\n"
        "boot\n"
    )
    PXELINUX_CONFIGURATION: Final = (
        "SERIAL 0 115200\n"
        "SAY FILEHUB-PXELINUX\n"
        "DEFAULT filehub\n"
        "LABEL filehub\n"
        "COM32 mboot.c32\n"
        "APPEND kernel --- ramdisk\n"
    )
    IPXE_SCRIPT: Final = (
        "#!ipxe\n"
        "echo FILEHUB-IPXE ${{net0/ip}}\n"
        "kernel kernel || shell\n"
        "initrd {ramdisk} || shell\n"
        "boot\n"
    )

    UBOOT_SCRIPT: Final = (
        "echo FILEHUB-UBOOT ${ipaddr}\n"
        "setenv tftpwindowsize 4\n"
        "tftpboot 0x1000000 ramdisk\n"
        "crc32 0x1000000 ${filesize}\n"
        "reset\n"
    )

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ramdisk = content(3_000_000)
        self.largeRamdisk = content(65_537 * 1432 + 1)
        (root / "kernel").write_bytes(_kernel())
        (root / "ramdisk").write_bytes(self.ramdisk)
        (root / "large").write_bytes(self.largeRamdisk)
        (root / "boot.ipxe").write_text(self.IPXE_SCRIPT.format(ramdisk="large"))
        (root / "boot.scr.uimg").write_bytes(_script(self.UBOOT_SCRIPT))
        (root / "small.ipxe").write_text(self.IPXE_SCRIPT.format(ramdisk="ramdisk"))

    def addPXELINUX(self) -> bool:
        """Whether PXELINUX is installed."""
        if not (self.PXELINUX.exists() and self.SYSLINUX.exists()):
            return False
        shutil.copy(self.PXELINUX, self.root)
        for module in ("ldlinux.c32", "libcom32.c32", "mboot.c32"):
            shutil.copy(self.SYSLINUX / module, self.root)
        folder = self.root / "pxelinux.cfg"
        folder.mkdir()
        (folder / "default").write_text(self.PXELINUX_CONFIGURATION)
        return True

    def addGRUB(self, platform: str) -> bool:
        """Whether GRUB for this platform is installed."""
        if shutil.which("grub-mknetdir") is None or not (self.GRUB / platform).exists():
            return False
        subprocess.run(
            [
                *("grub-mknetdir", f"--net-directory={self.root}", "--subdir=grub"),
                *("-d", self.GRUB / platform, "--locales=", "--fonts="),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        (self.root / "grub" / "grub.cfg").write_text(self.GRUB_CONFIGURATION)
        return True


class Machine:
    """
    A machine that is booting.

    @ivar address: the one that the server sees, or how it begins.
    """

    def __init__(
        self, folder: Path, name: str, prefix: Sequence[str], daemon: Daemon, address: str,
        *arguments: str | Path,
    ) -> None:  # fmt: skip
        self.address = address
        self._daemon = daemon
        self._serial = folder / f"{name}.serial"
        self._output = folder / f"{name}.log"
        self._limit = time.monotonic() + PATIENCE
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(*prefix, "qemu-system-x86_64", "-accel", "tcg", "-nodefaults"),
                    *("-display", "none", "-monitor", "none", "-no-reboot"),
                    *("-serial", f"file:{self._serial}", *map(str, arguments)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def console(self) -> str:
        """What it said so far, without what drives terminals."""
        if not self._serial.exists():
            return self._output.read_text(errors="replace")
        text = self._serial.read_bytes().replace(b"\0", b"").decode(errors="replace")
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|c)", "", text)

    def booted(self) -> str:
        """Wait until it resets itself; returns its console."""
        try:
            self._process.wait(max(0.0, self._limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.stop()
            fetched = "\n".join(map(str, self.transfers()))
            raise AssertionError(f"it does not boot:\n{self.console()}\n{fetched}") from None
        return self.console()

    def transfers(self) -> list[dict[str, Any]]:
        """The server's records of what it fetched, in order."""
        rows = [json.loads(line) for line in self._daemon.log().splitlines() if line[:1] == "{"]
        return [
            row
            for row in rows
            if row.get("event") == "TransferEnded" and row["peer"].startswith(self.address)
        ]

    def stop(self) -> None:
        """Idempotent."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)


#: A machine with a BIOS.  The display's absence brings the console to the serial port.
BIOS: Final = ("-machine", "pc,graphics=off", "-boot", "n")
#: Where Debian has U-Boot and EDK2 for QEMU.
UBOOT: Final = Path("/usr/lib/u-boot/qemu-x86/u-boot.rom")
EDK2: Final = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
_EDK2_VARIABLES: Final = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

#: By name, the boot file of each machine that dnsmasq serves over IPv4.
_BOOT_FILES: Final = {
    "ipxe": "boot.ipxe",
    "pxelinux": "pxelinux.0",
    "grub": "grub/i386-pc/core.0",
    "edk2": "grub/x86_64-efi/core.efi",
    "uboot": "boot.scr.uimg",
}


class Room:
    """
    All machines at once: most of the time their firmware waits for keys to be pressed.

    @ivar machines: by name; those for which everything is installed and allowed.
    @ivar reason: why there are no more, as far as the network is concerned.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        root = folder / "root"
        root.mkdir()
        self.tree = Tree(root)
        self.machines: dict[str, Machine] = {}
        self.reason = ""
        self._daemons: list[Daemon] = []
        self._namespace: Namespace | None = None
        self._dhcp: subprocess.Popen[bytes] | None = None

    def startUserMode(self) -> None:
        """iPXE behind QEMU's own network: needs no rights, and any port will do."""
        port = freePort(SOCK_DGRAM)
        daemon = self._serve("user", [f"udp:{port}:interface=127.0.0.1"], port, ["127.0.0.0/8"])
        url = f"tftp://10.0.2.2:{port}/small.ipxe"
        self._start(
            "user", (), daemon, "127.0.0.1", *BIOS, "-m", "128",
            "-netdev", f"user,id=n0,bootfile={url}", "-device", "virtio-net-pci,netdev=n0",
        )  # fmt: skip

    def startWired(self) -> None:
        """
        The machines on their own wires.

        @raise SkipTest: this machine does not allow it.
        """
        space = self._namespace = Namespace()
        for number, name in enumerate(_BOOT_FILES, 1):
            space.tap(name, f"10.99.{number}.1/24")
        space.tap("edk2v6", "fd00:99::1/64")
        # On all IPv4 addresses: the answer must leave from the one that was asked.
        listen = ("udp:69", r"udp:69:interface=fd00\:99\:\:1")
        daemon = self._serve("wired", listen, 69, ("10.99.0.0/16", "fd00:99::/64"), space.prefix)
        self._startDHCP(space)
        present = {
            "ipxe": True,
            "pxelinux": self.tree.addPXELINUX(),
            "grub": self.tree.addGRUB("i386-pc"),
            "edk2": self.tree.addGRUB("x86_64-efi") and EDK2.exists(),
            "uboot": UBOOT.exists(),
        }
        present["edk2v6"] = present["edk2"]
        addresses = {name: f"10.99.{number}.50" for number, name in enumerate(_BOOT_FILES, 1)}
        addresses["edk2v6"] = "fd00:99::5"
        for name, address in addresses.items():
            if present[name]:
                wire = f"tap,id=n0,ifname={name},script=no,downscript=no"
                self._start(
                    name, space.prefix, daemon, address,
                    "-netdev", wire, "-m", "320", *self._firmware(name),
                )  # fmt: skip

    def _firmware(self, name: str) -> tuple[str, ...]:
        """The machine that has the firmware of this name; its network is C{n0}."""
        card = "virtio-net-pci,netdev=n0"
        if name == "uboot":
            # The display is not for us, but it wants one.
            return (
                *("-machine", "pc", "-bios", str(UBOOT), "-vga", "std"),
                *("-device", "e1000,netdev=n0,romfile="),
            )
        if name in ("edk2", "edk2v6"):
            variables = self.folder / f"{name}.fd"
            shutil.copy(_EDK2_VARIABLES, variables)
            flash = "if=pflash,format=raw"
            # Where both families can be had it prefers IPv4, and waits a minute for it.
            four = "yes" if name == "edk2" else "no"
            return (
                *("-fw_cfg", f"name=opt/org.tianocore/IPv4PXESupport,string={four}"),
                *("-machine", "q35", "-drive", f"{flash},readonly=on,file={EDK2}"),
                *("-drive", f"{flash},file={variables}"),
                # Without the card's own ROM, the firmware has to do it itself.
                *("-device", f"{card},romfile=,bootindex=1"),
            )
        return (*BIOS, "-device", card)

    def _serve(
        self,
        name: str,
        listen: Sequence[str],
        port: int,
        networks: Sequence[str],
        prefix: Sequence[str] = (),
    ) -> Daemon:
        folder = self.folder / name
        folder.mkdir()
        configuration = folder / "filehub.toml"
        clients = "".join(
            f'[[network]]\naddress = "{each}"\naccount = "netboot"\nprotocols = ["tftp"]\n'
            for each in networks
        )
        configuration.write_text(f"""
[log]
format = "json"
[tftp]
listen = {tomlList(listen)}
[[mount]]
path = "/"
source = "file://{self.tree.root}"
[[user]]
name = "netboot"
[[user.rule]]
path = "/"
allow = "r"
{clients}""")
        daemon = Daemon(folder, ["--config", str(configuration)], udp=[port], prefix=prefix)
        self._daemons.append(daemon)
        return daemon

    def _startDHCP(self, space: Namespace) -> None:
        options = []
        for number, (name, file) in enumerate(_BOOT_FILES.items(), 1):
            network = f"10.99.{number}"
            options += [
                f"--interface={name}",
                f"--dhcp-range=set:{name},{network}.50,{network}.50,255.255.255.0,5m",
                f"--dhcp-boot=tag:{name},{file},,{network}.1",
            ]
        file = _BOOT_FILES["edk2"]
        options += [
            *("--interface=edk2v6", "--enable-ra"),
            # The firmware takes one address for itself and another one to boot.
            "--dhcp-range=set:edk2v6,fd00:99::50,fd00:99::5f,64,5m",
            f"--dhcp-option=tag:edk2v6,option6:bootfile-url,tftp://[fd00:99::1]/{file}",
        ]
        with (self.folder / "dhcp.log").open("wb") as output:
            self._dhcp = subprocess.Popen(
                [
                    *(*space.prefix, "dnsmasq", "--keep-in-foreground", "--log-facility=-"),
                    *("--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--log-dhcp"),
                    # Nobody has the addresses yet, so it need not wait for pings.
                    *("--leasefile-ro", "--pid-file=", "--no-ping", *options),
                    # iPXE then waits for no other DHCP server.
                    "--dhcp-option-force=encap:175,176,1b",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _start(
        self, name: str, prefix: Sequence[str], daemon: Daemon, address: str, *arguments: str
    ) -> None:
        self.machines[name] = Machine(self.folder, name, prefix, daemon, address, *arguments)

    def trouble(self) -> str:
        """What the servers logged that they must not log."""
        return "".join(daemon.trouble() for daemon in self._daemons)

    def close(self) -> None:
        """End everything, and remove the folder."""
        for machine in self.machines.values():
            machine.stop()
        if self._dhcp is not None:
            self._dhcp.kill()
            self._dhcp.wait(PATIENCE)
        for daemon in self._daemons:
            daemon.stop()
        if self._namespace is not None:
            self._namespace.close()
        shutil.rmtree(self.folder, ignore_errors=True)
