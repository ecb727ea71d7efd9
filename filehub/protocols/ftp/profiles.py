"""
Sets of switches for clients that cannot be mended: the software in devices.

A profile stands between the defaults and what the operator writes: a key that the file
has wins over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from filehub.protocols.ftp.settings import FTPSettings

#: What newer clients ask for first; devices stumble over it, or their firewalls do.
_NO_EXTENDED: Final = frozenset(("EPSV", "EPRT"))

PROFILES: Final[Mapping[str, Mapping[str, Any]]] = {
    # Windows' own program: active mode only, names in the system's code page until it
    # says OPTS UTF8 ON.
    "ftp.exe": {"charset": "cp1252", "announceUTF8": False, "disabled": _NO_EXTENDED},
    # Scanners and multi-function printers: backslashes in folders, uploads in TYPE A by
    # mistake, and long pauses while paper is being fed.
    "scanner": {
        "asciiConvert": False,
        "backslashes": True,
        "makesParents": True,
        "acceptsExisting": True,
        "announceUTF8": False,
        "closeNotify": "off",
        "disabled": _NO_EXTENDED,
        "idleTimeout": 900.0,
        "stallTimeout": 300.0,
    },
    # Cameras: a folder for each day, made whether or not it is there, and a session that
    # is kept open until something moves.
    "camera": {
        "asciiConvert": False,
        "makesParents": True,
        "acceptsExisting": True,
        "closeNotify": "off",
        "disabled": _NO_EXTENDED,
        "idleTimeout": 3600.0,
        "stallTimeout": 300.0,
    },
    # z/OS and OS/400: SITE commands about records before every transfer, no UTF-8, and
    # jobs that wait.
    "mainframe": {
        "charset": "iso8859-1",
        "announceUTF8": False,
        "toleratesSITE": True,
        "disabled": _NO_EXTENDED,
        "idleTimeout": 1800.0,
        "stallTimeout": 600.0,
    },
    # Controllers and old DOS or Windows programs, which read listings as DIR prints them.
    "dos": {
        "charset": "cp850",
        "announceUTF8": False,
        "backslashes": True,
        "listFormat": "dos",
        "disabled": _NO_EXTENDED,
    },
    # Clients behind address translation that take the address in the 227 reply at its
    # word, and understand that 0.0.0.0 is none.
    "tunnel": {"externalAddress": "0.0.0.0", "externalRules": (), "disabled": _NO_EXTENDED},
}


def withProfile(
    settings: FTPSettings, name: str | None, fixed: frozenset[str] = frozenset()
) -> FTPSettings:
    """
    Settings with the switches of a profile.

    @param name: a key of L{PROFILES}; L{None} or an unknown one changes nothing.
    @param fixed: fields that stay as they are.
    """
    changes = {
        field: value for field, value in PROFILES.get(name or "", {}).items() if field not in fixed
    }
    if "disabled" in changes:
        changes["disabled"] = settings.disabled | changes["disabled"]
    return replace(settings, **changes) if changes else settings


__all__ = ["PROFILES", "withProfile"]
