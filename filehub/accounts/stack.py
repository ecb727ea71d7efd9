"""
The only place that puts the layers of a file system together:

    Audited( Guarded( Quota( MountTable( the account's view of each storage ))))

Audit is outermost, so that denials are recorded; the guard is next, so that nothing
below it is reached without a permission.  What counts usage is inside of the guard, so
that a denied upload reserves nothing.  (A single storage at the root needs no mount
table, and where nobody counts there is no such layer.)
"""

from __future__ import annotations

from collections.abc import Mapping

from filehub.accounts.audit import AuditedFileSystem
from filehub.accounts.guard import GuardedFileSystem
from filehub.attributes import Ownership
from filehub.credentials import ConnectionInfo
from filehub.interfaces import IEventSink, IFileSystem, IPermissionPolicy, IStorage
from filehub.paths import VirtualPath
from filehub.vfs.claims import Claims
from filehub.vfs.measuring import MountedMeasure
from filehub.vfs.mount import mounted
from filehub.vfs.quota import NOBODY, QuotaFileSystem
from filehub.vfs.templates import Templates
from filehub.views import ICreationMask, ICreationOwner


class AccountView:
    """
    What an account sees, apart from the one connection that looks: made once and
    shared by all its sessions.
    """

    __slots__ = ("files", "guarded", "lacksHome", "policy")

    def __init__(
        self,
        name: str,
        mounts: Mapping[VirtualPath, IStorage],
        policy: IPermissionPolicy,
        claims: Claims | None = None,
        umask: int = 0,
        ownership: Ownership | None = None,
    ) -> None:
        """
        @param umask: permission bits that nothing gets that is made here.
        @param ownership: whose that is, if not the server's.
        """
        fileSystem = _view(name, mounts)
        if claims is not None:
            fileSystem = QuotaFileSystem(
                fileSystem, _view(NOBODY, mounts), name, claims, MountedMeasure(mounts)
            )
        able = ICreationMask(fileSystem, None) if umask else None
        if able is not None:
            fileSystem = able.masked(umask)
        owned = ICreationOwner(fileSystem, None) if ownership is not None else None
        if owned is not None:
            fileSystem = owned.ownedBy(ownership)
        self.policy = policy
        #: What the guard guards: for what the server itself does, as this account.
        self.files = fileSystem
        #: Has it been said that its home cannot be entered?
        self.lacksHome = False
        self.guarded = GuardedFileSystem(fileSystem, policy)

    def forConnection(
        self,
        name: str,
        connection: ConnectionInfo | None,
        sink: IEventSink | None,
        templates: Templates | None = None,
    ) -> IFileSystem:
        """
        The file system of one session.

        @param connection: L{None} if an embedder's protocol does not tell; then
            nothing is told to the observers either, and nothing made for it.
        """
        fileSystem: IFileSystem = self.guarded
        if connection is None:
            return fileSystem
        if templates is not None:
            fileSystem = templates.viewFor(fileSystem, self.policy, name, connection)
        if sink is None:
            return fileSystem
        return AuditedFileSystem(fileSystem, sink, connection, name)


def _view(name: str, mounts: Mapping[VirtualPath, IStorage]) -> IFileSystem:
    return mounted({point: storage.viewFor(name) for point, storage in mounts.items()})
