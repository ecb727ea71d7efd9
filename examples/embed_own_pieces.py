"""
An FTP server with a checker, a policy, a storage and limits of one's own.
python embed_own_pieces.py [PORT]
"""

import sys
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from filehub.accounts.bans import Bans, BanSettings
from filehub.accounts.policy import PathRule
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountLimits, AccountRecord
from filehub.accounts.throttle import ThrottledPortal, ThrottleSettings
from filehub.interfaces import IStorage
from filehub.paths import ROOT, VirtualPath
from filehub.permissions import READ_ONLY, parsePermissions
from filehub.protocols.ftp.server import FTPFactory
from filehub.protocols.ftp.settings import FTPSettings
from filehub.registry import SessionCaps, SessionRegistry
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.memory import MemoryTree

reactor: Any = installed


@implementer(ICredentialsChecker)
class TeamChecker:
    """Own checker: whoever is of the team knows the word of the day."""

    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        if credentials.password != b"open sesame":
            return fail(UnauthorizedLogin("not the word of the day"))
        return succeed(credentials.username)


class TeamAccounts:
    """Own policy: an account for every name; all read, and write in their own folder."""

    async def find(self, name: str) -> AccountRecord | None:
        own = PathRule(PEOPLE.child(name), parsePermissions("elradfmw"))
        limits = AccountLimits(maximumSessions=2, idle=60.0)
        return AccountRecord(name, rules=(PathRule(ROOT, READ_ONLY), own), limits=limits)

    async def findAnonymous(self) -> AccountRecord | None:
        return None


class Careful(ForwardingFileSystem):
    """Own storage: another one, except that what is removed goes to C{/trash}."""

    async def removeFile(self, path: VirtualPath) -> None:
        await self.inner.rename(path, TRASH.child(path.name), replace=True)


@implementer(IStorage)
class CarefulTree(MemoryTree):
    """Gives everybody such a view of the files."""

    def viewFor(self, owner: str) -> Any:
        return Careful(super().viewFor(owner))


TRASH, PEOPLE = ROOT.child("trash"), ROOT.child("people")
tree = CarefulTree()
for folder in (TRASH, PEOPLE):
    Deferred.fromCoroutine(tree.viewFor("").makeDirectory(folder))
portal = Portal(FileHubRealm(TeamAccounts(), {ROOT: tree}), [TeamChecker()])

# Own limits: on sessions, and on those who guess.
bans = Bans(reactor, BanSettings(limit=5, duration=3600))
sessions = SessionRegistry(reactor, SessionCaps(total=100, perAddress=10), bans=bans)
throttled = ThrottledPortal(portal, reactor, settings=ThrottleSettings(delay=0.1), bans=bans)
ftp = FTPFactory(reactor, throttled, FTPSettings(idleTimeout=120), sessions=sessions)

reactor.listenTCP(int([*sys.argv[1:], "2121"][0]), ftp, interface="127.0.0.1")
reactor.run()
