"""
Names that are being changed, and what each may cost at the worst.

Theory of operation
===================

A name has what is published under it, at most one part of a broken upload for each
account, and any number of uploads that are going on.  Each upload ends in one of three
ways: it is published, in the place of what was; it leaves a part, in the place of its
account's older one, if nothing is published; or it leaves nothing.  Whatever the order,
what is there afterwards is never more than the larger of

  - what is there now: the published file and all parts;
  - the sum, over all accounts, of the larger of its part and its uploads; and of the
    published file, while a part is being continued in its place.

That is what a claim holds.  So a file can be replaced without room for both, and yet no
two uploads share the room that one of them will need.

One task at a time changes what a name stands for; uploads only grow meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from filehub.paths import VirtualPath
from filehub.usage import IReservation, IUsageLedger


class Upload:
    """
    One that is going on.

    @ivar path: where it began; a part of it is kept under this name, even if the
        directory has been renamed since.
    @ivar size: how long its file is by now.
    @ivar resumes: does it go on with its account's part?
    """

    __slots__ = ("claim", "owner", "path", "resumes", "size")

    def __init__(self, claim: Claim, owner: str) -> None:
        self.claim = claim
        self.owner = owner
        self.path = claim.path
        self.size = 0
        self.resumes = False

    def reach(self, size: int) -> None:
        """
        The file is about to be as long as this.

        @raise QuotaExceeded: it must not.
        """
        before = self.size
        if size > before:
            self.size = size
            try:
                self.claim.hold()
            except BaseException:
                self.size = before
                raise


class Claim:
    """
    One name; see this module's introduction.

    @ivar published: bytes of the file there; L{None} where there is none.
    @ivar known: has somebody looked?
    """

    __slots__ = (
        "_busy",
        "_ledger",
        "_reservation",
        "_waiting",
        "known",
        "path",
        "published",
        "uploads",
        "users",
    )

    def __init__(self, path: VirtualPath, ledger: IUsageLedger, reservation: IReservation) -> None:
        self.path = path
        self.published: int | None = None
        self.known = False
        self.uploads: list[Upload] = []
        #: How many tasks know of it.
        self.users = 0
        self._ledger = ledger
        self._reservation = reservation
        self._busy = False
        self._waiting: deque[Deferred[None]] = deque()

    # --- what it costs

    def _there(self) -> tuple[int, int]:
        nbytes, nfiles = (0, 0) if self.published is None else (self.published, 1)
        parts = self._ledger.partsOf(self.path)
        return nbytes + sum(parts.values()), nfiles + len(parts)

    def _held(self) -> tuple[int, int]:
        """What may come on top of what is there."""
        uploads = self.uploads
        parts = self._ledger.partsOf(self.path)
        if len(uploads) == 1 and not parts:
            # As it mostly is, and it is asked for every piece of a file.
            published = self.published
            if published is None:
                return uploads[0].size, 1
            return max(0, uploads[0].size - published), 0
        nbytes, nfiles = dict(parts), dict.fromkeys(parts, 1)
        for owner in {upload.owner for upload in uploads}:
            own = [upload.size for upload in uploads if upload.owner == owner]
            nbytes[owner] = max(nbytes.get(owner, 0), sum(own))
            nfiles[owner] = max(nfiles.get(owner, 0), len(own))
        there = self._there()
        beside = (0, 0)
        if self.published is not None and any(upload.resumes for upload in uploads):
            # A part grows in its place, beside what is published.
            beside = self.published, 1
        return (
            max(0, sum(nbytes.values()) + beside[0] - there[0]),
            max(0, sum(nfiles.values()) + beside[1] - there[1]),
        )

    def hold(self) -> None:
        """
        Uploads have grown.

        @raise QuotaExceeded:
        """
        self._reservation.hold(*self._held())

    def holdWithoutFile(self) -> None:
        """
        The published file is about to go elsewhere: uploads that would have come in its
        place will need room of their own.

        @raise QuotaExceeded:
        """
        published, self.published = self.published, None
        try:
            self.hold()
        finally:
            self.published = published

    def begin(self, owner: str) -> Upload:
        """
        One more upload.

        @raise QuotaExceeded:
        """
        upload = Upload(self, owner)
        self.uploads.append(upload)
        try:
            self.hold()
        except BaseException:
            self.uploads.remove(upload)
            raise
        return upload

    def settle(
        self,
        published: int | None,
        part: tuple[str, int | None] | None = None,
        over: Upload | None = None,
    ) -> None:
        """
        This is what is there from now on.

        @param part: an account, and what part it has of the name.
        @param over: an upload that has ended.
        """
        before = self._there()
        self.published = published
        if part is not None:
            self._ledger.notePart(part[0], self.path, part[1])
        if over is not None and over in self.uploads:
            self.uploads.remove(over)
        after = self._there()
        held = self._held() if self.uploads else (0, 0)
        self._reservation.settle(after[0] - before[0], after[1] - before[1], *held)

    def drop(self, upload: Upload) -> None:
        """This upload came to nothing, if it has not been settled."""
        if upload in self.uploads:
            self.settle(self.published, over=upload)

    def close(self) -> None:
        """Nobody is at it any more."""
        self._reservation.close()

    # --- one at a time

    async def acquire(self) -> None:
        """Wait until nobody changes what the name stands for."""
        if self._busy:
            waiter: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiter)
            await waiter
        self._busy = True

    def release(self) -> None:
        """Let the next one."""
        if self._waiting:
            # It stays busy: nobody gets in between.
            self._waiting.popleft().callback(None)
        else:
            self._busy = False


class Claims:
    """All of them, of all accounts."""

    def __init__(self, ledger: IUsageLedger) -> None:
        self.ledger = ledger
        self._claims: dict[VirtualPath, Claim] = {}

    @asynccontextmanager
    async def changing(self, path: VirtualPath) -> AsyncIterator[Claim]:
        """
        Have the name for oneself.

        @raise Busy: see L{IUsageLedger.open}.
        """
        claim = self._claims.get(path)
        if claim is None:
            await self.ledger.enterName(path)
            try:
                reservation = await self.ledger.open(path)
            except BaseException:
                self.ledger.leaveName(path)
                raise
            claim = self._claims.get(path)
            if claim is None:
                claim = self._claims[path] = Claim(path, self.ledger, reservation)
            else:
                reservation.close()
                self.ledger.leaveName(path)
        self.keep(claim)
        try:
            await claim.acquire()
            try:
                yield claim
            finally:
                claim.release()
        finally:
            self.leave(claim)

    def keep(self, claim: Claim) -> None:
        """One more knows of it."""
        claim.users += 1

    def leave(self, claim: Claim) -> None:
        """One less."""
        claim.users -= 1
        if not claim.users:
            claim.close()
            self.ledger.leaveName(claim.path)
            if self._claims.get(claim.path) is claim:
                del self._claims[claim.path]

    def within(self, path: VirtualPath) -> bool:
        """Is anybody at something at or below this path?"""
        return any(each.isWithin(path) for each in self._claims)

    def moved(self, source: VirtualPath, target: VirtualPath) -> None:
        """
        A directory was renamed: uploads into it go where it is now.  One that was to
        come in its very place does not.
        """
        for path in [each for each in self._claims if each != source and each.isWithin(source)]:
            claim = self._claims.pop(path)
            claim.path = path.relativeTo(source).below(target)
            self._claims[claim.path] = claim
