"""
Names in other character sets than UTF-8, for clients that are older than RFC 2640.

Inside of the program names are text; with UTF-8 any bytes come back as the same bytes.
Where a client speaks something else, what it says is decoded with that or refused, and
a character that it has no byte for is shown as C{?}, as characters are that no listing
may hold.  (Such a name cannot be asked for, but it can be seen to be there.)
"""

from __future__ import annotations

import codecs
from typing import Final

from filehub.paths import encodeName

#: As Python calls them.  Every one has ASCII as it is, and no byte of a longer character
#: looks like a line's end or C{/}.
# fmt: off
CHARSETS: Final = frozenset((
    "big5", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257",
    "cp1258", "cp437", "cp737", "cp775", "cp850", "cp852", "cp855", "cp857", "cp858", "cp860",
    "cp861", "cp862", "cp863", "cp865", "cp866", "cp869", "cp874", "cp932", "cp949",
    "cp950", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "iso8859-1", "iso8859-2",
    "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9",
    "iso8859-10", "iso8859-11", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16",
    "koi8-r", "koi8-u", "mac-roman", "shift_jis", "tis-620",
))
# fmt: on


def knownCharset(name: str) -> str | None:
    """
    Python's name for a character set; L{None} for UTF-8, which needs no conversion.

    @raise ValueError: not one that file names can be sent in.
    """
    try:
        found = codecs.lookup(name).name
    except LookupError:
        raise ValueError("no such character set") from None
    if found == "utf-8":
        return None
    if found not in CHARSETS:
        raise ValueError("not a character set for file names")
    return found


def fromCharset(argument: str, charset: str) -> str:
    """
    What a client meant, whose bytes were taken for UTF-8.

    @raise UnicodeDecodeError: these bytes mean nothing in its character set.
    """
    return argument if argument.isascii() else encodeName(argument).decode(charset)


def toCharset(page: bytes, charset: str) -> bytes:
    """Lines in UTF-8, such as the formatters of listings make, for a client."""
    if page.isascii():
        return page
    return page.decode("utf-8", "surrogateescape").encode(charset, "replace")


__all__ = ["CHARSETS", "fromCharset", "knownCharset", "toCharset"]
