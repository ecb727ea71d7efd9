"""
Commands that may take long and need no data connection: checksums, copies, trees.

While one runs it is what STAT tells of; ABOR and the loss of the connection end it, and
silence on the control connection is no idleness, as with a transfer.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError

from filehub.errors import Aborted
from filehub.paths import VirtualPath
from filehub.protocols.ftp.ongoing import begin

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_T = TypeVar("_T")


async def interruptible(
    session: FTPSession, verb: str, path: VirtualPath, work: Coroutine[Any, Any, _T]
) -> _T:
    """
    Do the work, which has to bear being cancelled.

    @raise Aborted: the client broke it off; and L{PeerGone}.
    """
    transfer = begin(session, verb, path, None)
    try:
        return await work
    except CancelledError:
        raise transfer.interruption or Aborted() from None
    finally:
        session.transfer = None
        session.slot.doing("")


__all__ = ["interruptible"]
