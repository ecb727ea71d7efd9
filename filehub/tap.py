"""
C{twistd filehub} and C{twist filehub}.
"""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.application.service import IService
from twisted.internet.protocol import Factory
from twisted.logger import Logger, LogLevel
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from filehub.errors import ConfigurationError

_log: Final = Logger(namespace="filehub")

#: Where the embedded defaults listen: loopback, and ports that need no privileges.
DEFAULT_LISTENERS: Final = {
    "ftp": "tcp:2121:interface=127.0.0.1",
    "tftp": "udp:6969:interface=127.0.0.1",
    "rfc913": "tcp:1150:interface=127.0.0.1",
}


class Options(UsageOptions):
    """The command line."""

    synopsis = "[--config FILE | --root DIR [--writable] [--user NAME:PASSWORD]...]"

    longdesc = (
        "Without options: serves the current folder read-only to anonymous clients on loopback,"
        " over FTP, TFTP and RFC 913, and prints what to try."
    )

    optParameters = [
        ["config", "c", None, "Serve what this TOML file describes."],
        ["root", "r", None, "Serve this folder (default: the current one)."],
        ["workers", None, None, "So many processes serve: a number, or auto (default: 1)."],
    ]
    optFlags = [
        ["writable", "w", "Whoever may read may also write, TFTP clients included."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["users"] = []
        for protocol in DEFAULT_LISTENERS:
            self[protocol] = []

    def opt_user(self, text: str) -> None:
        """Only this NAME:PASSWORD may log in; may be repeated."""
        name, colon, password = text.partition(":")
        if not (name and colon and password):
            raise UsageError("--user: found no NAME:PASSWORD")
        self["users"].append((name, password))

    def opt_ftp(self, endpoint: str) -> None:
        """Listen here for FTP, e.g. tcp:2121 or tcp:21:interface=192.0.2.1; repeatable."""
        self["ftp"].append(endpoint)

    def opt_tftp(self, endpoint: str) -> None:
        """Listen here for TFTP, e.g. udp:6969; repeatable."""
        self["tftp"].append(endpoint)

    def opt_rfc913(self, endpoint: str) -> None:
        """Listen here for RFC 913 Simple FTP, e.g. tcp:1150; repeatable."""
        self["rfc913"].append(endpoint)

    def postOptions(self) -> None:
        """
        @raise UsageError: options that contradict each other.
        """
        if self["config"] is not None:
            options = {"users": "--user"}
            for name in ("root", "workers", "writable", "users", *DEFAULT_LISTENERS):
                if self[name]:
                    option = options.get(name, f"--{name}")
                    raise UsageError(f"--config says everything; expected no {option} with it")
        elif self["root"] is None:
            self["root"] = "."


def makeService(options: Options) -> IService:
    """
    The whole server.

    A configuration that cannot be used is told on standard error, a line for each
    mistake, and ends the process with status 1.
    """
    # Imported here, so that "twistd --help" stays quick.
    from filehub.config.advice import adviceOn
    from filehub.config.building import buildService
    from filehub.config.embedded import embeddedConfiguration, welcome
    from filehub.config.loading import loadConfiguration
    from filehub.service import giveUp, raiseLimits, settleMemory

    parent = getattr(options, "parent", None) or {}
    reactor = _monotonicReactor()
    raiseLimits()
    chroot = bool(parent.get("chroot"))
    if chroot:
        _prepareForChroot(reactor)
    try:
        if options["config"] is not None:
            loaded = loadConfiguration(Path(options["config"]), checkFolders=not chroot)
        else:
            loaded = embeddedConfiguration(options, DEFAULT_LISTENERS, checkFolders=not chroot)
        service = buildService(reactor, loaded)
        observer = _observer(parent, loaded.values.log)
        for line in adviceOn(loaded):
            _log.warn("{line}", line=line)
    except ConfigurationError as error:
        giveUp(error)
    daemonises = "nodaemon" in parent and not parent["nodaemon"]

    def listening() -> None:
        # Not before signals are heeded, for it takes a moment.
        reactor.callWhenRunning(settleMemory)
        if options["config"] is None:
            _tell(welcome(service, options), daemonises)

    service.whenListening = listening
    service.observer = observer
    # The pipe appears when twistd goes into the background.
    service.giveUp = lambda error: giveUp(error, parent.get("pidfile"), parent.get("statusPipe"))
    return service


def _tell(text: str, daemonises: bool) -> None:
    if not daemonises:
        _writeToOutput(text)
        return
    for line in text.splitlines():
        _log.info("{line}", line=line)


def _monotonicReactor() -> Any:
    """
    The reactor, told to measure time with a clock that nobody can set: Twisted's own
    follows the wall clock, and a correction of that ends every session or none.
    """
    from twisted.internet import reactor

    clock: Any = reactor
    clock.seconds = time.monotonic
    return clock


def _prepareForChroot(reactor: Any) -> None:
    """
    Open now what is opened late and is not in a bare chroot.  Twisted keeps a spare
    descriptor (of C{/dev/null}) for the day on which there are none left, from when
    the first port listens on; and Python loads a codec when it first looks up an
    address.
    """
    codecs.lookup("idna")
    factory = Factory()
    factory.noisy = False
    reactor.listenTCP(0, factory, interface="127.0.0.1").stopListening()


def _observer(parent: Any, log: Any) -> Any:
    """
    Our log format, where twistd's log goes to standard output or a file; C{--syslog},
    C{--logger} and C{twist} keep their own.
    """
    from filehub.logfile import LineFile
    from filehub.observers import LineObserver

    if "nodaemon" not in parent or parent.get("syslog") or parent.get("logger"):
        return None
    logfile = parent.get("logfile")
    if not parent["nodaemon"] and logfile is None:
        logfile = "twistd.log"
    writeLine: Callable[[str], object] = _writeToOutput
    if logfile and logfile != "-":
        writeLine = LineFile(Path(logfile)).writeLine
    return LineObserver(writeLine, log.format, LogLevel.levelWithName(log.level))


def _writeToOutput(line: str) -> None:
    stream = sys.__stdout__
    if stream is None:
        return
    try:
        # As UTF-8, whatever the locale: what is not printable is escaped already.
        stream.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
        stream.buffer.flush()
    except (OSError, ValueError):
        # Nobody reads it any more, and there is no better place to say so.
        return
