"""
Sockets that the service manager has bound: systemd's protocol, spoken by a few lines.
"""

import socket
import sys
import tempfile
from pathlib import Path

from tests.integration.harness import ClientTestCase, Daemon
from tests.integration.rawftp import RawFTP
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RawTFTP
from tests.ports import freePort

#: Binds the ports given before C{--}, hands them over as sd_listen_fds(3) says, and
#: becomes what follows.
MANAGER = """
import fcntl, os, socket, sys
names, high = [], []
arguments = iter(sys.argv[1:])
for word in iter(lambda: next(arguments), "--"):
    name, port = word.split("=")
    kind = socket.SOCK_DGRAM if name == "tftp" else socket.SOCK_STREAM
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", int(port)))
    if kind == socket.SOCK_STREAM:
        sock.listen(50)
    names.append(name)
    high.append(fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 100))
    sock.close()
for number, descriptor in enumerate(high, 3):
    os.dup2(descriptor, number, inheritable=True)
os.environ.update(
    LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names)
)
command = list(arguments)
os.execv(command[0], command)
"""


class InheritedTests(ClientTestCase):
    """C{listen = ["systemd:..."]}."""

    def test_allProtocols(self) -> None:
        """
        Streams and datagrams, by name; connections that were made before the daemon was
        up are served.
        """
        folder = Path(tempfile.mkdtemp(prefix="inherited-", dir=self.local))
        (folder / "hello").write_bytes(b"hello")
        ftp, rfc913, tftp = freePort(), freePort(), freePort(socket.SOCK_DGRAM)
        configuration = self.local / "filehub.toml"
        configuration.write_text(
            f"""
[ftp]
listen = ["systemd:domain=INET:name=ftp"]
[rfc913]
listen = ["systemd:domain=INET:name=rfc913"]
[tftp]
listen = ["systemd:name=tftp"]
[[mount]]
path = "/"
source = "{folder.as_uri()}"
[anonymous]
enabled = true
[[anonymous.rule]]
path = "/"
allow = "elr"
[[user]]
name = "net"
[[user.rule]]
path = "/"
allow = "r"
[[network]]
address = "127.0.0.0/8"
account = "net"
protocols = ["tftp"]
"""
        )
        daemon = Daemon(
            self.local,
            ["--config", str(configuration)],
            tcp=[ftp, rfc913],
            udp=[tftp],
            prefix=[
                *(sys.executable, "-c", MANAGER),
                *(f"ftp={ftp}", f"rfc913={rfc913}", f"tftp={tftp}", "--"),
            ],
        )
        self.addCleanup(daemon.stop)
        with RawFTP(ftp) as client:
            client.command("USER anonymous")
            client.expect(230, "PASS x")
            client.expect(200, "TYPE I")
            self.assertEqual(client.retrieve("RETR hello"), b"hello")
        with RawTFTP(tftp) as datagrams:
            self.assertEqual(datagrams.read(b"hello"), b"hello")
        with RawRFC913(rfc913) as connection:
            self.assertEqual(connection.command("USER anonymous")[:1], b"!")
            self.assertEqual(connection.retrieve("hello"), b"hello")
        self.assertEqual(daemon.trouble(), "")
