"""
What an operator, or an embedding application, decides about one RFC 913 listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Accounts = Literal["none", "optional", "required"]


@dataclass(frozen=True, slots=True)
class RFC913Settings:
    """
    All times are seconds.

    @ivar hostName: the first word of the greeting, which RFC 913 wants to be the
        host's name; empty for the name that the system has.
    @ivar accounts: C{"none"}: a name and a password are enough, and an account that
        is given all the same is only used if the checker asks for one.
        C{"optional"}: an account that is given is verified together with the
        password.  C{"required"}: nobody but anonymous users logs in without one.
    @ivar generations: does C{STOR NEW} on an existing name make C{name.~1~} and so
        on, instead of refusing?
    @ivar lenientFraming: does LF end a command as NUL does, for people with netcat?
        Such a listener is not RFC 913 any more: names with LF cannot be asked for.
    @ivar welcome: a text that follows the line of a successful login; empty for none.
    @ivar strictText: refuse what TYPE A, which is 7-bit ASCII, cannot carry, instead
        of passing bytes with the high bit set.
    @ivar showControls: list names with control characters, these shown as C{\\xNN},
        instead of hiding them.
    @ivar maximumText: files beyond so many bytes are refused in TYPE A, because the
        length on the wire is only known after reading all of it.
    @ivar maximumDiscarded: so many bytes of an upload that cannot be stored are still
        read, to answer in order; with more to come, the connection is closed.
    @ivar loginTimeout: from the connection to a successful login, whatever is said
        in between.
    @ivar idleTimeout: without a command.
    @ivar stallTimeout: without a byte in a transfer.
    @ivar failureDelay: how long the answer to a wrong login waits.
    @ivar maximumAttempts: wrong logins before the connection is closed.
    """

    hostName: str = ""
    accounts: Accounts = "none"
    generations: bool = False
    lenientFraming: bool = False
    welcome: str = ""
    strictText: bool = False
    showControls: bool = False
    maximumText: int = 1024 * 1024 * 1024
    maximumDiscarded: int = 16 * 1024 * 1024
    loginTimeout: float = 60.0
    idleTimeout: float = 300.0
    stallTimeout: float = 60.0
    failureDelay: float = 1.0
    maximumAttempts: int = 3


__all__ = ["Accounts", "RFC913Settings"]
