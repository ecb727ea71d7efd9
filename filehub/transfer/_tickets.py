"""
A fresh session ticket on a TLS 1.3 connection that is open already.

Clients that are built on OpenSSL (curl, Ruby, Perl) use every ticket once.  Downloads
bring them new ones, but uploads must not (see L{filehub.transfer.tlsstreams}), so after an
upload they have nothing left to resume the session with, unless the control connection
brings it.  OpenSSL can do that, C{SSL_new_session_ticket}; pyOpenSSL has no name for it.

Where L{filehub.transfer._openssl} does not find it either, there are no fresh tickets,
and nothing else is amiss: a client that runs out of them shakes hands anew.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from OpenSSL import SSL

from filehub.transfer._openssl import addressOf, handleOf


def renewTicket(connection: SSL.Connection) -> bool:
    """
    Send one more session ticket, in front of what is written next.

    @param connection: a server's, its handshake done.
    @return: will it be sent?
    """
    function = _function()
    if function is None or connection.get_protocol_version() < SSL.TLS1_3_VERSION:
        return False
    return bool(function(handleOf(connection)))


def canRenewTickets() -> bool:
    """
    Is there a way?  Looked for once, which takes some milliseconds and reads files: best
    done before anybody waits, and before the root directory is changed.
    """
    return _function() is not None


@cache
def _function() -> Callable[[int], int] | None:
    """The function, or L{None} if it is not to be had."""
    address = addressOf(b"SSL_new_session_ticket")
    if address is None:
        return None
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(address)


__all__ = ["canRenewTickets", "renewTicket"]
