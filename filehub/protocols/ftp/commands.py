"""
Every command, as data.

The modules that carry out the commands fill L{filehub.protocols.ftp.session.Verb}s;
dispatch, HELP, FEAT and the documentation read this table.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class Argument(enum.Enum):
    """What may follow the verb."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class During(enum.Enum):
    """What happens to a command that arrives while a transfer runs."""

    #: Answered after the transfer, in the order of arrival.
    QUEUED = "queued"
    #: Breaks the transfer off at once, and is answered in its order.
    INTERRUPTING = "interrupting"
    #: Answered at once if it has no argument, else queued.
    IMMEDIATE_IF_BARE = "immediate if bare"


class Group(enum.Enum):
    """The groups of RFC 959 section 4.1; informational commands apart."""

    ACCESS = "access control"
    PARAMETERS = "transfer parameters"
    SERVICE = "file service"
    TRANSFER = "transfer"
    INFORMATION = "information"


class CommandSpec(NamedTuple):
    """
    @ivar rfc: where it is defined.
    @ivar argument: checked before the command is carried out.
    @ivar help: syntax and one clause, for HELP.
    @ivar needsLogin: refused with 530 before.
    @ivar during: see L{During}.
    @ivar feature: its line in FEAT (RFC 2389), if it has one.
    @ivar switch: the attribute of L{FTPSettings} that must be true for it to exist.
    """

    verb: str
    rfc: str
    group: Group
    argument: Argument
    help: str
    needsLogin: bool = True
    during: During = During.QUEUED
    feature: str | None = None
    switch: str | None = None


_NONE, _OPTIONAL, _REQUIRED = Argument.NONE, Argument.OPTIONAL, Argument.REQUIRED
_ACCESS, _PARAMETERS, _SERVICE = Group.ACCESS, Group.PARAMETERS, Group.SERVICE
_TRANSFER, _INFORMATION = Group.TRANSFER, Group.INFORMATION

_S = CommandSpec

# fmt: off
COMMANDS: Final = (
    # 4.1.1: access control
    _S("USER", "959", _ACCESS, _REQUIRED, "USER name: begin to log in", False),
    _S("PASS", "959", _ACCESS, _OPTIONAL, "PASS password: log in", False),
    _S("ACCT", "959", _ACCESS, _REQUIRED, "ACCT account: log in to an account", False),
    _S("SMNT", "959", _ACCESS, _REQUIRED, "SMNT name: change to the root of a mount"),
    _S("REIN", "959", _ACCESS, _NONE, "REIN: log out and start again", False),
    _S("QUIT", "959", _ACCESS, _NONE, "QUIT: end the session", False),
    _S("HOST", "7151", _ACCESS, _REQUIRED, "HOST name: which of several servers is meant", False,
       feature="HOST", switch="virtualHosts"),
    # RFC 2228 and 4217
    _S("AUTH", "4217", _ACCESS, _REQUIRED, "AUTH TLS: encrypt the connection", False,
       feature="AUTH TLS", switch="offersTLS"),
    _S("PBSZ", "4217", _ACCESS, _REQUIRED, "PBSZ 0: a formality before PROT", False,
       feature="PBSZ", switch="offersTLS"),
    _S("PROT", "4217", _ACCESS, _REQUIRED, "PROT P|C: protect data connections, or not", False,
       feature="PROT", switch="offersTLS"),
    _S("CCC", "4217", _ACCESS, _NONE, "CCC: go back to clear text, where that is allowed",
       False, feature="CCC", switch="offersTLS"),
    # 4.1.2: transfer parameters
    # Without an argument these are wrong, too; but what is wrong has to void what was
    # arranged before, which only they themselves can do.
    _S("PORT", "959", _PARAMETERS, _OPTIONAL, "PORT h1,h2,h3,h4,p1,p2: connect to this address",
       switch="active"),
    _S("EPRT", "2428", _PARAMETERS, _OPTIONAL, "EPRT |family|address|port|: connect there",
       feature="EPRT", switch="active"),
    _S("PASV", "959", _PARAMETERS, _NONE, "PASV: listen for a data connection", feature="PASV"),
    _S("EPSV", "2428", _PARAMETERS, _OPTIONAL, "EPSV [1|2|ALL]: listen for a data connection",
       feature="EPSV"),
    _S("SSCN", "none", _PARAMETERS, _OPTIONAL,
       "SSCN [ON|OFF]: be the client in TLS on data connections", feature="SSCN",
       switch="offersProtectedFXP"),
    _S("CPSV", "none", _PARAMETERS, _NONE, "CPSV: PASV, to be the client in TLS there",
       feature="CPSV", switch="offersProtectedFXP"),
    _S("PRET", "none", _PARAMETERS, _REQUIRED, "PRET command: what will follow PASV",
       feature="PRET"),
    _S("TYPE", "959", _PARAMETERS, _REQUIRED, "TYPE A|E [N|T|C], I, L 8|32: text or bytes"),
    _S("STRU", "959", _PARAMETERS, _REQUIRED, "STRU F|R|P: files of bytes, records or pages"),
    _S("MODE", "959", _PARAMETERS, _REQUIRED, "MODE S|B|C|Z: stream, block, compressed, deflate",
       feature="MODE Z"),
    _S("OPTS", "2389", _PARAMETERS, _REQUIRED, "OPTS UTF8 ON|MLST facts|MODE Z LEVEL n: options",
       False),
    # The file system
    _S("PWD", "959", _SERVICE, _NONE, "PWD: the current directory"),
    _S("XPWD", "775", _SERVICE, _NONE, "XPWD: the same as PWD"),
    _S("CWD", "959", _SERVICE, _OPTIONAL, "CWD [path]: change the current directory"),
    _S("XCWD", "775", _SERVICE, _OPTIONAL, "XCWD [path]: the same as CWD"),
    _S("CDUP", "959", _SERVICE, _NONE, "CDUP: change to the parent directory"),
    _S("XCUP", "775", _SERVICE, _NONE, "XCUP: the same as CDUP"),
    _S("MKD", "959", _SERVICE, _REQUIRED, "MKD path: make a directory"),
    _S("XMKD", "775", _SERVICE, _REQUIRED, "XMKD path: the same as MKD"),
    _S("RMD", "959", _SERVICE, _REQUIRED, "RMD path: remove an empty directory"),
    _S("XRMD", "775", _SERVICE, _REQUIRED, "XRMD path: the same as RMD"),
    _S("DELE", "959", _SERVICE, _REQUIRED, "DELE path: delete a file"),
    _S("RNFR", "959", _SERVICE, _REQUIRED, "RNFR path: what to rename"),
    _S("RNTO", "959", _SERVICE, _REQUIRED, "RNTO path: its new name"),
    _S("SIZE", "3659", _SERVICE, _REQUIRED, "SIZE path: the file's length", feature="SIZE"),
    _S("MDTM", "3659", _SERVICE, _REQUIRED, "MDTM [time] path: when it was modified",
       feature="MDTM"),
    _S("MFMT", "draft-somers-ftp-mfxx", _SERVICE, _REQUIRED,
       "MFMT time path: set when it was modified", feature="MFMT"),
    _S("MFCT", "draft-somers-ftp-mfxx", _SERVICE, _REQUIRED,
       "MFCT time path: set when it was created (never)"),
    _S("MFF", "draft-somers-ftp-mfxx", _SERVICE, _REQUIRED,
       "MFF fact=value;... path: change facts", feature="MFF Modify;UNIX.mode;"),
    _S("MLST", "3659", _SERVICE, _OPTIONAL, "MLST [path]: facts about it", feature="MLST"),
    _S("SITE", "959", _SERVICE, _REQUIRED, "SITE command: see SITE HELP"),
    _S("COMB", "none", _SERVICE, _REQUIRED, "COMB path part part...: join parts into one file",
       feature="COMB target;source_list"),
    _S("RMDA", "draft-peterson-streamlined", _SERVICE, _REQUIRED,
       "RMDA path: remove a directory and all that is in it", feature="RMDA"),
    _S("DSIZ", "draft-peterson-streamlined", _SERVICE, _OPTIONAL,
       "DSIZ [path]: the bytes of all files below it", feature="DSIZ"),
    _S("AVBL", "draft-peterson-streamlined", _SERVICE, _OPTIONAL,
       "AVBL [path]: the bytes that may still be written", feature="AVBL"),
    # Checksums
    _S("HASH", "draft-bryan-ftpext-hash", _SERVICE, _REQUIRED,
       "HASH path: its checksum, see OPTS HASH", feature="HASH", switch="checksums"),
    _S("XCRC", "none", _SERVICE, _REQUIRED, "XCRC path [start [end]]: its CRC-32",
       feature="XCRC", switch="checksums"),
    _S("XMD5", "none", _SERVICE, _REQUIRED, "XMD5 path [start [end]]: its MD5",
       feature="XMD5", switch="checksums"),
    _S("XSHA", "none", _SERVICE, _REQUIRED, "XSHA path [start [end]]: its SHA-1",
       feature="XSHA", switch="checksums"),
    _S("XSHA1", "none", _SERVICE, _REQUIRED, "XSHA1 path [start [end]]: its SHA-1",
       feature="XSHA1", switch="checksums"),
    _S("XSHA256", "none", _SERVICE, _REQUIRED, "XSHA256 path [start [end]]: its SHA-256",
       feature="XSHA256", switch="checksums"),
    _S("XSHA512", "none", _SERVICE, _REQUIRED, "XSHA512 path [start [end]]: its SHA-512",
       feature="XSHA512", switch="checksums"),
    _S("MD5", "draft-twine-ftpmd5", _SERVICE, _REQUIRED, "MD5 path: its MD5",
       feature="MD5", switch="checksums"),
    _S("MMD5", "draft-twine-ftpmd5", _SERVICE, _REQUIRED, "MMD5 path, path...: their MD5",
       feature="MMD5", switch="checksums"),
    # 4.1.3: transfers
    _S("RETR", "959", _TRANSFER, _REQUIRED, "RETR path: download"),
    _S("STOR", "959", _TRANSFER, _REQUIRED, "STOR path: upload"),
    _S("APPE", "959", _TRANSFER, _REQUIRED, "APPE path: upload to the end of a file"),
    _S("STOU", "959", _TRANSFER, _OPTIONAL, "STOU: upload under a new name"),
    _S("REST", "3659", _TRANSFER, _REQUIRED, "REST offset: where the next transfer starts",
       feature="REST STREAM"),
    _S("RANG", "draft-bryan-ftp-range", _TRANSFER, _REQUIRED,
       "RANG first last: the part that is meant next", feature="RANG STREAM"),
    _S("ALLO", "959", _TRANSFER, _REQUIRED, "ALLO size [R size]: announce an upload's size"),
    _S("ABOR", "959", _TRANSFER, _NONE, "ABOR: break off the transfer",
       during=During.INTERRUPTING),
    _S("LIST", "959", _TRANSFER, _OPTIONAL, "LIST [-flags] [path]: list like ls -l"),
    _S("NLST", "959", _TRANSFER, _OPTIONAL, "NLST [-flags] [path]: list names"),
    _S("MLSD", "3659", _TRANSFER, _OPTIONAL, "MLSD [path]: list facts"),
    # Information
    _S("STAT", "959", _INFORMATION, _OPTIONAL, "STAT [path]: the session, or a listing",
       during=During.IMMEDIATE_IF_BARE),
    _S("HELP", "959", _INFORMATION, _OPTIONAL, "HELP [command]: this", False),
    _S("SYST", "959", _INFORMATION, _NONE, "SYST: the kind of system", False),
    _S("FEAT", "2389", _INFORMATION, _NONE, "FEAT: the extensions", False),
    _S("NOOP", "959", _INFORMATION, _OPTIONAL, "NOOP: nothing", False),
    _S("CLNT", "none", _INFORMATION, _OPTIONAL, "CLNT name: who you are", False, feature="CLNT"),
    _S("LANG", "2640", _PARAMETERS, _OPTIONAL, "LANG [tag]: the language of replies", False,
       feature="LANG"),
    _S("CSID", "draft-peterson-streamlined", _INFORMATION, _REQUIRED,
       "CSID Name=name;: who you are, and who we are", False, feature="CSID"),
)
# fmt: on

#: Commands that RFCs define and that do not exist here.
# fmt: off
REFUSED: Final = frozenset((
    "ADAT", "CONF", "ENC", "LPRT", "LPSV",
    "MIC", "XRCP", "XRSQ", "XSEM", "XSEN",
))
# fmt: on
#: What is a command at all.  One that is not enabled is told apart from a typing
#: mistake: 502 instead of 500.
KNOWN: Final = REFUSED.union(spec.verb for spec in COMMANDS)

#: Features that belong to no command: paths work as RFC 3659 section 6 says, and
#: names are UTF-8 (RFC 2640).
GENERAL_FEATURES: Final = ("TVFS", "UTF8")


__all__ = [
    "COMMANDS",
    "GENERAL_FEATURES",
    "KNOWN",
    "REFUSED",
    "Argument",
    "CommandSpec",
    "During",
    "Group",
]
