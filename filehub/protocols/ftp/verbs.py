"""
The commands with what carries them out.
"""

from __future__ import annotations

from typing import Final

from filehub.protocols.ftp import (
    access_control,
    checksums,
    copying,
    directories,
    file_service,
    hosts,
    identification,
    information,
    languages,
    modifying,
    mounts,
    ranges,
    security,
    site,
    space,
    thirdparty,
    transfer_parameters,
    transfers,
    trees,
)
from filehub.protocols.ftp.commands import COMMANDS
from filehub.protocols.ftp.listener import Verb
from filehub.protocols.ftp.settings import FTPSettings

#: All of them; a test sees to it that this and L{COMMANDS} cover each other.
FUNCTIONS: Final = {
    **access_control.VERBS,
    **hosts.VERBS,
    **security.VERBS,
    **transfer_parameters.VERBS,
    **thirdparty.VERBS,
    **file_service.VERBS,
    **site.VERBS,
    **checksums.VERBS,
    **modifying.VERBS,
    **ranges.VERBS,
    **copying.VERBS,
    **identification.VERBS,
    **languages.VERBS,
    **mounts.VERBS,
    **space.VERBS,
    **trees.VERBS,
    **directories.VERBS,
    **transfers.VERBS,
    **information.VERBS,
}


def enabledVerbs(settings: FTPSettings) -> dict[str, Verb]:
    """Those that these settings switch on."""
    return {
        spec.verb: Verb(spec, FUNCTIONS[spec.verb])
        for spec in COMMANDS
        if (spec.switch is None or getattr(settings, spec.switch))
        and spec.verb not in settings.disabled
    }


__all__ = ["FUNCTIONS", "enabledVerbs"]
