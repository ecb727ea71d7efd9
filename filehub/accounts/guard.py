"""
THE permission check.

Theory of operation
===================

For every method: C{canonical = inner.resolve(path)}, then the policy is asked about
C{canonical}, then the inner method works on C{canonical}.  Inner methods follow no
links, so a link that is swapped in after the check makes the operation fail instead
of escape, and C{/public/link -> /private} is judged as C{/private}.

L{GUARDED} is the whole decision as data.  A test holds it against the interfaces, so
a new method without a row fails the suite.  What the rows cannot say:

  - Attributes of a directory need C{e}, as entering it does.
  - Changing the mode needs C{M}, changing times C{T}; only what is asked for counts.
  - A drop box (C{w} without C{l}, C{r} and C{d}) takes new files only: nothing is
    replaced or continued there.
  - Renaming must not disclose: a target that may be read or listed, or below which
    something may be, needs a source that may be, too.  And a directory with a stricter
    rule somewhere below it, or below where it would go, cannot be renamed at all.
  - Renaming must not take names to where they are judged otherwise.
  - Renaming over an existing file needs C{d} or C{w} at the target on top.
  - Listings leave out names that the account may do nothing with.
  - New names, and what new links say, without control characters, so that no listing
    and no log is forged.

A denial never depends on whether the file exists: the policy is asked first, and what
goes wrong on the way to a place where nothing may be done is a denial, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from zope.interface import Interface, implementer

from filehub.attributes import (
    AttributeChanges,
    DirectoryEntry,
    Disposition,
    FileAttributes,
    SpaceUsage,
)
from filehub.errors import (
    AlreadyExists,
    FileSystemError,
    InvalidName,
    NotFound,
    PermissionDenied,
)
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IDirectoryHandle,
    IFileSystem,
    IPermissionPolicy,
    IRandomAccess,
    IReadHandle,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.naming import INamePolicy
from filehub.paths import VirtualPath
from filehub.permissions import EVERYTHING, NOTHING, Permission, formatPermissions
from filehub.views import IAtOnce, ICreationMask, ILiteralView

P = Permission

#: To know of a file at all.
_SEE: Final = P.ENTER | P.LIST | P.RETRIEVE
#: What shows content and names that lie below.
_DISCLOSING: Final = P.LIST | P.RETRIEVE
#: What is looked at to know a drop box, as a number: only storing may be granted of it.
_DROP_BOX: Final = int(P.STORE | P.LIST | P.RETRIEVE | P.DELETE)


class Row(NamedTuple):
    """
    What one path argument of one method needs.

    @ivar argument: the parameter's name.
    @ivar follow: is a link at the very end followed?
    @ivar every: permissions that are all needed.
    @ivar some: permissions of which one is needed; none if empty.
    @ivar creates: may a name come into being?
    """

    argument: str
    follow: bool
    every: Permission
    some: Permission = NOTHING
    creates: bool = False


GUARDED: Final[dict[str, tuple[Row, ...]]] = {
    # IFileSystem
    "resolve": (Row("path", True, NOTHING, EVERYTHING),),
    "stat": (Row("path", False, NOTHING, _SEE),),
    "enterDirectory": (Row("path", True, P.ENTER),),
    "openDirectory": (Row("path", True, P.LIST),),
    "makeDirectory": (Row("path", False, P.MAKE, creates=True),),
    "removeDirectory": (Row("path", False, P.DELETE),),
    "removeFile": (Row("path", False, P.DELETE),),
    "rename": (
        Row("source", False, P.RENAME),
        Row("target", False, NOTHING, P.RENAME | P.STORE, creates=True),
    ),
    "setAttributes": (Row("path", True, NOTHING, P.MODE | P.TIME),),
    "openForReading": (Row("path", True, P.RETRIEVE),),
    "openForWriting": (Row("path", True, NOTHING, P.STORE | P.APPEND, creates=True),),
    # IRandomAccess
    "openForUpdate": (Row("path", True, P.STORE, creates=True),),
    # ISymbolicLinks
    "readLink": (Row("path", False, NOTHING, _SEE),),
    "makeLink": (Row("path", False, P.STORE, creates=True),),
    # ISpaceUsage
    "space": (Row("path", True, NOTHING, EVERYTHING),),
    # IServerSideCopy
    "copy": (
        Row("source", True, P.RETRIEVE),
        Row("target", True, P.STORE, creates=True),
    ),
    # IChecksums
    "digest": (Row("path", True, P.RETRIEVE),),
    # ICaseFolding: what counts is what may be done with what is found.
    "foldCase": (Row("path", True, P.RETRIEVE),),
}

#: The optional interfaces that are guarded, each provided only if the inner one is.
CAPABILITIES: Final = (
    IRandomAccess,
    ISymbolicLinks,
    ISpaceUsage,
    IServerSideCopy,
    IChecksums,
    ICaseFolding,
)

#: How often a name in another case may lead to a link, behind which it goes on.
_MAXIMUM_FOLDINGS: Final = 8


class Denial(PermissionDenied):
    """
    The guard's no.

    @ivar reason: the permission that was missing and the rule that decided: for the
        operator, never for the client.
    """

    def __init__(self, path: VirtualPath, reason: str) -> None:
        super().__init__(path)
        self.reason = reason


@implementer(IFileSystem, ILiteralView)
class GuardedFileSystem:
    """See this module's introduction."""

    def __init__(
        self,
        inner: IFileSystem,
        policy: IPermissionPolicy,
        *,
        anyNames: bool = False,
        follows: bool = True,
    ) -> None:
        """
        @param anyNames: take new names with control characters, too.
        @param follows: resolve links; else a path is taken as it is, and a link in it
            makes the inner method fail.
        """
        self._inner = inner
        self._policy = policy
        self._names = INamePolicy(policy, None)
        self._anyNames = anyNames
        self._follows = follows
        atOnce = IAtOnce(inner, None)
        #: The same for all who look: small files come thousands in a second.
        self._atOnce = None if atOnce is None else GuardedAtOnce(atOnce, policy)

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: a capability is there if the inner file system has it."""
        if interface is IAtOnce:
            return self._atOnce
        known = interface is ICreationMask or interface in CAPABILITIES
        return self if known and interface(self._inner, None) is not None else None

    def literalView(self) -> GuardedFileSystem:
        """See L{ILiteralView.literalView}."""
        return self._around(self._inner, follows=False)

    def masked(self, withheld: int) -> GuardedFileSystem:
        """See L{ICreationMask.masked}."""
        return self._around(ICreationMask(self._inner).masked(withheld), follows=self._follows)

    def _around(self, inner: IFileSystem, *, follows: bool) -> GuardedFileSystem:
        return GuardedFileSystem(inner, self._policy, anyNames=self._anyNames, follows=follows)

    # --- the decision

    async def _admit(self, row: Row, path: VirtualPath) -> VirtualPath:
        """
        The canonical path, if the row's needs are met there.

        @raise Denial: they are not.
        """
        try:
            canonical = path
            if self._follows:
                canonical = await self._inner.resolve(path, followFinal=row.follow)
        except FileSystemError:
            # That there is a loop, or a file in the way, is something to know.
            if not self._policy.permissionsFor(path):
                raise self._denial(path, path, "needs some permission") from None
            raise
        granted = self._policy.permissionsFor(canonical)
        # As plain numbers: the operators of flags cost more than the rest of a check.
        if missing := int(row.every) & ~int(granted):
            needed = formatPermissions(P(missing))
            raise self._denial(path, canonical, f"needs {needed}")
        if row.some and not int(row.some) & int(granted):
            raise self._denial(path, canonical, f"needs one of {formatPermissions(row.some)}")
        if row.creates and not canonical.name.isprintable():
            self._refuseControls(canonical.name, path)
        return canonical

    def _refuseControls(self, text: str, path: VirtualPath) -> None:
        """Not printable is more than control characters: look again, slowly."""
        if not self._anyNames and any(each < " " or "\x7f" <= each < "\xa0" for each in text):
            raise InvalidName(path, "control characters in a new name")

    def _denial(self, path: VirtualPath, canonical: VirtualPath, need: str) -> Denial:
        return Denial(path, f"{need} at {canonical}: {self._policy.reasonFor(canonical)}")

    def _isDropBox(self, canonical: VirtualPath) -> bool:
        return int(self._policy.permissionsFor(canonical)) & _DROP_BOX == int(P.STORE)

    def _strictestRule(self, canonical: VirtualPath) -> Permission:
        if self._names is None:
            return self._policy.strictestBelow(canonical)
        strictest: Permission = self._names.strictestRuleBelow(canonical)
        return strictest

    # --- IFileSystem

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """See L{IFileSystem.resolve}."""
        row = GUARDED["resolve"][0]
        return await self._admit(row._replace(follow=followFinal), path)

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        canonical = await self._admit(GUARDED["stat"][0], path)
        attributes = await self._inner.stat(canonical)
        if attributes.isDirectory and not self._policy.permissionsFor(canonical) & P.ENTER:
            raise self._denial(path, canonical, "needs e")
        return attributes

    async def enterDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.enterDirectory}."""
        canonical = await self._admit(GUARDED["enterDirectory"][0], path)
        await self._inner.enterDirectory(canonical)

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        canonical = await self._admit(GUARDED["openDirectory"][0], path)
        handle = await self._inner.openDirectory(canonical)
        if self._policy.strictestBelow(canonical) == self._policy.permissionsFor(canonical):
            # Nothing below has a rule of its own: all that is listed may be seen.
            return handle
        return _FilteredDirectory(handle, canonical, self._policy)

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        canonical = await self._admit(GUARDED["makeDirectory"][0], path)
        await self._inner.makeDirectory(canonical)

    async def removeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeDirectory}."""
        canonical = await self._admit(GUARDED["removeDirectory"][0], path)
        await self._inner.removeDirectory(canonical)

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        canonical = await self._admit(GUARDED["removeFile"][0], path)
        await self._inner.removeFile(canonical)

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        rows = GUARDED["rename"]
        canonical = await self._admit(rows[0], source)
        destination = await self._admit(rows[1], target)
        before = self._policy.permissionsFor(canonical)
        after = self._policy.permissionsFor(destination)
        gained = self._policy.loosestBelow(destination) & _DISCLOSING & ~before
        if gained:
            need = f"needs {formatPermissions(gained)}, as the new place has it"
            raise self._denial(source, canonical, need)
        for place, granted, asked in ((canonical, before, source), (destination, after, target)):
            if self._strictestRule(place) != granted:
                raise self._denial(asked, place, "a stricter rule below it forbids renaming")
        if self._names is not None:
            # Neither what is denied gets free, nor what is free where it is denied.
            if self._names.namingBelow(canonical) != self._names.namingBelow(destination):
                raise self._denial(source, canonical, "other names are denied at the new place")
        mayReplace = after & (P.DELETE | P.STORE) and not self._isDropBox(destination)
        try:
            await self._inner.rename(canonical, destination, replace=bool(replace and mayReplace))
        except AlreadyExists:
            if replace and not mayReplace:
                raise self._denial(
                    target, destination, "needs d, or w, to replace a file"
                ) from None
            raise

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """See L{IFileSystem.setAttributes}."""
        needed = NOTHING
        if changes.mode is not None:
            needed |= P.MODE
        if changes.modified is not None or changes.accessed is not None:
            needed |= P.TIME
        row = GUARDED["setAttributes"][0]._replace(every=needed)
        canonical = await self._admit(row, path)
        await self._inner.setAttributes(canonical, changes)

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        canonical = await self._admit(GUARDED["openForReading"][0], path)
        return await self._inner.openForReading(canonical)

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        appends = disposition is Disposition.APPEND
        row = _APPENDING if appends else _STORING
        canonical = await self._admit(row, path)
        if self._isDropBox(canonical):
            disposition = Disposition.CREATE
        return await self._inner.openForWriting(canonical, disposition, sizeHint=sizeHint)

    # --- capabilities

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        canonical = await self._admit(GUARDED["openForUpdate"][0], path)
        if self._isDropBox(canonical):
            raise self._denial(path, canonical, "a drop box takes new files only")
        access = IRandomAccess(self._inner)
        return await access.openForUpdate(canonical, offset, sizeHint=sizeHint)

    async def readLink(self, path: VirtualPath) -> str:
        """See L{ISymbolicLinks.readLink}."""
        canonical = await self._admit(GUARDED["readLink"][0], path)
        return await ISymbolicLinks(self._inner).readLink(canonical)

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        canonical = await self._admit(GUARDED["makeLink"][0], path)
        if not target.isprintable():
            self._refuseControls(target, path)
        await ISymbolicLinks(self._inner).makeLink(canonical, target)

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}."""
        canonical = await self._admit(GUARDED["space"][0], path)
        return await ISpaceUsage(self._inner).space(canonical)

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        rows = GUARDED["copy"]
        canonical = await self._admit(rows[0], source)
        destination = await self._admit(rows[1], target)
        replace = replace and not self._isDropBox(destination)
        await IServerSideCopy(self._inner).copy(canonical, destination, replace=replace)

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        canonical = await self._admit(GUARDED["digest"][0], path)
        return await IChecksums(self._inner).digest(canonical, algorithm, offset, length)

    async def foldCase(self, path: VirtualPath) -> VirtualPath:
        """
        See L{ICaseFolding.foldCase}.  What may not be read is not there: neither in
        what is said nor in the directories that are looked into for a name.
        """
        row, folding = GUARDED["foldCase"][0], ICaseFolding(self._inner)
        asked = self._policy.permissionsFor(path)
        found = path
        try:
            for _ in range(_MAXIMUM_FOLDINGS):
                canonical = await self._admit(row._replace(every=NOTHING), found)
                if found is path:
                    asked = self._policy.permissionsFor(canonical)
                found = await folding.foldCase(canonical)
                if found == canonical:
                    break
            if row.every in self._policy.permissionsFor(found):
                return found
        except FileSystemError:
            if row.every in asked:
                raise
        if row.every in asked:
            raise NotFound(path)
        raise self._denial(path, path, f"needs {formatPermissions(row.every)}")


@implementer(IAtOnce)
class GuardedAtOnce:
    """
    The same check where nothing has to be waited for, and no denial: whoever may not is
    told so by the verb itself.

    There is no L{IFileSystem.resolve} before it.  The inner verbs follow no links at
    all: where they succeed, the path has none in it and is its own canonical one, so
    what the policy was asked about is what is used.
    """

    __slots__ = ("_inner", "_policy")

    def __init__(self, inner: IAtOnce, policy: IPermissionPolicy) -> None:
        self._inner = inner
        self._policy = policy

    def readAtOnce(self, path: VirtualPath, most: int) -> bytes | None:
        """See L{IAtOnce.readAtOnce}."""
        if int(self._policy.permissionsFor(path)) & _READING != _READING:
            return None
        content: bytes | None = self._inner.readAtOnce(path, most)
        return content

    def replaceAtOnce(self, path: VirtualPath) -> IWriteHandle | None:
        """See L{IAtOnce.replaceAtOnce}."""
        granted = int(self._policy.permissionsFor(path))
        if not granted & _WRITING or granted & _DROP_BOX == _WRITING or not path.name.isprintable():
            return None
        handle: IWriteHandle | None = self._inner.replaceAtOnce(path)
        return handle


_READING: Final = int(GUARDED["openForReading"][0].every)
_STORING: Final = GUARDED["openForWriting"][0]._replace(every=P.STORE)
_WRITING: Final = int(_STORING.every)
_APPENDING: Final = GUARDED["openForWriting"][0]._replace(every=P.APPEND)


@implementer(IDirectoryHandle)
class _FilteredDirectory:
    """A listing without the names that the account may do nothing with."""

    def __init__(
        self, inner: IDirectoryHandle, path: VirtualPath, policy: IPermissionPolicy
    ) -> None:
        self._inner = inner
        self._path = path
        self._policy = policy

    async def nextPage(self) -> Sequence[DirectoryEntry]:
        """See L{IDirectoryHandle.nextPage}."""
        while page := await self._inner.nextPage():
            shown = [entry for entry in page if self._isSeen(entry.name)]
            if shown:
                return shown
        return []

    def _isSeen(self, name: str) -> bool:
        try:
            return bool(self._policy.permissionsFor(self._path.child(name)))
        except InvalidName:
            # Deeper than any path: nothing can be done with it.
            return False

    async def close(self) -> None:
        """See L{IDirectoryHandle.close}."""
        await self._inner.close()
