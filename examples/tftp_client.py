"""
Fetch a file from a TFTP server and store it there again under another name::

    python examples/tftp_client.py 192.0.2.1 pxelinux.0

L{TFTPClient} moves bytes between the server and handles of any FileHub file system;
here it is one in memory.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from filehub.attributes import Disposition
from filehub.errors import FileHubError
from filehub.paths import ROOT
from filehub.protocols.tftp.client import TFTPClient
from filehub.testing import MemoryTree
from filehub.transfer.progress import Progress


async def fetchAndStore(reactor: Any, host: str, name: str, port: int = 69) -> int:
    """
    Copy C{name} to C{name.copy} on the server; returns its length.
    """
    files = MemoryTree().viewFor("me")
    client = TFTPClient(reactor, host, port, timeout=10.0, blksize=1428, window=16)
    try:
        print(f"{name} has {await client.size(name)} octets")
        progress = Progress()
        target = await files.openForWriting(ROOT.join("file"), Disposition.REPLACE)
        try:
            await client.retrieve(name, target, progress)
            await target.commit()
        finally:
            await target.abort()
        print(f"fetched {progress.nbytes} octets")
        source = await files.openForReading(ROOT.join("file"))
        try:
            stored = await client.store(f"{name}.copy", source)
        finally:
            await source.close()
        print(f"stored {stored} octets")
        return stored
    finally:
        # Stays until the server cannot ask for a last ACK any more.
        await client.close()


async def main(reactor: Any, host: str, name: str, port: str = "69") -> None:
    try:
        await fetchAndStore(reactor, host, name, int(port))
    except FileHubError as error:
        raise SystemExit(f"{name}: {error}") from None


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
