"""
RANG: a part of a file (draft-bryan-ftp-range), for the next download or checksum.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from filehub.protocols.ftp import replies
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: As for REST: what a file system can have.
_MAXIMUM: Final = 2**63 - 1
_RANGE: Final = re.compile(r"([0-9]{1,19}) +([0-9]{1,19})")

_NO_RANGE: Final = replies.reply(501, "RANG takes the first and the last byte.")
#: Of an upload: the draft's meaning, to overwrite in the middle, would not be atomic.
DOWNLOADS_ONLY: Final = replies.reply(501, "RANG is for downloads and checksums.")


async def RANG(session: FTPSession, argument: str) -> Reply:
    """
    The first and the last byte, counted from 0; both are sent.  C{1 0} is the whole.
    """
    match = _RANGE.fullmatch(argument.strip())
    if match is None:
        return _NO_RANGE
    start, end = int(match[1]), int(match[2])
    if (start, end) == (1, 0):
        session.restart, session.rangeEnd = 0, None
        return replies.reply(350, "Back to the whole file.")
    if start > end or end > _MAXIMUM:
        return _NO_RANGE
    session.restart, session.rangeEnd = start, end
    return replies.reply(350, f"Restarting at {start}. End byte range at {end}.")


def takeRange(session: FTPSession) -> tuple[int, int | None]:
    """What RANG or REST said, which is used up by that: the first and the last byte."""
    start, session.restart = session.restart, 0
    end, session.rangeEnd = session.rangeEnd, None
    return start, end


VERBS: Final = {"RANG": RANG}
