"""
What an account wants different from its listener.
"""

from __future__ import annotations

from dataclasses import replace

from filehub.interfaces import IClientPreferences, IFileAccount
from filehub.protocols.ftp.listener import Listener
from filehub.protocols.ftp.profiles import withProfile
from filehub.protocols.ftp.settings import FTPSettings


def preferred(listener: Listener, account: IFileAccount) -> Listener:
    """The listener, or its variant, for the sessions of this account."""
    preferences = IClientPreferences(account, None)
    if preferences is None:
        return listener
    foreign, profile = preferences.foreignData, preferences.profile
    if foreign is None and profile is None:
        return listener

    def settings() -> FTPSettings:
        chosen = withProfile(listener.settings, profile)
        return chosen if foreign is None else replace(chosen, allowFXP=foreign)

    # True and 1 are one key, but no setting is a number.
    return listener.variant((foreign, profile), settings)
