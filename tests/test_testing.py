"""
The doubles for embedders do what the real parts do.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.cred.credentials import Anonymous, ICredentials, UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import Disposition
from filehub.credentials import Address, ConnectionInfo, PeerAddress
from filehub.errors import PermissionDenied
from filehub.events import Denied, NameChanged, SessionStarted
from filehub.interfaces import IFileAccount
from filehub.paths import ROOT
from filehub.permissions import EVERYTHING
from filehub.testing import ImmediateWorkers, MemoryTree, RecordingSink, memoryPortal

PEER = Address("192.0.2.7", 4242)
LOCAL = Address("192.0.2.1", 21)
ADA = UsernamePassword(b"ada", b"lovelace")  # type: ignore[no-untyped-call]
GUEST = Anonymous()
DEVICE = PeerAddress(PEER, LOCAL)


class PortalTests(SynchronousTestCase):
    """L{memoryPortal}."""

    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.tree.putFile("/pub/hello", b"hello")
        self.sink = RecordingSink()

    def account(self, credentials: ICredentials, **options: Any) -> Any:
        options = {"users": {"ada": "lovelace"}, "sink": self.sink, **options}
        portal = memoryPortal(self.tree, **options)
        mind = ConnectionInfo("ftp", 1, PEER, LOCAL)
        asking = portal.login(credentials, mind, IFileAccount)
        return self.successResultOf(asking)[1]

    def do(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    async def store(self, account: Any) -> None:
        handle = await account.fileSystem.openForWriting(ROOT.join("/new"), Disposition.CREATE)
        await handle.writeAt(0, b"new")
        await handle.commit()

    def test_user(self) -> None:
        """A user may do everything, and the sink hears of it."""
        account = self.account(ADA)
        self.assertEqual(account.name, "ada")
        self.do(self.store(account))
        self.do(account.fileSystem.makeDirectory(ROOT.join("/folder")))
        self.assertEqual(self.tree.content("/new"), b"new")
        (event,) = self.sink.of(NameChanged)
        self.assertEqual((event.account, event.verb), ("ada", "makeDirectory"))
        self.assertEqual(self.sink.of(SessionStarted), [])

    def test_wrongPassword(self) -> None:
        """Passwords count."""
        portal = memoryPortal(self.tree, users={"ada": "byron"})
        self.failureResultOf(portal.login(ADA, None, IFileAccount), UnauthorizedLogin)
        portal = memoryPortal(self.tree)
        self.failureResultOf(portal.login(ADA, None, IFileAccount), UnauthorizedLogin)

    def test_readers(self) -> None:
        """Anonymous clients and devices read, and write nothing."""
        for credentials, name in ((GUEST, "anonymous"), (DEVICE, "device")):
            account = self.account(credentials)
            self.assertEqual(account.name, name)
            handle = self.do(account.fileSystem.openForReading(ROOT.join("/pub/hello")))
            self.assertEqual(self.do(handle.readAt(0, 100)), b"hello")
            storing = Deferred.fromCoroutine(self.store(account))
            self.failureResultOf(storing, PermissionDenied)
            self.assertEqual(self.sink.of(Denied)[-1].account, name)

    def test_permissions(self) -> None:
        """Unless they are told otherwise."""
        self.do(self.store(self.account(DEVICE, device=EVERYTHING)))
        self.assertEqual(self.tree.content("/new"), b"new")

    def test_refused(self) -> None:
        """Those that are not wanted are not let in."""
        portal = memoryPortal(self.tree, anonymous=None, device=None)
        for credentials in (GUEST, DEVICE):
            self.failureResultOf(
                portal.login(credentials, None, IFileAccount), UnhandledCredentials
            )
        portal = memoryPortal(self.tree, networks=["10.0.0.0/8"])
        self.failureResultOf(
            portal.login(DEVICE, None, IFileAccount), UnauthorizedLogin, LoginDenied
        )


class WorkersTests(SynchronousTestCase):
    """L{ImmediateWorkers}."""

    def test_atOnce(self) -> None:
        """The work is done when the call returns."""
        self.assertEqual(self.successResultOf(ImmediateWorkers().run(divmod, 7, 2)), (3, 1))
