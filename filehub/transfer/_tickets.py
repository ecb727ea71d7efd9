"""
A fresh session ticket on a TLS 1.3 connection that is open already.

Clients that are built on OpenSSL (curl, Ruby, Perl) use every ticket once.  Downloads
bring them new ones, but uploads must not (see L{filehub.transfer.tls}), so after an
upload they have nothing left to resume the session with, unless the control connection
brings it.  OpenSSL can do that, C{SSL_new_session_ticket}; pyOpenSSL has no name for it.

So the function is looked for in the OpenSSL that pyOpenSSL uses: among what its library
exports or depends on (distributions), else in the table of symbols of the extension
module that it is linked into (wheels).  Where it is in neither, there are no fresh
tickets, and nothing else is amiss: a client that runs out of them shakes hands anew.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from cryptography.hazmat.bindings import _rust
from OpenSSL import SSL
from OpenSSL._util import ffi as _ffi

_NAME: Final = b"SSL_new_session_ticket"
#: A symbol that the extension module exports: what is known of where it was loaded.
_ANCHOR: Final = b"PyInit__rust"

#: 64-bit little-endian ELF.
_ELF: Final = b"\x7fELF\x02\x01"
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE: Final = 2


def renewTicket(connection: SSL.Connection) -> bool:
    """
    Send one more session ticket, in front of what is written next.

    @param connection: a server's, its handshake done.
    @return: will it be sent?
    """
    function = _function()
    if function is None or connection.get_protocol_version() < SSL.TLS1_3_VERSION:
        return False
    return bool(function(int(_ffi.cast("uintptr_t", connection._ssl))))


def canRenewTickets() -> bool:
    """
    Is there a way?  Looked for once, which takes some milliseconds and reads files: best
    done before anybody waits, and before the root directory is changed.
    """
    return _function() is not None


@cache
def _function() -> Callable[[int], int] | None:
    """The function, or L{None} if it is not to be had."""
    library = ctypes.CDLL(_rust.__file__)
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
    try:
        return prototype((_NAME.decode(), library))
    except AttributeError:
        # Not exported.
        pass
    try:
        values = _valuesOf(Path(_rust.__file__), (_NAME, _ANCHOR))
        anchor = ctypes.cast(library[_ANCHOR.decode()], ctypes.c_void_p).value
    except (OSError, AttributeError, ValueError, struct.error):
        return None
    if anchor is None or len(values) != 2:
        return None
    return prototype(anchor - values[_ANCHOR] + values[_NAME])


def _valuesOf(path: Path, names: tuple[bytes, ...]) -> dict[bytes, int]:
    """
    The values of these symbols in an ELF file.

    @raise ValueError: not such a file.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[: len(_ELF)] != _ELF:
            raise ValueError("not a 64-bit ELF file")
        (offset,) = struct.unpack_from("<Q", data, 0x28)
        size, count = struct.unpack_from("<HH", data, 0x3A)
        sections = [_SECTION.unpack_from(data, offset + size * index) for index in range(count)]
        found: dict[bytes, int] = {}
        for section in sections:
            if section[1] != _SYMBOL_TABLE:
                continue
            strings = sections[section[6]]
            # Where the names are, from the beginning of the table of names.
            wanted = {
                data.find(b"\0" + name + b"\0", strings[4], strings[4] + strings[5])
                + 1
                - strings[4]: name
                for name in names
            }
            table = data[section[4] : section[4] + section[5]]
            for name, _, _, _, value, _ in _SYMBOL.iter_unpack(table):
                if name in wanted and value:
                    found[wanted[name]] = value
        return found


__all__ = ["canRenewTickets", "renewTicket"]
