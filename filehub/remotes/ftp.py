"""
FTP and FTPS servers as a L{Remote}.
"""

from __future__ import annotations

from filehub.errors import FileHubError, NoSpace, NotFound
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.protocols.ftp.client import FTPClient, Refused
from filehub.protocols.ftp.remote_entry import RemoteEntry
from filehub.protocols.ftp.reply_parser import NotFTP
from filehub.remotes.base import Entry
from filehub.remotes.words import meaningOf
from filehub.transfer.progress import Progress


def translated(refusal: Refused, path: str) -> FileHubError:
    """
    What a refusal means, where its code and its words tell; else the refusal itself.
    """
    if refusal.reply.code in (452, 552):
        return NoSpace(None, f"{path}: {refusal}")
    if refusal.reply.code in (521, 550, 553, 450):
        return meaningOf(str(refusal), path, refusal)
    return refusal


class FTPRemote:
    """See L{Remote}."""

    resumesDownloads = True
    resumesUploads = True
    hasDirectories = True

    def __init__(self, client: FTPClient) -> None:
        """
        @param client: logged in.
        """
        self.client = client

    async def entry(self, path: str) -> Entry | None:
        """See L{Remote.entry}."""
        if path.strip("/") == "" or path.endswith("/"):
            return Entry(path, "dir")
        found = await self.client.entry(path)
        if found is not None:
            return _entry(found)
        # Servers without MLST only know the size of files; a directory lets us in.
        here = await self.client.workingDirectory()
        try:
            await self.client.changeDirectory(path)
        except Refused:
            return None
        await self.client.changeDirectory(here)
        return Entry(path, "dir")

    async def list(self, path: str) -> list[Entry]:
        """See L{Remote.list}."""
        try:
            return [_entry(each) for each in await self.client.list(path)]
        except Refused as refusal:
            raise translated(refusal, path) from None

    async def get(self, path: str, target: IWriteHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.get}."""
        try:
            return await self.client.retrieve(path, target, offset=offset, progress=progress)
        except Refused as refusal:
            raise await self._why(refusal, path) from None

    async def put(self, path: str, source: IReadHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.put}."""
        try:
            return await self.client.store(path, source, offset=offset, progress=progress)
        except Refused as refusal:
            raise translated(refusal, path) from None

    async def _why(self, refusal: Refused, path: str) -> FileHubError:
        """What a refusal means; some servers only say that they failed."""
        error = translated(refusal, path)
        if error is refusal and refusal.reply.code == 550 and await self.entry(path) is None:
            return NotFound(None, f"{path}: {refusal}")
        return error

    async def removeFile(self, path: str) -> None:
        """See L{Remote.removeFile}."""
        try:
            await self.client.removeFile(path)
        except Refused as refusal:
            raise await self._why(refusal, path) from None

    async def removeDirectory(self, path: str) -> None:
        """See L{Remote.removeDirectory}."""
        try:
            await self.client.removeDirectory(path)
        except Refused as refusal:
            raise translated(refusal, path) from None

    async def makeDirectory(self, path: str) -> None:
        """See L{Remote.makeDirectory}."""
        try:
            await self.client.makeDirectory(path)
        except Refused as refusal:
            raise translated(refusal, path) from None

    async def rename(self, source: str, target: str) -> None:
        """See L{Remote.rename}."""
        try:
            await self.client.rename(source, target)
        except Refused as refusal:
            raise translated(refusal, source) from None

    async def home(self) -> str:
        """See L{Remote.home}."""
        try:
            return await self.client.workingDirectory()
        except (Refused, NotFTP):
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


def _entry(found: RemoteEntry) -> Entry:
    return Entry(found.name, found.kind, found.size, found.modified)
