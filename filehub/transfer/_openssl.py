"""
What pyOpenSSL's C{Connection} has no public names for: encryption and decryption
between buffers of ours, without an object for each record, and functions of OpenSSL
that it leaves out.

With pyOpenSSL's own C{recv} and C{send} a record's 16 KiB are copied once more, into
memory that was allocated for it; per GiB that is 65,536 times, and with large buffers
most of the time goes to the kernel, which has to find that memory anew each time.

Functions that are left out are looked for in the OpenSSL that pyOpenSSL uses: among
what its library exports or depends on (distributions), else in the table of symbols of
the extension module that it is linked into (wheels).  Where they are in neither, their
users go without.
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
from OpenSSL._util import lib as _lib

#: A symbol that the extension module exports: what is known of where it was loaded.
_ANCHOR: Final = b"PyInit__rust"

#: 64-bit little-endian ELF.
_ELF: Final = b"\x7fELF\x02\x01"
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE: Final = 2

#: What is looked for.
_OF_USE: Final = (
    b"BIO_ctrl",
    b"SSL_CTX_set_num_tickets",
    b"SSL_new_session_ticket",
    b"SSL_set_session_id_context",
)

#: For C{BIO_ctrl} (BIO_CTRL_RESET).
_RESET: Final = 1
#: From so many bytes on it costs less to reset a buffer than to read it.
_WORTH_A_RESET: Final = 64 * 1024

#: Where what has been sent is read to, in order to be forgotten.
_waste: Final = bytearray(_WORTH_A_RESET)
#: As much as a record can hold.
_RECORD: Final = 16 * 1024
_record: Final = _ffi.new("char[]", _RECORD)


def decryptInto(connection: SSL.Connection, buffer: memoryview) -> int:
    """
    Decrypt what has arrived into C{buffer}, up to the end of a record at the most.

    @return: how many bytes, at least one.
    @raise SSL.Error: see C{SSL.Connection.recv}.
    """
    got: int = _lib.SSL_read(
        connection._ssl, _ffi.from_buffer("char[]", buffer, require_writable=True), len(buffer)
    )
    if got <= 0:
        connection._raise_ssl_error(connection._ssl, got)
    return got


def encrypt(connection: SSL.Connection, data: bytes | memoryview) -> None:
    """
    Encrypt all of C{data}; what comes of it is L{pending}.

    @param connection: one over memory.
    @raise SSL.Error:
    """
    size = len(data)
    done = 0
    # What is short is mostly done with one call, and nothing is set up for more.
    isShort = size <= _RECORD and isinstance(data, bytes)
    plain = None if isShort else _ffi.from_buffer("char[]", data)
    while done < size:
        # One record: contexts of pyOpenSSL's are set to partial writes.
        written = _lib.SSL_write(
            connection._ssl, data[done:] if plain is None else plain + done, size - done
        )
        if written <= 0:
            connection._raise_ssl_error(connection._ssl, written)
        done += written


def shakeHands(connection: SSL.Connection) -> bool:
    """
    Go on with the handshake.  Is it done?

    @raise SSL.Error:
    """
    done = _lib.SSL_do_handshake(connection._ssl)
    if done == 1:
        return True
    if _lib.SSL_get_error(connection._ssl, done) != _lib.SSL_ERROR_WANT_READ:
        connection._raise_ssl_error(connection._ssl, done)
    return False


def feed(connection: SSL.Connection, data: bytes) -> None:
    """
    This has arrived.

    @param connection: one over memory.
    """
    _lib.BIO_write(connection._into_ssl, data, len(data))


def decrypt(connection: SSL.Connection) -> bytes:
    """
    The next record of what has arrived; nothing if that is none, or none for us.

    @raise SSL.Error: see C{SSL.Connection.recv}.
    """
    got = _lib.SSL_read(connection._ssl, _record, _RECORD)
    if got > 0:
        found: bytes = _ffi.buffer(_record, got)[:]
        return found
    if _lib.SSL_get_error(connection._ssl, got) != _lib.SSL_ERROR_WANT_READ:
        connection._raise_ssl_error(connection._ssl, got)
    return b""


def taken(connection: SSL.Connection) -> bytes:
    """What the connection wants to send; it is taken to be sent."""
    data = b""
    while (got := _lib.BIO_read(connection._from_ssl, _record, _RECORD)) > 0:
        data += _ffi.buffer(_record, got)[:]
        if got < _RECORD:
            break
    return data


def pending(connection: SSL.Connection) -> memoryview:
    """
    What the connection wants to send.  Good until L{sent}, and until the connection
    does anything else.
    """
    place = _ffi.new("char **")
    size = _lib.BIO_get_mem_data(connection._from_ssl, place)
    return memoryview(_ffi.buffer(place[0], size)) if size > 0 else memoryview(b"")


def sent(connection: SSL.Connection, size: int) -> None:
    """
    All that was L{pending} is sent.

    @param size: how much that was.
    """
    bio = connection._from_ssl
    if size >= _WORTH_A_RESET:
        reset = _reset()
        if reset is not None:
            reset(int(_ffi.cast("uintptr_t", bio)), _RESET, 0, None)
            return
    waste = _ffi.from_buffer("char[]", _waste)
    while size > 0:
        size -= max(1, _lib.BIO_read(bio, waste, len(waste)))


@cache
def _reset() -> Callable[..., int] | None:
    prototype = ctypes.CFUNCTYPE(
        ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p
    )
    address = addressOf(b"BIO_ctrl")
    return None if address is None else prototype(address)


def handleOf(owner: SSL.Connection | SSL.Context) -> int:
    """Where OpenSSL's own object of this one is, for functions that pyOpenSSL leaves out."""
    place = owner._ssl if isinstance(owner, SSL.Connection) else owner._context
    return int(_ffi.cast("uintptr_t", place))


@cache
def addressOf(name: bytes) -> int | None:
    """
    Where this function of OpenSSL's is, or L{None} if that cannot be found out.  Looked
    for once, which takes some milliseconds and reads files: best done before anybody
    waits, and before the root directory is changed.
    """
    library = ctypes.CDLL(_rust.__file__)
    try:
        return ctypes.cast(library[name.decode()], ctypes.c_void_p).value
    except AttributeError:
        # Not exported.
        pass
    try:
        values = _valuesOf(Path(_rust.__file__), (name, _ANCHOR))
        anchor = ctypes.cast(library[_ANCHOR.decode()], ctypes.c_void_p).value
    except (OSError, AttributeError, ValueError, struct.error):
        return None
    if anchor is None or len(values) != 2:
        return None
    return anchor - values[_ANCHOR] + values[name]


def lookAhead() -> None:
    """Look for the functions that are of use now, as L{addressOf} wants it."""
    for name in _OF_USE:
        addressOf(name)


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


__all__ = [
    "addressOf",
    "decrypt",
    "decryptInto",
    "encrypt",
    "feed",
    "handleOf",
    "lookAhead",
    "pending",
    "sent",
    "shakeHands",
    "taken",
]
