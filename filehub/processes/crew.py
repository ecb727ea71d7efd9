"""
What the processes of one server have in common: made once, before they part, and the
same in all of them but for the seat that each has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filehub.processes.board import Board, SharedCounts
from filehub.processes.bulletin import Bulletin
from filehub.processes.standin import StandIn
from filehub.processes.usage import SharedFigures
from filehub.protocols.tftp.listening import openShared
from filehub.state.tallytable import TallyTable
from filehub.transfer.datagrams import ListeningSocket
from filehub.transfer.lingering import Lingering


class Crew:
    """
    What a server is built with that several processes will run.

    @ivar size: how many.
    @ivar reactor: what the server is built on.
    @ivar board: who counts how much.
    @ivar bulletin: who hears what.
    @ivar figures: who stores how much.
    @ivar preparing: what is done before the first process parts; may raise
        L{ConfigurationError<filehub.errors.ConfigurationError>}.
    @ivar concluding: what is done when all have ended.
    @ivar seat: which of them this process is; -1 in the one that watches.
    """

    def __init__(self, reactor: Any, size: int) -> None:
        """
        @param reactor: of this process, with which ports are bound.
        """
        self.size = size
        self.reactor = StandIn(reactor)
        self.board = Board(size)
        self.bulletin = Bulletin()
        self.figures = SharedFigures(self.board)
        self.preparing: list[Callable[[], None]] = []
        self.concluding: list[Callable[[], None]] = []
        self.seat = -1
        self._counts: list[SharedCounts] = []
        self._tables: list[TallyTable] = []
        self._datagrams: list[tuple[ListeningSocket, list[ListeningSocket]]] = []

    def counts(self, kind: str) -> SharedCounts:
        """See L{filehub.registry.SessionRegistry}."""
        made = SharedCounts(self.board, kind)
        self._counts.append(made)
        return made

    def tallies(self, path: Path | None) -> TallyTable:
        """See L{TallyTable}: who moves how much."""
        made = TallyTable(path, self.size)
        self._tables.append(made)
        return made

    def sessionIds(self) -> Iterator[int]:
        """Numbers that no two processes give."""
        yield from self.board.sessionIds(self.seat)

    def datagrams(self, text: str) -> Callable[[], ListeningSocket]:
        """
        What binds a TFTP listener: a socket for each process, so that all packets of a
        client reach the same one.

        @param text: a listener string.
        """

        def open() -> ListeningSocket:
            sockets = openShared(text, self.size)
            own = sockets[0].duplicate()
            self._datagrams.append((own, sockets))
            return own

        return open

    def lost(self, seat: int) -> None:
        """Who had this seat has ended; nobody counts for him any more."""
        self.board.clear(seat)
        self.figures.lost(seat)
        for table in self._tables:
            table.lost(seat)

    def sit(self, seat: int, reactor: Any) -> None:
        """This process has parted from the others, and this is its reactor."""
        self.seat = seat
        Lingering.processes = self.size
        for counts in self._counts:
            counts.seat = seat
        for table in self._tables:
            table.seat = seat
        self.figures.sit(seat)
        for own, sockets in self._datagrams:
            # The number stays, the socket becomes this seat's.
            os.dup2(sockets[seat].fileno(), own.fileno(), inheritable=False)
        self.reactor.become(reactor)


__all__ = ["Crew"]
