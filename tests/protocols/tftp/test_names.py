"""
What names in requests lead to, in a running service.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.accounts.policy import PathRule, RulePolicy
from filehub.errors import NoSpace
from filehub.paths import ROOT
from filehub.permissions import parsePermissions
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.clientroots import ClientRoot, parseMAC, parseRoot
from filehub.protocols.tftp.names import NameSettings, Naming
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.neighbours import Neighbours
from tests.protocols.tftp.doubles import Site
from tests.protocols.tftp.test_rules import rules

TABLE = {"192.0.2.1": "52:54:00:ab:cd:ef"}


class NamingCase(SynchronousTestCase):
    def start(self, *files: str, **names: object) -> None:
        """A service that reads names so, with files whose content is their path."""
        settings = NameSettings(**names)  # type: ignore[arg-type]
        self.site = Site(TFTPSettings(write="create", names=settings))
        self.reads = 0
        for name in files:
            self.site.tree.putFile(name, name.encode())

        def table() -> dict[str, str]:
            self.reads += 1
            return TABLE

        seconds = self.site.reactor.seconds
        self.site.service.naming = Naming(settings, seconds, Neighbours(seconds, table))
        self.port = 50000

    def fetch(self, name: bytes, host: str = "192.0.2.1") -> bytes | int:
        """The content, or the code of the ERROR."""
        self.port += 1
        client = self.site.client(host, self.port)
        client.read(name)
        (packet,) = self.site.network.inboxes[client.address]
        if packet[1][1] == wire.ERROR:
            return packet[1][3]
        return client.download()

    def put(self, name: bytes, host: str = "192.0.2.1") -> bytes:
        """The answer."""
        self.port += 1
        client = self.site.client(host, self.port)
        client.write(name, (b"tsize", b"1"))
        answer = client.one()
        if answer[1] != wire.ERROR:
            client.data(1, b"!")
            self.site.advance(0.1)
        return answer


class RulesTests(NamingCase):
    def test_rewritten(self) -> None:
        """A rule's result is the file that is read, and the one in the record."""
        self.start("/real/f", rules=rules({"match": "^virtual", "replace": "real"}))
        self.assertEqual(self.fetch(b"virtual/f"), b"/real/f")
        self.assertEqual(str(self.site.events.transfers[0].path), "/real/f")
        self.assertEqual(self.fetch(b"real/f"), b"/real/f")

    def test_denied(self) -> None:
        """ERROR 2 with the rule's words, for reading and writing as it says."""
        self.start(
            "/f",
            rules=rules({"match": "^", "then": "deny", "verbs": ["put"], "message": "go away"}),
        )
        self.assertEqual(self.put(b"g"), wire.encodeError(2, "go away"))
        self.assertEqual(self.fetch(b"f"), b"/f")

    def test_endless(self) -> None:
        """A denial, and a word for the operator; the service goes on."""
        self.start("/f", rules=rules({"match": "a", "then": "restart"}))
        self.assertEqual(self.fetch(b"a"), 2)
        self.assertEqual(self.fetch(b"f"), b"/f")
        self.assertEqual(self.site.service.transfers, 0)

    def test_before(self) -> None:
        """Rules see the backslashes that the client sent; what is left of them is /."""
        self.start("/boot/f", "/b/f", rules=rules({"match": r"^\\Boot\\", "replace": r"b\\"}))
        self.assertEqual(self.fetch(b"\\Boot\\f"), b"/b/f")
        self.assertEqual(self.fetch(b"boot\\f"), b"/boot/f")

    def test_found(self) -> None:
        """Whether there is such a file is asked of what the account may see."""
        own = {"match": "^", "replace": r"\mac/", "then": "found"}
        self.start("/52-54-00-ab-cd-ef/f", "/g", rules=rules(own))
        self.assertEqual(self.fetch(b"f"), b"/52-54-00-ab-cd-ef/f")
        self.assertEqual(self.fetch(b"g"), b"/g")
        self.assertEqual(self.fetch(b"f", "192.0.2.2"), 1)
        self.assertEqual(self.put(b"f"), wire.encodeError(6, "already exists"))

    def test_remembered(self) -> None:
        """A name is rewritten once for all whom the rules treat alike."""
        self.start("/192.0.2.1/f", "/192.0.2.2/f",
                   rules=rules({"match": "^", "replace": r"\ip/"}))  # fmt: skip
        for _ in range(2):
            for host in ("192.0.2.1", "192.0.2.2"):
                self.assertEqual(self.fetch(b"f", host), f"/{host}/f".encode())
        self.assertEqual(len(self.site.service.naming._rewritten), 2)


class RootTests(NamingCase):
    roots = (
        ClientRoot(parseRoot("/lab"), mac=parseMAC("525400abcdef")),
        ClientRoot(parseRoot(r"/clients/\ip")),
    )

    def test_fallback(self) -> None:
        """The client's own folders first, then the common tree."""
        self.start(
            "/lab/a", "/clients/192.0.2.1/a", "/a", "/clients/192.0.2.1/b", "/b", "/c",
            roots=self.roots,
        )  # fmt: skip
        self.assertEqual(self.fetch(b"a"), b"/lab/a")
        self.assertEqual(self.fetch(b"b"), b"/clients/192.0.2.1/b")
        self.assertEqual(self.fetch(b"/c"), b"/c")
        self.assertEqual(self.fetch(b"d"), 1)
        self.assertEqual(self.fetch(b"a", "192.0.2.9"), b"/a")
        self.assertEqual(self.fetch(b"../../c"), b"/c")

    def test_table(self) -> None:
        """The kernel's table is not read for each request."""
        self.start("/lab/a", roots=self.roots)
        for _ in range(50):
            self.assertEqual(self.fetch(b"a"), b"/lab/a")
            self.fetch(b"a", "192.0.2.77")
        self.assertLessEqual(self.reads, 2)

    def test_uploads(self) -> None:
        """They go to the first folder that there is."""
        self.start("/clients/192.0.2.1/x", "/lab/x", roots=self.roots)
        self.put(b"new")
        self.assertEqual(self.site.content("/lab/new"), b"!")
        self.put(b"new", "192.0.2.2")
        self.assertEqual(self.site.content("/new"), b"!")


class CaseTests(NamingCase):
    def test_any(self) -> None:
        """The exact name first, else one in another case, always the same."""
        self.start("/Boot/BCD", "/Boot/bcd", "/boot/x", "/BOOT/X", case="any")
        self.assertEqual(self.fetch(b"Boot\\bcd"), b"/Boot/bcd")
        for _ in range(2):
            self.assertEqual(self.fetch(b"BOOT\\Bcd"), b"/Boot/BCD")
            self.assertEqual(self.fetch(b"bOOT/x"), b"/BOOT/X")
        self.assertEqual(self.fetch(b"BOOT/none"), 1)

    def test_exact(self) -> None:
        """Not unless it is wanted."""
        self.start("/Boot/BCD")
        self.assertEqual(self.fetch(b"boot/bcd"), 1)

    def test_lower(self) -> None:
        """All lower case, as dnsmasq has it."""
        self.start("/boot/bcd", "/Boot/BCD", case="lower")
        self.assertEqual(self.fetch(b"\\Boot\\BCD"), b"/boot/bcd")

    def test_remembered(self) -> None:
        """A name that went away is looked for again; a missing one after two seconds."""
        self.start("/Boot/BCD", case="any")
        self.assertEqual(self.fetch(b"boot/bcd"), b"/Boot/BCD")
        del self.site.tree.find(ROOT.join("/Boot")).children["BCD"]
        self.site.tree.putFile("/Boot/Bcd", b"new")
        self.assertEqual(self.fetch(b"boot/bcd"), b"new")
        self.assertEqual(self.fetch(b"boot/later"), 1)
        self.site.tree.putFile("/Boot/LATER", b"here")
        self.assertEqual(self.fetch(b"boot/later"), 1)
        self.site.advance(2.1, 0.5)
        self.assertEqual(self.fetch(b"boot/later"), b"here")

    def test_guarded(self) -> None:
        """What the account may not read is not found in any case."""
        self.start("/boot/f", "/Secret/f", case="any")
        policy = RulePolicy([PathRule(ROOT.join("/boot"), parsePermissions("r"))], [])
        self.site.account.fileSystem = GuardedFileSystem(self.site.view, policy)
        self.assertEqual(self.fetch(b"/boot/F"), b"/boot/f")
        self.assertIn(self.fetch(b"/secret/f"), (1, 2))
        self.assertEqual(self.fetch(b"/secret/f"), self.fetch(b"/nothing/f"))


class SizeTests(NamingCase):
    def test_announced(self) -> None:
        """An upload that cannot fit is refused with ERROR 3 before any byte of it."""
        self.start("/f")
        self.site.tree.capacity = 1000
        client = self.site.client()
        client.write(b"big", (b"tsize", b"5000"))
        self.assertEqual(client.one(), wire.encodeError(3, NoSpace.summary))
        client = self.site.client(port=50001)
        client.write(b"small", (b"tsize", b"500"))
        self.assertEqual(client.one(), b"\0\6tsize\x00500\0")
