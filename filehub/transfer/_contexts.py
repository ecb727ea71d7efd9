"""
OpenSSL contexts that a few control sessions share.  Imported by L{filehub.transfer.tls} only.

Theory of operation
===================

Whose a TLS session is, OpenSSL tells by the I{session id context}, some bytes of ours that
every ticket and every session in its cache carries: on a connection with others it resumes
nothing, and a full handshake follows.  Each control session has its own, and all connections
of that session get them; pyOpenSSL can only give them to contexts, so
L{filehub.transfer._openssl} finds the function.  Where it does not, each control session
has a context.

A context takes 0.15 ms to make, a tenth of a login with TLS.  There are many nevertheless:
the keys that tickets are encrypted with live in it, and should not outlive the sessions
whose tickets those are for long.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Final
from weakref import WeakKeyDictionary

from OpenSSL import SSL

from filehub.transfer._openssl import addressOf, handleOf

#: Control sessions for each context.
_SHARING: Final = 64
#: Session tickets after a handshake.  A client has one data connection at a time, and gets
#: another with that.
_TICKETS: Final = 1
#: Bytes that nobody has twice; OpenSSL takes up to 32.
_IDENTITY: Final = 16


class Sharing:
    """
    A context, and how many control sessions it has.

    @ivar context: for control connections and their data connections.
    """

    __slots__ = ("_sessions", "context")

    def __init__(self, context: SSL.Context) -> None:
        self.context = context
        self._sessions = 0
        few = _fewTickets()
        if few is not None:
            few(handleOf(context), _TICKETS)

    @property
    def isFull(self) -> bool:
        """Is the next control session to have another context?"""
        return self._sessions >= (_SHARING if _mark() else 1)

    def join(self) -> bytes:
        """One more control session; returns what tells its connections from others."""
        self._sessions += 1
        # No number: processes that parted after a context was made would count alike.
        return os.urandom(_IDENTITY)

    def connection(self, identity: bytes) -> SSL.Connection:
        """The server's end of a connection, over memory, of who joined as this."""
        connection = SSL.Connection(self.context, None)
        connection.set_accept_state()
        mark = _mark()
        if mark is not None:
            mark(handleOf(connection), identity, len(identity))
        return connection


#: What the next control sessions join, by what their certificate comes from and whether their
#: data connections may resume.
_joined: Final[WeakKeyDictionary[SSL.Context, dict[bool, Sharing]]] = WeakKeyDictionary()


def sharing(certificate: SSL.Context, resumable: bool, make: Callable[[], SSL.Context]) -> Sharing:
    """
    What a control session joins.

    @param certificate: what is served now; those who are served another share nothing.
    @param make: a new context.
    """
    kinds = _joined.setdefault(certificate, {})
    found = kinds.get(resumable)
    if found is None or found.isFull:
        found = kinds[resumable] = Sharing(make())
    return found


@cache
def _mark() -> Callable[[int, bytes, int], int] | None:
    address = addressOf(b"SSL_set_session_id_context")
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint)
    return None if address is None else prototype(address)


@cache
def _fewTickets() -> Callable[[int, int], int] | None:
    address = addressOf(b"SSL_CTX_set_num_tickets")
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    return None if address is None else prototype(address)


__all__ = ["Sharing", "sharing"]
