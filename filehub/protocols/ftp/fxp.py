"""
FXP: a file goes from one FTP server to another without passing through here
(RFC 959 section 2.3, figure 2).

The target listens (PASV), the source connects (PORT).  Many servers refuse one or the
other towards a third machine, and rightly; whoever calls this can stream instead.  Of
two servers that encrypt, one takes the client's part (SSCN, CPSV); neither checks who
the other is.
"""

from __future__ import annotations

import re
from typing import Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from filehub.errors import ConnectFailed, ProtectionRequired
from filehub.protocols.ftp.client import FTPClient, Refused

_PASSIVE: Final = re.compile(r"([0-9]{1,3}(?:,[0-9]{1,3}){5})")
_EXTENDED: Final = re.compile(r"\((.)\1\1([0-9]{1,5})\1\)")


async def copyDirectly(
    source: FTPClient, path: str, target: FTPClient, name: str, *, offset: int = 0
) -> None:
    """
    Let C{source} send its file C{path} to C{target} as C{name}.  Both clients must do
    nothing else; after an error neither is of use any more.

    @param offset: where to begin, in both files (REST).
    @raise Refused: one of them does not want to.
    @raise ProtectionRequired: a data connection that both would have to encrypt.
    @raise FileHubError: and other ways to fail; part of the file may be there.
    """
    passive, active = await _agreeOnTLS(source, target)
    await source.command(await _meetingPoint(target, passive))
    if offset:
        await target.command(f"REST {offset}")
        await source.command(f"REST {offset}")
    # Some servers say 150 only once the other one has connected.
    await target.send(f"STOR {name}")
    await source.send(f"RETR {path}")
    problems: list[Failure] = []
    halves: list[Deferred[None]] = []
    for client, other in ((source, target), (target, source)):
        half = Deferred.fromCoroutine(_finish(client))

        def broke(failure: Failure, other: FTPClient = other) -> None:
            # The other one would wait for a connection that does not come.
            problems.append(failure)
            other.abort()

        halves.append(half.addErrback(broke))
    await gatherResults(halves)
    if problems:
        problems[0].raiseException()
    if active is not None:
        await active.command("SSCN OFF")


async def _agreeOnTLS(source: FTPClient, target: FTPClient) -> tuple[str, FTPClient | None]:
    """
    One of two servers that encrypt has to take the client's part in the handshake.

    @return: the command that makes the target listen, and whom SSCN has been said to.
    @raise ProtectionRequired: neither can, or only one of them encrypts.
    """
    if not source.protectsData and not target.protectsData:
        return "PASV", None
    if source.protectsData and target.protectsData:
        for client in (source, target):
            if "SSCN" in client.features:
                await client.command("SSCN ON")
                return "PASV", client
        if "CPSV" in target.features and ":" not in target.peer:
            return "CPSV", None
    raise ProtectionRequired("no encrypted data connection between these two servers")


async def _meetingPoint(target: FTPClient, passive: str) -> str:
    """Where the target listens, as the source's command to connect there."""
    # The address in an answer to PASV is not believed: it could make the source
    # connect anywhere.
    if ":" in target.peer:
        match = _EXTENDED.search((await target.command("EPSV")).text)
        if match is None:
            raise ConnectFailed("the server's answer to EPSV has no port in it")
        return f"EPRT |2|{target.peer}|{match[2]}|"
    match = _PASSIVE.search((await target.command(passive)).text)
    if match is None:
        raise ConnectFailed("the server's answer to PASV has no port in it")
    high, low = match[1].split(",")[4:]
    return f"PORT {target.peer.replace('.', ',')},{high},{low}"


async def _finish(client: FTPClient) -> None:
    reply = await client.reply()
    while reply.isPreliminary:
        # How long it takes is the servers' affair; they have their own time limits.
        reply = await client.reply(None)
    if not reply.isPositive:
        raise Refused(reply)


__all__ = ["copyDirectly"]
