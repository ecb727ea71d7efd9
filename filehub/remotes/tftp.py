"""
TFTP servers as a L{Remote}: get and put are all that the protocol has.
"""

from __future__ import annotations

from filehub.errors import ConnectFailed, FileHubError
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.protocols.tftp.client import TFTPClient
from filehub.remotes.base import Entry, NotPossible
from filehub.transfer.progress import Progress


class TFTPRemote:
    """See L{Remote}."""

    resumesDownloads = False
    resumesUploads = False
    hasDirectories = False

    def __init__(self, client: TFTPClient, *, netascii: bool = False) -> None:
        """
        @param netascii: all files are texts.
        """
        self.client = client
        self.netascii = netascii

    async def entry(self, path: str) -> Entry | None:
        """
        See L{Remote.entry}.  The server is asked for the size, as if for a download.
        """
        name = path.rstrip("/").rpartition("/")[2]
        if not name or path.endswith("/"):
            return Entry(name, "dir")
        try:
            size = await self.client.size(path)
            # A text has another length over there than here.
            return Entry(name, "file", None if self.netascii else size)
        except ConnectFailed:
            raise
        except FileHubError:
            return None

    async def list(self, path: str) -> list[Entry]:
        """See L{Remote.list}."""
        raise NotPossible("TFTP has no listings")

    async def get(self, path: str, target: IWriteHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.get}."""
        if offset:
            raise NotPossible("TFTP cannot download the rest of a file")
        return await self.client.retrieve(path, target, progress, netascii=self.netascii)

    async def put(self, path: str, source: IReadHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.put}."""
        if offset:
            raise NotPossible("TFTP cannot upload the rest of a file")
        return await self.client.store(path, source, progress, netascii=self.netascii)

    async def removeFile(self, path: str) -> None:
        """See L{Remote.removeFile}."""
        raise NotPossible("TFTP cannot remove files")

    async def removeDirectory(self, path: str) -> None:
        """See L{Remote.removeDirectory}."""
        raise NotPossible("TFTP has no directories")

    async def makeDirectory(self, path: str) -> None:
        """See L{Remote.makeDirectory}."""
        raise NotPossible("TFTP has no directories")

    async def rename(self, source: str, target: str) -> None:
        """See L{Remote.rename}."""
        raise NotPossible("TFTP cannot rename")

    async def home(self) -> str:
        """See L{Remote.home}."""
        return ""

    def abort(self) -> None:
        """See L{Remote.abort}."""

    async def close(self) -> None:
        """See L{Remote.close}.  The last ACK may have to be repeated for a moment."""
        await self.client.close()
