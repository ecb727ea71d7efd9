"""
TLS as a filter of bytes, for a control connection over any transport.

Unlike a transport's own C{startTLS}, this can be taken off again (CCC of RFC 4217
section 12) without losing a byte: records are handed to OpenSSL one by one, so that
what follows the peer's close_notify is known to be plain text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from OpenSSL import SSL

from filehub.errors import ProtectionRequired
from filehub.transfer._openssl import decrypt, encrypt, feed, shakeHands, taken
from filehub.transfer._tickets import renewTicket
from filehub.transfer.tls import TLSSession

_HEADER: Final = 5
#: Types of records: change_cipher_spec to heartbeat.
_TYPES: Final = range(20, 25)
#: Telnet's Interrupt Process and Synch: some clients send them for an ABOR beside their
#: TLS, in the clear, and they mean nothing.
_SYNCH: Final = b"\xff\xf4\xf2"
#: The longest record (RFC 5246 section 6.2.3).
_LONGEST: Final = 16384 + 2048


class TLSLayer:
    """
    The server's end of TLS on one connection.

    @ivar isOpen: is the handshake done?
    @ivar hasEnded: did the peer send close_notify?
    """

    __slots__ = ("_connection", "_early", "_rest", "_send", "_session", "hasEnded", "isOpen")

    def __init__(self, session: TLSSession, send: Callable[[bytes], None]) -> None:
        """
        @param send: what goes to the peer.
        """
        self._session = session
        self._send = send
        self._connection = session.connection()
        self._early = b""
        self._rest = b""
        self.isOpen = False
        self.hasEnded = False

    def receive(self, data: bytes) -> bytes:
        """
        What the peer says in these bytes, which may come in any fragmentation.

        @raise ProtectionRequired: this is no TLS, or none that is acceptable; the peer
            has been told, and the connection is of no use any more.
        """
        self._rest = self._rest + data if self._rest else data
        said = b""
        try:
            while not self.hasEnded and (record := self._nextRecord()):
                feed(self._connection, record)
                said += self._advance()
        except (SSL.Error, LookupError):
            self._flush()
            raise ProtectionRequired("TLS failed on the control connection") from None
        if not said:
            # Of the handshake, tickets too, which nobody waits for: with them goes the
            # acknowledgement for which many clients' kernels hold back the next command
            # (Nagle's algorithm).
            self._flush()
        return said

    def write(self, data: bytes) -> None:
        """Send this; after the handshake, if that is not done yet."""
        if not self.isOpen:
            self._early += data
        elif data:
            if self._session.isSpent:
                self._session.isSpent = False
                renewTicket(self._connection)
            encrypt(self._connection, data)
            self._flush()

    def end(self) -> None:
        """Send close_notify.  Nothing can be written afterwards."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            # There is nothing to say good-bye to: the handshake is not done.
            return
        finally:
            self._flush()

    def isPlain(self, data: bytes) -> bool:
        """
        Do these bytes, the next to be L{receive}d, begin with what is no TLS?  Some
        clients go on in the clear without a close_notify of their own.
        """
        return not self._rest and data[0] not in _TYPES

    def remainder(self) -> bytes:
        """What came after the peer's close_notify: it is not protected."""
        rest, self._rest = self._rest, b""
        return rest

    def _nextRecord(self) -> bytes:
        """
        The next whole record, or empty.  What cannot be one is handed over as it is:
        OpenSSL knows how to complain of it.
        """
        if not self._rest:
            return b""
        rest = self._rest = self._rest.lstrip(_SYNCH)
        if len(rest) < _HEADER and (not rest or rest[0] in _TYPES):
            return b""
        length = _HEADER + int.from_bytes(rest[3:_HEADER])
        if rest[0] not in _TYPES or length > _HEADER + _LONGEST:
            length = len(rest)
        if length > len(rest):
            return b""
        self._rest = rest[length:]
        return rest[:length]

    def _advance(self) -> bytes:
        connection = self._connection
        if self.isOpen:
            try:
                return decrypt(connection)
            except SSL.ZeroReturnError:
                self.hasEnded = True
        elif shakeHands(connection):
            self.isOpen = True
            self._session.established(connection)
            early, self._early = self._early, b""
            self.write(early)
        return b""

    def _flush(self) -> None:
        pending = taken(self._connection)
        if pending:
            self._send(pending)


__all__ = ["TLSLayer"]
