"""
From the file name in a request to a file.

In order: the site's rules, backslashes and case, the client's own folders before the
common tree, and, where that is wanted, names that differ in case only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from twisted.logger import Logger

from filehub.attributes import Disposition
from filehub.credentials import ConnectionInfo
from filehub.errors import FileSystemError, InvalidName, NotADirectory, NotFound, PermissionDenied
from filehub.interfaces import ICaseFolding, IFileAccount, IFileSystem, IReadHandle, IWriteHandle
from filehub.paths import ROOT, VirtualPath, decodeName
from filehub.protocols.tftp.clientroots import ClientRoot, rootsFor
from filehub.protocols.tftp.rules import NO_RULES, Caller, EndlessRules, RuleSet, Verb
from filehub.transfer.neighbours import Neighbours

_K = TypeVar("_K")
_V = TypeVar("_V")
Case = Literal["exact", "lower", "any"]

#: Names that are remembered, of each kind.
_REMEMBERED: Final = 2048
#: Seconds for which it is remembered that there is no such name in any case.
_MISSING_FOR: Final = 2.0
#: What one place may answer so that the next one is tried.
_ELSEWHERE: Final = (NotFound, NotADirectory, PermissionDenied, InvalidName)


@dataclass(frozen=True)
class NameSettings:
    """
    How a listener reads names.

    @ivar backslashes: read C{\\} as C{/}, as Windows loaders mean it.
    @ivar case: C{"lower"} asks for the name in lower case; C{"any"} takes, where there
        is no such file, one whose name differs in case only.
    @ivar rules: are applied first, to what the client sent.
    @ivar roots: folders of clients, in the order in which they are looked into.
    """

    backslashes: bool = True
    case: Case = "exact"
    rules: RuleSet = NO_RULES
    roots: tuple[ClientRoot, ...] = ()


#: A name is what the client says it is.
PLAIN_NAMES: Final = NameSettings()


def pathOf(filename: str, home: VirtualPath, *, backslashes: bool) -> VirtualPath:
    """
    The file that a client means.  Its home is all that it can name: a leading C{/}
    is there or not, as the firmware likes, and C{..} stops at the home.

    @param backslashes: read C{\\} as C{/}.
    @raise InvalidName: the name is empty, or cannot exist.
    """
    if backslashes:
        filename = filename.replace("\\", "/")
    path = ROOT.join(filename)
    if not path.segments:
        raise InvalidName(None, "no file name")
    return path.below(home)


class Naming:
    """
    Finds what the requests to one listener mean.
    """

    _log = Logger()

    def __init__(
        self,
        settings: NameSettings,
        seconds: Callable[[], float],
        neighbours: Neighbours | None = None,
    ) -> None:
        """
        @param seconds: a clock.
        """
        self.settings = settings
        self._seconds = seconds
        self._neighbours = neighbours or Neighbours(seconds)
        #: Without rules and roots: home, and the path that a name means there.
        self._plain: dict[bytes, tuple[VirtualPath, tuple[VirtualPath]]] = {}
        #: What rules made of a name, by all that they look at.
        self._rewritten: OrderedDict[tuple[object, ...], str] = OrderedDict()
        #: By account and path: the path in the case that there is; or until when to
        #: believe that there is none.
        self._folded: OrderedDict[tuple[str, VirtualPath], VirtualPath | float] = OrderedDict()

    async def placesOf(
        self, filename: bytes, account: IFileAccount, connection: ConnectionInfo, *, write: bool
    ) -> Sequence[VirtualPath]:
        """
        The paths that a name may mean, best first; at least one.

        @raise PermissionDenied: a rule refuses it.
        @raise InvalidName: it cannot be the name of a file.
        """
        settings = self.settings
        if not settings.rules.rules and not settings.roots:
            return self._plainPlaces(filename, account.home)
        name = decodeName(filename)
        caller = Caller(connection.peer.host, connection.local.host, self._neighbours.find)
        if settings.rules.rules:
            name = await self._rewrite(name, account, caller, "put" if write else "get")
        return self._places(name, account, caller)

    def _plainPlaces(self, filename: bytes, home: VirtualPath) -> tuple[VirtualPath]:
        # The same names come again and again, of accounts that begin at the same place.
        known = self._plain.get(filename)
        if known is not None and known[0] is home:
            return known[1]
        places = (self._path(decodeName(filename), home),)
        if len(self._plain) >= _REMEMBERED:
            self._plain.clear()
        self._plain[filename] = home, places
        return places

    def _path(self, name: str, home: VirtualPath) -> VirtualPath:
        if self.settings.case == "lower":
            name = name.lower()
        return pathOf(name, home, backslashes=self.settings.backslashes)

    def _places(self, name: str, account: IFileAccount, caller: Caller) -> list[VirtualPath]:
        roots = [*rootsFor(self.settings.roots, caller), account.home]
        return [self._path(name, root) for root in roots]

    # --- rules ---

    async def _rewrite(self, name: str, account: IFileAccount, caller: Caller, verb: Verb) -> str:
        rules = self.settings.rules
        facts = tuple(caller.macro(each) for each in sorted(rules.macros))
        key = (name, verb, caller.isIPv6, facts)
        known = self._rewritten.get(key)
        if known is not None:
            return known
        run = rules.run(name, caller, verb)
        try:
            asked = next(run)
            while True:
                asked = run.send(await self._exists(asked, account, caller, verb))
        except StopIteration as stop:
            rewritten: str = stop.value
        except EndlessRules:
            self._log.warn("the TFTP rules come to no end for {name!r}", name=name)
            raise
        if not rules.asks:
            _remember(self._rewritten, key, rewritten)
        return rewritten

    async def _exists(self, name: str, account: IFileAccount, caller: Caller, verb: Verb) -> bool:
        fileSystem: IFileSystem = account.fileSystem
        try:
            places = self._places(name, account, caller)
            if verb == "put":
                for path in places:
                    if (await fileSystem.stat(path)).isRegular:
                        return True
                return False
            _, handle = await self.open(account, places)
        except FileSystemError:
            return False
        await handle.close()
        return True

    # --- files ---

    async def open(
        self, account: IFileAccount, places: Sequence[VirtualPath]
    ) -> tuple[VirtualPath, IReadHandle]:
        """
        Open the first of these that is there.

        @raise FileSystemError: none is; what the last one, the common tree, says.
        """
        fileSystem: IFileSystem = account.fileSystem
        try:
            for path in places[:-1]:
                try:
                    return path, await fileSystem.openForReading(path)
                except _ELSEWHERE:
                    continue
            return places[-1], await fileSystem.openForReading(places[-1])
        except (NotFound, NotADirectory):
            if self.settings.case != "any":
                raise
            for path in places:
                found = await self._inOtherCase(account, path)
                if found is not None:
                    return found, await fileSystem.openForReading(found)
            raise

    async def _inOtherCase(self, account: IFileAccount, path: VirtualPath) -> VirtualPath | None:
        """What there is instead, differing in case only."""
        folding = ICaseFolding(account.fileSystem, None)
        if folding is None:
            return None
        key = (account.name, path)
        known = self._folded.get(key)
        if isinstance(known, float) and self._seconds() < known:
            return None
        try:
            if isinstance(known, VirtualPath):
                await account.fileSystem.stat(known)
                return known
        except FileSystemError:
            # It has gone: look again.
            pass
        try:
            found: VirtualPath = await folding.foldCase(path)
        except (NotFound, NotADirectory):
            _remember(self._folded, key, self._seconds() + _MISSING_FOR)
            return None
        except FileSystemError:
            return None
        _remember(self._folded, key, found)
        return found

    async def create(
        self,
        account: IFileAccount,
        places: Sequence[VirtualPath],
        disposition: Disposition,
        sizeHint: int | None,
    ) -> tuple[VirtualPath, IWriteHandle]:
        """
        Begin to write the first of these whose folder is there.

        @raise FileSystemError: none can be written; what the last one says.
        """
        fileSystem: IFileSystem = account.fileSystem
        for path in places[:-1]:
            try:
                return path, await fileSystem.openForWriting(path, disposition, sizeHint=sizeHint)
            except (NotFound, NotADirectory):
                continue
        path = places[-1]
        return path, await fileSystem.openForWriting(path, disposition, sizeHint=sizeHint)


def _remember(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
