"""
From users, groups and rules, wherever they are written down, to accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from filehub.accounts.admission import Admission
from filehub.accounts.database import StoredAccount
from filehub.accounts.policy import PathRule
from filehub.accounts.records import (
    ANONYMOUS_NAME,
    AccountLimits,
    AccountRecord,
    AccountTable,
)
from filehub.config.homes import homeOf
from filehub.config.loading import LoadedConfiguration, ruleOrigins
from filehub.config.owners import ownershipOf
from filehub.config.quotas import isShared, quotaOfHome
from filehub.config.schema import Admitted, Configuration, Group, Restricted, Rule, User
from filehub.config.sources import Source
from filehub.errors import ConfigurationError
from filehub.usage import Scope

#: Of homes that are made.
USUAL_HOME_MODE: Final = 0o755

_S = TypeVar("_S", bound=Admitted)


class AccountBuilder:
    """
    Makes accounts of what a configuration says.
    """

    def __init__(self, loaded: LoadedConfiguration) -> None:
        self.use(loaded)

    def use(self, loaded: LoadedConfiguration) -> None:
        """This is what it says from now on."""
        self._loaded = loaded
        groups = loaded.values.group
        self._groups = {group.name: group for group in groups}
        self._groupRules = {
            group.name: self._rules(group.rule, "group", index)
            for index, group in enumerate(groups)
        }

    def table(self) -> AccountTable:
        """All accounts of the file."""
        return AccountTable(*self.records())

    def records(self) -> tuple[list[AccountRecord], AccountRecord | None]:
        """The same as values: users, and the account of anonymous logins."""
        values = self._loaded.values
        records = [
            self._record(
                user,
                self._rules(user.rule, "user", index),
                [self._groups[name] for name in user.groups],
                tuple(self._groupRules[name] for name in user.groups),
            )
            for index, user in enumerate(values.user)
        ]
        anonymous = AccountRecord(
            name=ANONYMOUS_NAME,
            home=values.anonymous.home,
            rules=self._rules(values.anonymous.rule, "anonymous"),
            admissions=_admissions(values.anonymous),
            umask=values.anonymous.umask or 0,
            ownership=ownershipOf(
                ANONYMOUS_NAME, values.anonymous.owner, values.anonymous.owner_group
            ),
        )
        return records, anonymous if values.anonymous.enabled else None

    def fromStored(self, stored: StoredAccount, place: str) -> AccountRecord:
        """
        An account that is written down elsewhere, with the same keys.

        @param place: where; stands in the reasons of denials.
        @raise ConfigurationError: it makes no sense; says why.
        """
        user = validated(
            User, {**stored.settings, "name": stored.name, "password": stored.password}
        )
        groups, groupRules = [], []
        for name in user.groups:
            if name in stored.groups:
                group = validated(Group, {**stored.groups[name], "name": name})
                origin = f"{place}: group {name}"
                rules = tuple(_rule(each, origin) for each in group.rule)
            elif name in self._groups:
                group, rules = self._groups[name], self._groupRules[name]
            else:
                raise ConfigurationError(f"groups: found {name!r}, expected the name of a group")
            groups.append(group)
            groupRules.append(rules)
        rules = tuple(_rule(each, f"{place}: user {user.name}") for each in user.rule)
        record = self._record(user, rules, groups, tuple(groupRules))
        limits = replace(
            record.limits, downloadRate=user.download_rate, uploadRate=user.upload_rate
        )
        transfers = {Scope("user", user.name): user.transfers}
        transfers |= {Scope("group", each.name): each.transfers for each in groups}
        values = self._loaded.values
        return replace(
            record,
            limits=limits,
            quota=quotaOfHome(user, groups, values.limits, shared=isShared(record.home, values)),
            transferQuotas=transfers,
        )

    def _record(
        self,
        user: User,
        rules: tuple[PathRule, ...],
        groups: Iterable[Group],
        groupRules: tuple[tuple[PathRule, ...], ...],
    ) -> AccountRecord:
        groups = tuple(groups)
        sections = (user, *groups)
        return AccountRecord(
            name=user.name,
            password=user.password,
            account=user.account,
            oneTimeSecret=user.one_time_secret,
            home=homeOf(user, groups),
            rules=rules,
            groups=tuple(group.name for group in groups),
            groupRules=groupRules,
            certificates=user.certificate,
            requiresTLS=any(each.tls for each in sections),
            foreignData=_first("allow_fxp", *sections),
            profile=_first("profile", *sections),
            admissions=_admissions(*sections),
            umask=_first("umask", *sections) or 0,
            ownership=ownershipOf(
                user.name, _first("owner", *sections), _first("owner_group", *sections)
            ),
            homeMode=_homeMode(*sections),
            limits=AccountLimits(
                maximumSessions=_first("sessions", *sections),
                idle=_first("idle", *sections),
                stall=_first("stall", *sections),
                sessionTime=_first("session_time", *sections),
                commands=_first("commands", *sections),
            ),
            enabled=user.enabled,
        )

    def _rules(self, rules: list[Rule], *place: str | int) -> tuple[PathRule, ...]:
        return tuple(
            _rule(rule, origin) for _, rule, origin in ruleOrigins(self._loaded, rules, *place)
        )


def givesAway(values: Configuration) -> bool:
    """Does the file say of anybody that his files belong to somebody else?"""
    tables: list[Restricted | Source] = [*values.user, *values.group, *values.source]
    tables.append(values.anonymous)
    return any(each.owner is not None or each.owner_group is not None for each in tables)


def _rule(rule: Rule, origin: str) -> PathRule:
    return PathRule(rule.path, rule.allow, origin, rule.names)


def _first(key: str, *sections: Restricted) -> Any:
    """What the user says, or else the first of the groups that says anything."""
    return next((found for each in sections if (found := getattr(each, key)) is not None), None)


def _homeMode(*sections: Admitted) -> int | None:
    """The bits of a home that is made at the first login; L{None}: none is made."""
    if not _first("create_home", *sections):
        return None
    mode = _first("home_mode", *sections)
    return USUAL_HOME_MODE if mode is None else int(mode)


def _admissions(*sections: Restricted) -> tuple[Admission, ...]:
    found = map(_admission, sections)
    return tuple(each for each in found if each != Admission())


def _admission(section: Restricted) -> Admission:
    return Admission(
        section.expires,
        section.hours,
        tuple(section.networks),
        frozenset(section.protocols),
    )


def validated(model: type[_S], settings: Mapping[str, Any]) -> _S:
    """
    A C{[[user]]} or C{[[group]]} that is written down elsewhere.

    @raise ConfigurationError: which keys, and what was expected.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        lines = []
        for each in error.errors(include_url=False):
            place = ".".join(str(part) for part in each["loc"])
            lines.append(f"{place}: {each['msg'].removeprefix('Value error, ')}")
        raise ConfigurationError("; ".join(lines)) from None
