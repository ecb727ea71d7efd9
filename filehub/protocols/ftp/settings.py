"""
What an operator, or an embedding application, decides about one FTP listener.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from filehub.networks import Networks
from filehub.protocols.ftp.addresses import Foreign
from filehub.protocols.ftp.external import Rules
from filehub.protocols.ftp.wire import Reply


class SiteCommand(NamedTuple):
    """
    A command within SITE, also one of an embedding application's own.

    @ivar help: its syntax, for SITE HELP; C{SITE NAME ...}.
    @ivar run: called with the L{FTPSession<filehub.protocols.ftp.session.FTPSession>} and
        what follows the name; returns the L{Reply}.  What it raises of
        L{FileHubError<filehub.errors.FileHubError>} is answered as it is anywhere else.
        Files are to be reached through C{session.fileSystem} only, which is guarded.
    """

    help: str
    run: Callable[[Any, str], Coroutine[Any, Any, Reply]]


@dataclass(frozen=True, slots=True)
class FTPSettings:
    r"""
    All times are seconds.

    @ivar banner: the text of the 220 greeting; tells no product and no version.
    @ivar welcome: a text that is shown after the login; empty for none.
    @ivar messageFile: the name of a file whose text is shown when its directory is
        entered; empty for none.
    @ivar passivePorts: the ports for passive data connections, never left; L{None}
        for whatever the kernel gives.
    @ivar externalAddress: what the 227 reply tells clients of other networks, for
        servers behind address translation: an IPv4 address, a host name,
        C{"0.0.0.0"} (clients then use the address of the control connection) or
        C{"local"}.
    @ivar externalRules: the same for clients of certain networks.
    @ivar proxies: networks of the proxies that passive data connections come through,
        with a PROXY header; L{None}: they come straight from the clients.
    @ivar tls: C{"off"}; C{"optional"} offers AUTH TLS; C{"required"} refuses names and
        passwords (but not anonymous logins) and unprotected data without it.
    @ivar implicitTLS: does the connection begin with a TLS handshake (port 990)?
    @ivar tlsSessions: whether data connections have to resume the control
        connection's TLS session: C{"prefer"} counts, C{"require"} refuses; C{"off"}
        offers no resumption at all.
    @ivar closeNotify: C{"strict"}: an upload that TLS does not end properly is not
        whole; C{"log"} takes it and reports it, C{"off"} takes it.
    @ivar allowCCC: may clients go back to commands in the clear after they have logged
        in (RFC 4217 section 12)?
    @ivar active: are PORT and EPRT offered?
    @ivar allowFXP: may a data connection go to another address than the client's?
        Or the networks of the addresses that it may go to.
    @ivar asciiConvert: does C{TYPE A} translate line ends (RFC 959 3.1.1.1)?  If not,
        bytes stay unchanged, and SIZE and REST work in C{TYPE A} too.
    @ivar ebcdic: the code page of C{TYPE E}: C{"cp037"} or C{"cp500"}.
    @ivar records: C{"marks"}: with C{STRU R} ends of records are marked; C{"literal"}
        accepts it and sends bytes as with C{STRU F} (RFC 1123 4.1.2.13).
    @ivar deflate: is MODE Z offered?
    @ivar checksums: are HASH, XCRC and their like offered?
    @ivar disabled: names of commands that are not offered, such as C{"RMDA"} and
        C{"SITE CHMOD"}.
    @ivar siteCommands: more commands within SITE, by name, in capital letters; or others
        in the place of those that there are.
    @ivar tellsVersion: does CSID tell this program's version?
    @ivar maximumTreeEntries: entries that one command may work through (RMDA, DSIZ).
    @ivar maximumIdle: to which SITE IDLE may raise C{idleTimeout}.
    @ivar virtualHosts: is there HOST?  L{FTPFactory<filehub.protocols.ftp.server.FTPFactory>}
        sets it.
    @ivar charset: of names, until a client says C{OPTS UTF8 ON}; L{None} for UTF-8.
    @ivar announceUTF8: does FEAT say C{UTF8} where names are in it?
    @ivar backslashes: does C{\} separate names, too?
    @ivar listFormat: of LIST and STAT: C{"unix"} as C{ls -l}, C{"dos"} as DIR.
    @ivar makesParents: does MKD make what is missing above?
    @ivar acceptsExisting: is MKD of what exists a success?
    @ivar toleratesSITE: are unknown SITE commands superfluous (202) and no error?
    @ivar loginTimeout: from the connection to a successful login, whatever is said
        in between.
    @ivar idleTimeout: without a command and without a transfer.
    @ivar stallTimeout: without a byte in a transfer.
    @ivar dataConnectTimeout: for a data connection to come about.
    @ivar handshakeTimeout: for a TLS handshake, on either connection.
    @ivar maximumAttempts: wrong passwords before the connection is closed.
    @ivar maximumMistakes: lines before login that are no commands, likewise.
    """

    banner: str = "FTP server ready."
    welcome: str = ""
    messageFile: str = ""
    passivePorts: range | None = None
    externalAddress: str | None = None
    externalRules: Rules = ()
    proxies: Networks | None = None
    tls: Literal["off", "optional", "required"] = "off"
    implicitTLS: bool = False
    tlsSessions: Literal["off", "prefer", "require"] = "prefer"
    closeNotify: Literal["strict", "log", "off"] = "strict"
    allowCCC: bool = False
    active: bool = True
    allowFXP: Foreign = False
    asciiConvert: bool = True
    ebcdic: Literal["cp037", "cp500"] = "cp037"
    records: Literal["marks", "literal"] = "marks"
    deflate: bool = False
    checksums: bool = True
    disabled: frozenset[str] = frozenset()
    siteCommands: Mapping[str, SiteCommand] = field(default_factory=dict)
    tellsVersion: bool = False
    maximumTreeEntries: int = 100_000
    maximumIdle: float = 7200.0
    virtualHosts: bool = False
    charset: str | None = None
    announceUTF8: bool = True
    backslashes: bool = False
    listFormat: Literal["unix", "dos"] = "unix"
    makesParents: bool = False
    acceptsExisting: bool = False
    toleratesSITE: bool = False
    loginTimeout: float = 60.0
    idleTimeout: float = 300.0
    stallTimeout: float = 120.0
    dataConnectTimeout: float = 30.0
    handshakeTimeout: float = 30.0
    maximumAttempts: int = 3
    maximumMistakes: int = 10

    @property
    def offersTLS(self) -> bool:
        """Are there AUTH and what belongs to it?"""
        return self.tls != "off" or self.implicitTLS

    @property
    def offersProtectedFXP(self) -> bool:
        """Are there SSCN and CPSV?"""
        return self.offersTLS and bool(self.allowFXP)


__all__ = ["FTPSettings", "SiteCommand"]
