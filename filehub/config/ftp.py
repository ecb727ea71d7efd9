"""
From the keys of C{[ftp]} and C{[[ftp.listener]]} to what the protocol is told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from filehub.accounts.hosted import HostPortal
from filehub.config.encryption import effectiveTLS
from filehub.config.listening import FTPListener
from filehub.config.schema import Configuration
from filehub.config.values import External
from filehub.logins import LoginPortal
from filehub.protocols.ftp.hosts import VirtualHost
from filehub.protocols.ftp.profiles import withProfile
from filehub.protocols.ftp.settings import FTPSettings

_NOTHING = External(None)


def ftpSettings(values: Configuration, options: FTPListener) -> FTPSettings:
    """
    The settings of one listener.

    @param options: all that holds for it.
    """
    limits = values.limits
    external = options.external_address or _NOTHING
    settings = FTPSettings(
        banner=options.banner,
        welcome=options.welcome,
        messageFile=options.message_file,
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
        charset=options.charset,
        announceUTF8=options.announce_utf8,
        backslashes=options.backslashes,
        listFormat=options.list_format,
        makesParents=options.make_parents,
        acceptsExisting=options.accept_existing,
        toleratesSITE=options.tolerate_site,
        loginTimeout=limits.login,
        handshakeTimeout=limits.handshake,
        idleTimeout=limits.idle,
        stallTimeout=limits.stall,
    )
    return withProfile(settings, options.profile, _written(values, options))


def virtualHosts(
    values: Configuration, options: FTPListener, settings: FTPSettings, portal: LoginPortal
) -> list[VirtualHost]:
    """
    The hosts that clients of a listener may choose.

    @param settings: the listener's.
    """
    found = []
    for host in values.ftp.host:
        own = settings
        if "charset" in host.model_fields_set:
            own = replace(own, charset=host.charset)
        own = withProfile(own, host.profile, _written(values, options))
        if host.banner is not None:
            own = replace(own, banner=host.banner)
        if host.welcome is not None:
            own = replace(own, welcome=host.welcome)
        accounts = HostPortal(
            portal, root=host.root, prefix=host.user_prefix, anonymous=host.anonymous
        )
        found.append(VirtualHost((host.name, *host.aliases), own, accounts))
    return found


#: Fields that a profile may change, by the key that settles them.
_FIELDS: Final = {
    "ascii": "asciiConvert",
    "close_notify": "closeNotify",
    "charset": "charset",
    "announce_utf8": "announceUTF8",
    "backslashes": "backslashes",
    "list_format": "listFormat",
    "make_parents": "makesParents",
    "accept_existing": "acceptsExisting",
    "tolerate_site": "toleratesSITE",
}


def _written(values: Configuration, options: FTPListener) -> frozenset[str]:
    """What is said in the file, no profile says otherwise."""
    fields = {field for key, field in _FIELDS.items() if key in options.model_fields_set}
    if "external_address" in options.model_fields_set:
        fields |= {"externalAddress", "externalRules"}
    limits = values.limits.model_fields_set
    fields |= {f"{key}Timeout" for key in ("idle", "stall") if key in limits}
    return frozenset(fields)
