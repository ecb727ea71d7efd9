"""
Names that this process has among several; in it, any number of tasks may have one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from filehub.errors import Busy
from filehub.paths import VirtualPath
from filehub.state.figures import Figures

#: Seconds that a name is waited for.
PATIENCE: Final = 10.0
#: Seconds between looks at what another process has: nobody tells.
LOOK: Final = 0.05


class Names:
    """
    See this module's introduction.

    @param learn: awaited when a name has been got, before anybody has it: to know what
        others did to it.
    """

    def __init__(
        self, clock: IReactorTime, figures: Figures, learn: Callable[[], Awaitable[None]]
    ) -> None:
        self._clock = clock
        self._figures = figures
        self._learn = learn
        self._had: dict[VirtualPath, int] = {}

    async def enter(self, path: VirtualPath) -> None:
        """
        Have the name.

        @raise Busy: another process has it, and keeps it for long.
        """
        until = self._clock.seconds() + PATIENCE
        while path not in self._had and not self._figures.enterName(path):
            if self._clock.seconds() >= until:
                raise Busy(path, "it is being changed in another session")
            waiting: Deferred[None] = Deferred()
            call = self._clock.callLater(LOOK, waiting.callback, None)
            try:
                await waiting
            except BaseException:
                if call.active():
                    call.cancel()
                raise
        if path in self._had:
            self._had[path] += 1
            return
        try:
            await self._learn()
        except BaseException:
            self._figures.leaveName(path)
            raise
        self._had[path] = 1

    def leave(self, path: VirtualPath) -> bool:
        """Have it once less; was that the last time?  Then others have to be let."""
        self._had[path] -= 1
        if self._had[path]:
            return False
        del self._had[path]
        return True


__all__ = ["LOOK", "PATIENCE", "Names"]
