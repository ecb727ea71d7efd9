"""
What the configuration says about how much and how fast: as values for those who see to it.
"""

from __future__ import annotations

from filehub.accounts.records import ANONYMOUS_NAME, NetworkRecord
from filehub.accounts.throttle import ThrottleSettings
from filehub.config.schema import Configuration
from filehub.config.values import Rated
from filehub.limiting import Rates, RateSettings
from filehub.periods import Period
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.registry import SessionCaps
from filehub.state.transfers import TransferSettings
from filehub.usage import TransferQuota


def rateSettings(values: Configuration) -> RateSettings:
    """Bandwidth, at all levels."""
    limits = values.limits
    return RateSettings(
        server=Rates(limits.total_download_rate, limits.total_upload_rate),
        networks={each.address: _rates(each) for each in values.network if _isRated(each)},
        groups={each.name: _rates(each) for each in values.group},
        users={
            ANONYMOUS_NAME: _rates(values.anonymous),
            **{each.name: _rates(each) for each in values.user},
        },
        user=_rates(limits),
        session=Rates(limits.session_download_rate, limits.session_upload_rate),
    )


def _rates(table: Rated) -> Rates:
    return Rates(table.download_rate, table.upload_rate)


def _isRated(table: Rated) -> bool:
    return _rates(table) != Rates()


def transferSettings(values: Configuration) -> TransferSettings:
    """How much may be moved, at all levels."""
    limits = values.limits
    return TransferSettings(
        server=TransferQuota(
            limits.total_upload_quota, limits.total_download_quota, limits.total_transfer_quota
        ),
        groups={each.name: each.transfers for each in values.group},
        users={
            ANONYMOUS_NAME: values.anonymous.transfers,
            **{each.name: each.transfers for each in values.user},
        },
        user=limits.transfers,
        period=limits.quota_period or Period.MONTH,
    )


def sessionCaps(values: Configuration) -> SessionCaps:
    """Sessions at one time, and how long they last."""
    limits = values.limits
    return SessionCaps(
        limits.sessions,
        limits.per_address,
        limits.per_user,
        networks=tuple(
            (each.address, each.sessions) for each in values.network if each.sessions is not None
        ),
        seconds=limits.session_time,
        commands=limits.commands,
    )


def tftpStall(values: Configuration) -> float:
    """TFTP's own patience is shorter, unless the operator says something of all protocols."""
    limits = values.limits
    return limits.stall if "stall" in limits.model_fields_set else TFTPSettings().stall


def networkRecords(values: Configuration) -> list[NetworkRecord]:
    """Clients that are an account by their address."""
    return [
        NetworkRecord(each.address, each.account, frozenset(each.protocols or ()))
        for each in values.network
        if each.account is not None
    ]


def throttleSettings(values: Configuration) -> ThrottleSettings:
    """What guessing passwords costs."""
    ban = values.ban
    return ThrottleSettings(
        delay=ban.delay,
        window=ban.window,
    )


__all__ = [
    "networkRecords",
    "rateSettings",
    "sessionCaps",
    "tftpStall",
    "throttleSettings",
    "transferSettings",
]
