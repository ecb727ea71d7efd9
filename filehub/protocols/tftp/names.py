"""
From the file name in a request to a virtual path.
"""

from __future__ import annotations

from filehub.errors import InvalidName
from filehub.paths import ROOT, VirtualPath, decodeName


def pathOf(filename: bytes, home: VirtualPath, *, backslashes: bool) -> VirtualPath:
    """
    The file that a client means.  Its home is all that it can name: a leading C{/}
    is there or not, as the firmware likes, and C{..} stops at the home.

    @param backslashes: read C{\\} as C{/}.
    @raise InvalidName: the name is empty, or cannot exist.
    """
    if backslashes:
        filename = filename.replace(b"\\", b"/")
    path = ROOT.join(decodeName(filename))
    if not path.segments:
        raise InvalidName(None, "no file name")
    return path.below(home)
