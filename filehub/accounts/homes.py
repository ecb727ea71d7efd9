"""
Homes that are made when they are needed first.
"""

from __future__ import annotations

from filehub.attributes import AttributeChanges
from filehub.errors import AlreadyExists, NotFound, OperationNotSupported
from filehub.interfaces import IFileSystem
from filehub.paths import ROOT, VirtualPath
from filehub.views import ICreationMask, ICreationOwner


async def makeHome(files: IFileSystem, home: VirtualPath, mode: int) -> None:
    """
    Make a directory, and what is missing above it.  No link is followed: one in the way
    is a reason to make nothing.

    @param files: below the guard, for it is the operator who wants this; what is made
        counts as the account's.
    @param mode: of the home itself, exactly; of those above whatever is usual.
    @raise FileSystemError: it cannot be made.
    """
    missing = []
    place = home
    while place.segments:
        try:
            await files.enterDirectory(place)
            break
        except NotFound:
            missing.append(place)
            place = place.parent
    able = ICreationMask(files, None)
    # Not even for a moment is it open to others than in the end.
    shy = files if able is None else able.masked(0o777 & ~mode)
    owned = ICreationOwner(files, None)
    # What is above is no more this account's than anybody's.
    above = files if owned is None else owned.ownedBy(None)
    made = ROOT
    for each in reversed(missing):
        try:
            await (shy if each == home else above).makeDirectory(each)
            made = each
        except AlreadyExists:
            # Another session was faster; if it is no directory, the next step says so.
            await files.enterDirectory(each)
    if made == home and home.segments:
        try:
            await files.setAttributes(home, AttributeChanges(mode=mode))
        except OperationNotSupported:
            # A storage without permission bits.
            return


__all__ = ["makeHome"]
