"""
What all sessions of one RFC 913 listener share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.portal import Portal

from filehub.deadlines import Deadlines
from filehub.events import Event
from filehub.interfaces import IEventSink
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.transfer.progress import Progress


class Listener:
    """
    Everything that is the same for all sessions, so that none holds it by itself.

    @ivar seconds: a clock that never goes back, for durations.
    @ivar knownUser: where the operator wants what the RFC has, C{Invalid user-id} for
        unknown names, this tells; L{None}: names are never confirmed or denied.
    """

    __slots__ = ("deadlines", "knownUser", "portal", "seconds", "settings", "sink")

    def __init__(
        self,
        portal: Portal,
        settings: RFC913Settings,
        deadlines: Deadlines,
        seconds: Callable[[], float],
        sink: IEventSink | None = None,
        knownUser: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.portal: Any = portal
        self.settings = settings
        self.deadlines = deadlines
        self.seconds = seconds
        self.sink = sink
        self.knownUser = knownUser

    def emit(self, event: Event) -> None:
        """Tell the sink, if there is one."""
        if self.sink is not None:
            self.sink.emit(event)

    def progress(self, stall: float | None) -> Progress:
        """
        A count for one transfer that is given up when nothing moves.

        @param stall: seconds; L{None} for those of the settings.
        """
        return Progress(self.deadlines, self.settings.stallTimeout if stall is None else stall)


__all__ = ["Listener"]
