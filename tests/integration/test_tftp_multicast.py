"""
Many machines fetch one file at once (RFC 2090): atftp, on a network of the test's own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.integration.harness import ClientTestCase, Daemon, content, until
from tests.integration.namespaces import Namespace

CONFIGURATION = r"""
[log]
format = "json"
[tftp]
listen = ["udp:69:interface=10.98.0.1", 'udp:69:interface=fd00\:98\:\:1']
[tftp.multicast]
addresses = ["239.255.69.0/30", "ff15::69:0/126"]
[[mount]]
path = "/"
source = "file://{root}"
[[user]]
name = "netboot"
[[user.rule]]
path = "/"
allow = "r"
[[user.rule]]
path = "/secret"
allow = ""
[[network]]
address = "10.98.0.0/24"
account = "netboot"
protocols = ["tftp"]
[[network]]
address = "fd00:98::/64"
account = "netboot"
protocols = ["tftp"]
"""


class MulticastTests(ClientTestCase):
    """
    A server and some machines on one switch.

    @ivar folder: of the server; C{folder / "root"} is served.
    """

    #: Seconds until all must have the file.
    PATIENCE = 60.0

    def setUp(self) -> None:
        super().setUp()
        self.atftp = self.requireClient("atftp")
        self.server = self.namespace()
        self.server.ip("link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
        self.server.ip("addr", "add", "10.98.0.1/24", "dev", "switch")
        self.server.ip("addr", "add", "fd00:98::1/64", "dev", "switch", "nodad")
        self.server.ip("link", "set", "switch", "up")
        self.folder = Path(tempfile.mkdtemp(prefix="filehub-multicast-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.root = self.folder / "root"
        self.root.mkdir()
        configuration = self.folder / "filehub.toml"
        configuration.write_text(CONFIGURATION.format(root=self.root))
        self.daemon = Daemon(
            self.folder, ["--config", str(configuration)], udp=[69], prefix=self.server.prefix
        )
        self.addCleanup(self.daemon.stop)

    def namespace(self) -> Namespace:
        space = Namespace()
        self.addCleanup(space.close)
        return space

    def machines(self, count: int) -> list[Namespace]:
        """So many machines at the switch; C{10.98.0.10} is the first."""
        made = []
        for number in range(count):
            machine, port = self.namespace(), f"port{number}"
            self.server.ip(
                *("link", "add", port, "type", "veth"),
                *("peer", "name", "wire", "netns", str(machine.process)),
            )
            self.server.ip("link", "set", port, "master", "switch", "up")
            machine.ip("addr", "add", f"10.98.0.{10 + number}/24", "dev", "wire")
            machine.ip("addr", "add", f"fd00:98::{10 + number}/64", "dev", "wire", "nodad")
            machine.ip("link", "set", "wire", "up")
            # Where to listen: atftp leaves that to the kernel.
            machine.ip("route", "add", "239.0.0.0/8", "dev", "wire")
            made.append(machine)
        return made

    def start(
        self, machine: Namespace, name: str, target: Path, server: str = "10.98.0.1"
    ) -> subprocess.Popen[bytes]:
        """Let a machine fetch a file, and ask for multicast."""
        # To a file: a client that waits for its output to be read would miss blocks.
        with target.with_suffix(".trace").open("wb") as output:
            process = subprocess.Popen(
                [
                    *(*machine.prefix, self.atftp, "--trace", "--option", "blksize 1428"),
                    *("--option", "multicast", "--get", "-r", name, "-l", str(target)),
                    *(server, "69"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.kill)
        return process

    def finish(self, process: subprocess.Popen[bytes], target: Path) -> str:
        """What it printed; fails unless it has succeeded."""
        process.wait(self.PATIENCE)
        output = target.with_suffix(".trace").read_text(errors="replace")
        self.assertEqual(process.returncode, 0, output[-2000:])
        return output

    def transfers(self) -> list[dict[str, Any]]:
        """The server's records."""
        rows = [json.loads(line) for line in self.daemon.log().splitlines() if line[:1] == "{"]
        return [row for row in rows if row.get("event") == "TransferEnded"]

    def test_together(self) -> None:
        """Three machines hear the same blocks; each has the whole file in the end."""
        data = content(20_000_000)
        (self.root / "image").write_bytes(data)
        machines = self.machines(3)
        targets = [self.local / f"target{number}" for number in range(3)]
        running = [
            self.start(machine, "image", target)
            for machine, target in zip(machines, targets, strict=True)
        ]
        shown = [self.finish(*each) for each in zip(running, targets, strict=True)]
        for target, text in zip(targets, shown, strict=True):
            self.assertSameContent(target.read_bytes(), data)
            self.assertIn("multicast: 239.255.69.0,1758,", text)
        until(lambda: len(self.transfers()) == 3, "three records")
        rows = self.transfers()
        self.assertEqual({row["outcome"] for row in rows}, {"completed"})
        self.assertEqual({row["group"] for row in rows}, {"239.255.69.0:1758"})
        self.assertEqual({row["nbytes"] for row in rows}, {len(data)})
        # Each was sent to all: the others only had to ask for what came before them.
        asked = sum(text.count("sent ACK") for text in shown)
        self.assertLess(asked, 2 * (len(data) // 1428))
        self.assertEqual(self.daemon.trouble(), "")

    def test_masterDies(self) -> None:
        """One machine is switched off while it is the master, one comes late."""
        data = content(20_000_000)
        (self.root / "image").write_bytes(data)
        machines = self.machines(3)
        targets = [self.local / f"target{number}" for number in range(3)]

        def start(number: int) -> subprocess.Popen[bytes]:
            return self.start(machines[number], "image", targets[number])

        def beyond(number: int, size: int) -> bool:
            return targets[number].exists() and targets[number].stat().st_size > size

        first, second = start(0), start(1)
        until(lambda: beyond(1, 1_000_000), "blocks for the second")
        first.kill()
        first.wait(10)
        third = start(2)
        for process, target in ((second, targets[1]), (third, targets[2])):
            self.finish(process, target)
            self.assertSameContent(target.read_bytes(), data)
        until(lambda: len(self.transfers()) >= 2, "two records")
        self.assertEqual([row["outcome"] for row in self.transfers()[:2]], ["completed"] * 2)
        self.assertEqual(self.daemon.trouble(), "")

    def test_IPv6(self) -> None:
        """The same in a group of IPv6's, for two machines."""
        self.requireIPv6()
        data = content(3_000_000)
        (self.root / "image").write_bytes(data)
        machines = self.machines(2)
        targets = [self.local / f"target{number}" for number in range(2)]
        running = [
            self.start(machine, "image", target, "fd00:98::1")
            for machine, target in zip(machines, targets, strict=True)
        ]
        for process, target in zip(running, targets, strict=True):
            self.assertIn("multicast: ff15::69:0,1758,", self.finish(process, target))
            self.assertSameContent(target.read_bytes(), data)
        self.assertEqual(self.daemon.trouble(), "")
