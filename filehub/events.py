"""
What happened, as values.  Every sink (log, xferlog, metrics, bans) reads these and
nothing else; they carry data from clients, so a sink escapes before it prints.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from filehub.credentials import ConnectionInfo
from filehub.paths import VirtualPath


class Outcome(enum.Enum):
    """How a transfer ended; replies, logs and commits derive from this alone."""

    COMPLETED = "completed"
    #: All was sent but the peer never confirmed it (TFTP's missing last ACK).
    UNCONFIRMED = "unconfirmed"
    #: The client only wanted to know the size (TFTP clients that ask and refuse).
    PROBED = "probed"
    ABORTED = "aborted"
    PEER_GONE = "peer gone"
    STALLED = "stalled"
    FAILED = "failed"

    # They are keys of counters, and there is one of each; an enumeration's own is slow.
    __hash__ = object.__hash__


class Direction(enum.Enum):
    """Seen from the server's storage."""

    DOWNLOAD = "download"
    UPLOAD = "upload"

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Event:
    """The common part: whose connection it was."""

    connection: ConnectionInfo


@dataclass(frozen=True, slots=True)
class SessionStarted(Event):
    """A client connected and was let in."""


@dataclass(frozen=True, slots=True)
class SessionRefused(Event):
    """
    A client connected and was turned away before it could say a word.

    @ivar more: as many came since the last such event about the same address.
    """

    reason: str
    more: int = 0


@dataclass(frozen=True, slots=True)
class AddressRefused(Event):
    """
    A client that is banned or denied came, and got no answer.

    @ivar reason: which of both.
    @ivar more: as many came since the last such event about the same address.
    """

    reason: str
    more: int = 0


@dataclass(frozen=True, slots=True)
class AddressBanned(Event):
    """
    A network has misbehaved once too often; the connection is the last one that did.

    @ivar network: who is not let in from now on, as an address with a length of prefix.
    @ivar seconds: for how long.
    @ivar reason: the last offence.
    """

    network: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """@ivar reason: why, e.g. C{"quit"}, C{"idle"}, C{"connection lost"}."""

    account: str | None
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ClientNamed(Event):
    """@ivar program: what the client says it is: untrusted text."""

    program: str


@dataclass(frozen=True, slots=True)
class LoggedIn(Event):
    account: str


@dataclass(frozen=True, slots=True)
class LoginRefused(Event):
    """
    @ivar user: the name that was tried: untrusted text.
    @ivar reason: for the operator; the client is never told which it was.
    """

    user: str
    reason: str


@dataclass(frozen=True, slots=True)
class Denied(Event):
    """
    The guard said no.

    @ivar verb: the name of the storage method.
    @ivar reason: which permission was missing and which rule decided.
    """

    account: str
    verb: str
    path: VirtualPath
    reason: str


@dataclass(frozen=True, slots=True)
class NameChanged(Event):
    """
    The name space changed.

    @ivar verb: C{"makeDirectory"}, C{"removeDirectory"}, C{"removeFile"},
        C{"rename"}, C{"setAttributes"}, C{"makeLink"}, C{"copy"} or C{"combine"} (parts
        that became this file).
    @ivar target: the new path of a rename, and of a copy.
    """

    account: str
    verb: str
    path: VirtualPath
    target: VirtualPath | None = None


#: What a protocol tells of itself, by name.
Facts = tuple[tuple[str, str | int | float], ...]


@dataclass(frozen=True, slots=True)
class TransferEnded(Event):
    """
    A file's bytes moved, or should have.

    @ivar nbytes: file bytes that moved in this transfer.
    @ivar seconds: how long it took.
    @ivar reason: for all but completed transfers, why.
    @ivar notes: protocol facts worth a record, e.g. retransmitted blocks.
    """

    account: str
    direction: Direction
    path: VirtualPath
    outcome: Outcome
    nbytes: int
    seconds: float
    reason: str = ""
    notes: Facts = ()


@dataclass(frozen=True, slots=True)
class PassivePortsExhausted(Event):
    """A client got no data connection because all passive ports are in use."""


@dataclass(frozen=True, slots=True)
class ProtocolViolation(Event):
    """
    The peer broke the rules in a way that honest clients do not.

    @ivar kind: e.g. C{"bounce"}, C{"wrong protocol"}, C{"stranger on data port"}.
    """

    kind: str
