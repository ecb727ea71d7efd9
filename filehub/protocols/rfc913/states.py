"""
What may follow what, as data.  L{filehub.protocols.rfc913.session} has the picture.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Protocol


class State(enum.Enum):
    """What a session is waiting for."""

    LOGIN = "nobody is logged in"
    READY = "waiting for a command"
    RENAMING = "NAME was said"
    RETRIEVING = "RETR was said"
    STORING = "STOR was said"
    ENTERING = "CDIR was said, and the directory wants credentials"


#: What goes on with something pending, and with what.
CONTINUATIONS: Final[Mapping[State, frozenset[str]]] = {
    State.LOGIN: frozenset(),
    State.READY: frozenset(),
    State.RENAMING: frozenset({"TOBE"}),
    State.RETRIEVING: frozenset({"SEND", "STOP"}),
    State.STORING: frozenset({"SIZE"}),
    State.ENTERING: frozenset({"ACCT", "PASS"}),
}

#: Second halves; refused unless something is pending that they go on with.
SECOND_HALVES: Final = frozenset({"TOBE", "SEND", "STOP", "SIZE"})

#: Everything else wants a login first.
BEFORE_LOGIN: Final = frozenset({"USER", "ACCT", "PASS", "DONE"})


class Pending(Protocol):
    """The first half of something."""

    @property
    def state(self) -> State:
        """Where a session is that holds it."""

    async def cancel(self) -> None:
        """It will have no second half."""


__all__ = ["BEFORE_LOGIN", "CONTINUATIONS", "SECOND_HALVES", "Pending", "State"]
