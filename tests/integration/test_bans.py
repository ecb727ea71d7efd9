"""
Bans of the real daemon: earned, ordered, over all protocols, and after a crash.
"""

import socket
import subprocess
import sys

from tests.integration.harness import (
    PATIENCE,
    IntegrationTestCase,
    Site,
    daemonEnvironment,
    until,
)

#: All of them are this machine.
GUESSER, NAMED, HONEST = "127.0.0.3", "127.0.0.5", "127.0.0.7"


class BanTests(IntegrationTestCase):
    """Five points, and loopback is not exempt."""

    def makeSite(self) -> Site:
        return self.newSite(ban="attempts = 5\nexempt = []\ndelay = 0")

    def greeting(self, address: str, port: int) -> bytes:
        """What a client with this address hears first; nothing if it is cut off."""
        try:
            with socket.create_connection(
                ("127.0.0.1", port), PATIENCE, source_address=(address, 0)
            ) as client:
                return client.recv(100)
        except ConnectionResetError:
            return b""

    def guess(self, address: str) -> None:
        with socket.create_connection(
            ("127.0.0.1", self.site.ftp), PATIENCE, source_address=(address, 0)
        ) as client:
            lines = client.makefile("rb")
            lines.readline()
            for command, code in ((b"USER eve", b"331"), (b"PASS x", b"530")):
                client.sendall(command + b"\r\n")
                self.assertTrue(lines.readline().startswith(code))

    def command(self, *arguments: str) -> tuple[int, str]:
        """C{filehub ban}."""
        done = subprocess.run(
            [
                sys.executable, "-c", "from filehub.cli.main import main; main()", "ban",
                *arguments, "--config", str(self.site.configuration),
            ],
            env=daemonEnvironment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode()

    def test_bans(self) -> None:
        """
        Five wrong passwords by FTP, and RFC 913 says nothing either, also after a crash;
        the operator's ban reaches the daemon that runs, and is taken back.
        """
        ports = (self.site.ftp, self.site.rfc913)
        for _ in range(5):
            self.guess(GUESSER)
        self.assertEqual(self.command("add", NAMED, "--for", "1h"), (0, ""))
        until(lambda: not self.greeting(NAMED, self.site.ftp), "it is banned", PATIENCE)
        until(lambda: GUESSER in self.command("list")[1], "it is written down", PATIENCE)
        self.site.daemon.kill()
        self.site.start()
        for port in ports:
            self.assertEqual(self.greeting(GUESSER, port), b"")
            self.assertEqual(self.greeting(NAMED, port), b"")
            self.assertNotEqual(self.greeting(HONEST, port), b"")
        self.assertEqual(self.command("del", NAMED), (0, ""))
        until(lambda: self.greeting(NAMED, self.site.ftp) != b"", "it is let in", PATIENCE)
        self.assertEqual(self.greeting(GUESSER, self.site.rfc913), b"")
