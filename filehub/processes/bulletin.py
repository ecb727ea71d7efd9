"""
What one process has to tell the others: each has a channel to the one that watches,
which passes on what it hears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.amp import AMP, BinaryBoxProtocol, Boolean, Command, ListOf, String, Unicode
from twisted.python.failure import Failure

from filehub.paths import decodeName, encodeName

#: Octets of a word; nothing worth telling is longer, and AMP takes no more than 65,535.
_LONGEST: Final = 16_384


class News(Command):
    """
    Something has happened: C{topic}, C{words}, and whether it is for C{everybody} or
    for the one that watches alone.
    """

    arguments = [
        (b"topic", Unicode()),  # type: ignore[no-untyped-call]
        (b"words", ListOf(String())),  # type: ignore[no-untyped-call]
        (b"everybody", Boolean()),  # type: ignore[no-untyped-call]
    ]


class Channel(AMP):
    """
    One end of the connection between two processes.

    @ivar whenLost: called when the other end is gone.
    """

    def __init__(
        self, heard: Callable[[Channel, str, list[bytes], bool], None], whenLost: Callable[[], None]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._heard = heard
        self.whenLost = whenLost

    @News.responder
    def hear(self, topic: str, words: list[bytes], everybody: bool) -> dict[str, Any]:
        """The other end tells something."""
        self._heard(self, topic, words, everybody)
        return {}

    def tell(self, topic: str, words: list[bytes], *, everybody: bool = True) -> Deferred[None]:
        """Fires when the other end has heard it, or is gone."""
        told: Deferred[Any] = self.callRemote(  # type: ignore[no-untyped-call]
            News, topic=topic, words=words, everybody=everybody
        )
        return told.addBoth(_nothing)

    def makeConnection(self, transport: Any) -> None:
        """There is a connection; AMP's own word on it is of no use to anybody."""
        BinaryBoxProtocol.makeConnection(self, transport)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end is gone."""
        BinaryBoxProtocol.connectionLost(self, reason)  # type: ignore[no-untyped-call]
        self.transport = None
        self.whenLost()


def _nothing(_: object) -> None:
    """Who has ended need not know."""


class Bulletin:
    """
    Who wants to hear what, in every process alike.

    @ivar channel: to the process that watches; L{None} there, and before there is any.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self._topics: dict[str, Callable[..., None]] = {}

    def listen(self, topic: str, callback: Callable[..., None]) -> None:
        """Call C{callback} with the words when another process tells of this."""
        self._topics[topic] = callback

    def tell(self, topic: str, *words: str, everybody: bool = True) -> Deferred[None]:
        """Tell all others, or only the one that watches; fires when that has heard it."""
        if self.channel is None:
            return succeed(None)
        encoded = [encodeName(word)[:_LONGEST] for word in words]
        return self.channel.tell(topic, encoded, everybody=everybody)

    def heard(self, topic: str, words: list[bytes]) -> None:
        """Another process tells this."""
        with self._log.failuresHandled("news of another process could not be used"):
            self._topics[topic](*(decodeName(word) for word in words))


__all__ = ["Bulletin", "Channel", "News"]
