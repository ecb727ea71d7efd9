"""
RFC 913 servers as a L{Remote}.

The protocol has no directories to make, no restart of a download, and nothing that
says what a name is: a file is what can be announced, a directory what can be listed.
"""

from __future__ import annotations

from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import FileHubError
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.protocols.rfc913.client import Refused, RFC913Client
from filehub.remotes.base import Entry, NotPossible, joined
from filehub.remotes.words import meaningOf
from filehub.transfer.progress import Progress


def _translated(refusal: Refused, path: str) -> FileHubError:
    return meaningOf(str(refusal), path, refusal)


class RFC913Remote:
    """See L{Remote}.  An upload goes on where it ended by C{STOR APP}."""

    resumesDownloads = False
    resumesUploads = True
    hasDirectories = False

    def __init__(self, client: RFC913Client) -> None:
        """
        @param client: logged in.
        """
        self.client = client

    async def entry(self, path: str) -> Entry | None:
        """See L{Remote.entry}."""
        name = path.rstrip("/").rpartition("/")[2]
        if not name or path.endswith("/"):
            return Entry(name, "dir")
        try:
            return Entry(name, "file", await self.client.size(path))
        except Refused:
            # Not a file that we may read; a directory lets itself be listed.
            return await self._directory(path, name)

    async def _directory(self, path: str, name: str) -> Entry | None:
        try:
            await self.client.names(path)
        except Refused:
            return None
        return Entry(name, "dir")

    async def list(self, path: str) -> list[Entry]:
        """See L{Remote.list}."""
        try:
            listed = await self.client.list(path)
            if all(each.kind is not None for each in listed):
                return [
                    Entry(each.name, each.kind or "other", each.size, each.modified)
                    for each in listed
                ]
            names = await self.client.names(path)
        except Refused as refusal:
            raise _translated(refusal, path) from None
        # A verbose format that nobody knows: ask about each name.
        entries = []
        for name in names:
            found = await self.entry(joined(path, name))
            entries.append(found or Entry(name, "other"))
        return entries

    async def get(self, path: str, target: IWriteHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.get}."""
        if offset:
            raise NotPossible("RFC 913 cannot download the rest of a file")
        try:
            return await self.client.retrieve(path, target, progress=progress)
        except Refused as refusal:
            raise _translated(refusal, path) from None

    async def put(self, path: str, source: IReadHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.put}."""
        try:
            if offset:
                rest = _Rest(source, offset)
                return await self.client.store(path, rest, mode="APP", progress=progress)
            return await self.client.store(path, source, mode="OLD", progress=progress)
        except Refused as refusal:
            raise _translated(refusal, path) from None

    async def removeFile(self, path: str) -> None:
        """See L{Remote.removeFile}."""
        try:
            await self.client.removeFile(path)
        except Refused as refusal:
            raise _translated(refusal, path) from None

    async def removeDirectory(self, path: str) -> None:
        """See L{Remote.removeDirectory}."""
        raise NotPossible("RFC 913 cannot remove directories")

    async def makeDirectory(self, path: str) -> None:
        """See L{Remote.makeDirectory}."""
        raise NotPossible("RFC 913 cannot make directories")

    async def rename(self, source: str, target: str) -> None:
        """See L{Remote.rename}."""
        try:
            await self.client.rename(source, target)
        except Refused as refusal:
            raise _translated(refusal, source) from None

    async def home(self) -> str:
        """See L{Remote.home}."""
        return ""

    def abort(self) -> None:
        """See L{Remote.abort}."""
        self.client.abort()

    async def close(self) -> None:
        """See L{Remote.close}."""
        try:
            await self.client.quit()
        except FileHubError:
            self.client.abort()


@implementer(IReadHandle)
class _Rest:
    """A file from some offset on, as if it began there."""

    def __init__(self, source: IReadHandle, offset: int) -> None:
        self._source = source
        self._offset = offset
        whole: FileAttributes = source.attributes
        size = max(0, whole.size - offset)
        self.attributes = FileAttributes(FileType.REGULAR, size, whole.modified)

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        data: bytes = await self._source.readAt(self._offset + offset, length)
        return data

    async def close(self) -> None:
        """See L{IReadHandle.close}."""
        await self._source.close()
