"""
Files that are made for whoever asks for them, from templates (Jinja2).

Where templates are wanted, C{grub.cfg} is what C{grub.cfg.j2} says for this client, as
long as there is no C{grub.cfg} itself.  Behind a C{?} in a name, C{key=value} pairs go
to the template.  The result has its exact length before the first byte is sent.

A template may hold what nobody should see who only sees its result: its source is not
there for accounts that may not store files at its place.  Templates are the operator's
own, yet they run in a sandbox, in a worker, with bounds on source, result and time.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from twisted.logger import Logger
from zope.interface import implementer

from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.credentials import ConnectionInfo
from filehub.errors import FileTooLarge, NotADirectory, NotFound, StorageUnavailable
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IDirectoryHandle,
    IFileSystem,
    IPermissionPolicy,
    IReadHandle,
    IServerSideCopy,
)
from filehub.paths import VirtualPath
from filehub.permissions import Permission
from filehub.vfs._memorynodes import MemoryReadHandle
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.workers import Workers

#: Octets of a template, and of what it makes.
MAXIMUM_SOURCE: Final = 256 * 1024
MAXIMUM_RESULT: Final = 1024 * 1024
#: Seconds that one may take, as far as it can be interrupted: between its pieces.
MAXIMUM_TIME: Final = 5.0
_REMEMBERED: Final = 128
_MAXIMUM_QUERY: Final = 32

#: Makes bytes of a source, and facts for it; blocks.
Render = Callable[[str, Mapping[str, Any]], bytes]


class TemplateError(Exception):
    """A template that cannot be used; says why, to the operator alone."""


def jinjaRenderer() -> Render:
    """
    @raise ImportError: there is no Jinja2.
    """
    from jinja2 import StrictUndefined, Template
    from jinja2 import TemplateError as JinjaError
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """In which nothing grows without bound by multiplication."""

        intercepted_binops = frozenset(("*", "**"))

        def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
            for one, other in ((left, right), (right, left)):
                if isinstance(one, (str, list, tuple)) and isinstance(other, int):
                    if len(one) * other > MAXIMUM_RESULT:
                        raise TemplateError("too long")
            if operator == "**" and isinstance(right, int) and right > 64:
                raise TemplateError("too large a power")
            return super().call_binop(context, operator, left, right)

    environment = Environment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, cache_size=0
    )
    compiled: OrderedDict[str, Template] = OrderedDict()

    def render(source: str, facts: Mapping[str, Any]) -> bytes:
        deadline = time.monotonic() + MAXIMUM_TIME
        pieces: list[bytes] = []
        length = 0
        try:
            template = compiled.pop(source, None) or environment.from_string(source)
            for piece in template.generate(**facts):
                encoded = piece.encode("utf-8", "surrogateescape")
                length += len(encoded)
                pieces.append(encoded)
                if length > MAXIMUM_RESULT:
                    raise TemplateError("its result is too long")
                if time.monotonic() > deadline:
                    raise TemplateError("it takes too long")
        except JinjaError as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error
        compiled[source] = template
        while len(compiled) > _REMEMBERED:
            compiled.popitem(last=False)
        return b"".join(pieces)

    # What Jinja2 imports when it is first needed is needed now: later there may be a chroot.
    for source in ("{{ x }}", "{{ x.y }}"):
        with contextlib.suppress(TemplateError):
            render(source, {"x": 1})
    return render


class Templates:
    """
    Where there are templates, and what is known when one is rendered.

    @ivar suffix: what a template's name has more than its result's.
    """

    def __init__(
        self,
        render: Render,
        workers: Workers,
        paths: Iterable[VirtualPath],
        *,
        suffix: str = ".j2",
        findMAC: Callable[[str], str | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param paths: the folders in which, at any depth, templates count.
        @param findMAC: from a client's address to its hardware address.
        """
        self.suffix = suffix
        self.render = render
        self.workers = workers
        self.clock = clock
        self._paths = tuple(paths)
        self._findMAC = findMAC

    def viewFor(
        self,
        inner: IFileSystem,
        policy: IPermissionPolicy,
        account: str,
        connection: ConnectionInfo,
    ) -> IFileSystem:
        """
        What one session sees.

        @param inner: guarded.
        """
        return TemplatedFileSystem(inner, self, policy, account, connection)

    def covers(self, path: VirtualPath) -> bool:
        """Do templates count there?"""
        return any(path.isWithin(each) for each in self._paths)

    def facts(
        self, account: str, connection: ConnectionInfo, path: VirtualPath, query: str
    ) -> dict[str, Any]:
        """The names that a template may use."""
        host = connection.peer.host.partition("%")[0]
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAXIMUM_QUERY)
        return {
            "client": {
                "address": host,
                "port": connection.peer.port,
                "mac": (self._findMAC(host) if self._findMAC is not None else None) or "",
                "protocol": connection.protocol,
            },
            "server": {"address": connection.local.host.partition("%")[0]},
            "account": account,
            "path": str(path),
            "name": path.name,
            "query": dict(reversed(pairs)),
        }


class TemplatedFileSystem(ForwardingFileSystem):
    """See this module's introduction."""

    _log = Logger()

    def __init__(
        self,
        inner: IFileSystem,
        templates: Templates,
        policy: IPermissionPolicy,
        account: str,
        connection: ConnectionInfo,
    ) -> None:
        super().__init__(inner)
        self._templates = templates
        self._policy = policy
        self._account = account
        self._connection = connection

    def _isSource(self, path: VirtualPath) -> bool:
        return path.name.endswith(self._templates.suffix) and self._templates.covers(path)

    def _hides(self, path: VirtualPath) -> bool:
        return self._isSource(path) and Permission.STORE not in self._policy.permissionsFor(path)

    async def _shown(self, path: VirtualPath) -> VirtualPath:
        """
        The canonical path.

        @raise NotFound: a template's source, for somebody who only sees results.
        """
        canonical = await self.inner.resolve(path)
        if self._hides(canonical) or self._hides(path):
            raise NotFound(path)
        return canonical

    # --- what is rendered ---

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        canonical = await self._shown(path)
        try:
            return await self.inner.openForReading(path)
        except (NotFound, NotADirectory):
            if not self._templates.covers(canonical):
                raise
            return await self._rendered(path, canonical)

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        canonical = await self._shown(path)
        try:
            return await self.inner.stat(path)
        except (NotFound, NotADirectory):
            if not self._templates.covers(canonical):
                raise
            attributes: FileAttributes = (await self._rendered(path, canonical)).attributes
            return attributes

    async def _rendered(self, path: VirtualPath, canonical: VirtualPath) -> IReadHandle:
        templates = self._templates
        name, _, query = canonical.name.partition("?")
        if not name:
            raise NotFound(path)
        try:
            handle = await self.inner.openForReading(
                canonical.parent.child(name + templates.suffix)
            )
        except (NotFound, NotADirectory):
            raise NotFound(path) from None
        try:
            if handle.attributes.size > MAXIMUM_SOURCE:
                raise FileTooLarge(path, "the template is too long")
            source = await handle.readAt(0, MAXIMUM_SOURCE)
        finally:
            await handle.close()
        facts = templates.facts(
            self._account, self._connection, canonical.parent.child(name), query
        )
        try:
            content = await templates.workers.run(
                templates.render, source.decode("utf-8", "surrogateescape"), facts
            )
        except TemplateError as error:
            self._log.warn(
                "the template for {path} cannot be rendered: {reason}",
                path=str(path),
                reason=str(error),
            )
            raise StorageUnavailable(path, "the file cannot be made") from error
        # It is new: two clients never share what was made for one of them.
        now = templates.clock()
        return MemoryReadHandle(
            FileAttributes(FileType.REGULAR, len(content), now, mode=0o444, links=1), content
        )

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        handle = await self.inner.openDirectory(path)
        canonical = await self.inner.resolve(path)
        if not self._templates.covers(canonical):
            return handle
        return _WithoutSources(handle, lambda name: self._hides(canonical.child(name)))

    # --- other ways to a source ---

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        await self._shown(source)
        await self.inner.rename(source, target, replace=replace)

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        await self._shown(source)
        await IServerSideCopy(self.inner).copy(source, target, replace=replace)

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        await self._shown(path)
        result: bytes = await IChecksums(self.inner).digest(path, algorithm, offset, length)
        return result

    async def foldCase(self, path: VirtualPath) -> VirtualPath:
        """See L{ICaseFolding.foldCase}.  What a template would make counts as well."""
        folding = ICaseFolding(self.inner)
        suffix = self._templates.suffix
        try:
            found: VirtualPath = await folding.foldCase(path)
            return found
        except NotFound:
            if not path.segments or not self._templates.covers(path):
                raise
        source: VirtualPath = await folding.foldCase(path.parent.child(path.name + suffix))
        return source.parent.child(source.name[: -len(suffix)])


@implementer(IDirectoryHandle)
class _WithoutSources:
    """A listing for somebody who only sees results."""

    def __init__(self, inner: IDirectoryHandle, hides: Callable[[str], bool]) -> None:
        self._inner = inner
        self._hides = hides

    async def nextPage(self) -> Sequence[DirectoryEntry]:
        """See L{IDirectoryHandle.nextPage}."""
        while page := await self._inner.nextPage():
            shown = [entry for entry in page if not self._hides(entry.name)]
            if shown:
                return shown
        return ()

    async def close(self) -> None:
        """See L{IDirectoryHandle.close}."""
        await self._inner.close()
