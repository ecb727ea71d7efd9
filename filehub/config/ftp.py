"""
From the keys of C{[ftp]} and C{[[ftp.listener]]} to what the protocol is told.
"""

from __future__ import annotations

from filehub.config.encryption import effectiveTLS
from filehub.config.listening import FTPListener
from filehub.config.schema import Configuration
from filehub.config.values import External
from filehub.protocols.ftp.settings import FTPSettings

_NOTHING = External(None)


def ftpSettings(values: Configuration, options: FTPListener) -> FTPSettings:
    """
    The settings of one listener.

    @param options: all that holds for it.
    """
    limits = values.limits
    external = options.external_address or _NOTHING
    return FTPSettings(
        banner=options.banner,
        passivePorts=options.passive_ports,
        externalAddress=external.default,
        externalRules=external.rules,
        proxies=tuple(options.trusted_proxies) if options.data_proxy_protocol else None,
        active=options.active,
        allowFXP=options.allow_fxp,
        tls=effectiveTLS(values, options),
        tlsSessions=options.tls_sessions,
        closeNotify=options.close_notify,
        allowCCC=options.ccc == "allow",
        asciiConvert=options.ascii == "convert",
        ebcdic=options.ebcdic,
        records=options.records,
        deflate=options.mode_z,
        checksums=options.checksums,
        disabled=frozenset(options.disabled_commands),
        tellsVersion=options.tells_version,
        maximumTreeEntries=options.tree_entries,
        maximumIdle=options.maximum_idle,
        loginTimeout=limits.login,
        handshakeTimeout=limits.handshake,
        idleTimeout=limits.idle,
        stallTimeout=limits.stall,
    )
