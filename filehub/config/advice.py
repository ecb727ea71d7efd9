"""
What works but is worth a thought: said by C{filehub check} and at every start.
"""

from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filehub.config.listeners import isProxied
from filehub.config.loading import LoadedConfiguration, dotted, isReachable
from filehub.permissions import READ_ONLY

#: Descriptors of a session at work: control, passive port, data connection, file.
_PER_SESSION: Final = 4


def adviceOn(loaded: LoadedConfiguration) -> list[str]:
    """A line for each thing."""
    return [
        *_secrets(loaded),
        *_ports(loaded),
        *_proxies(loaded),
        *_sources(loaded),
        *_descriptors(loaded),
        *_exposed(loaded),
        *_pointlessRules(loaded),
        *_writingStrangers(loaded),
    ]


def _secrets(loaded: LoadedConfiguration) -> Iterator[str]:
    path = Path(loaded.origin)
    hashes = any(user.password for user in loaded.values.user)
    if not loaded.places or not (hashes or any(each.isSecret for each in loaded.values.source)):
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        what = "password hashes" if hashes else "passwords"
        yield f"{path} holds {what} and is open to others: chmod 640, or less"


def _ports(loaded: LoadedConfiguration) -> Iterator[str]:
    sessions = loaded.values.limits.sessions
    for place, options in loaded.values.ftp.variants:
        if len(place) > 1 and options.model_fields_set.isdisjoint(
            ("passive_ports", "external_address")
        ):
            # It was said of [ftp].
            continue
        ports, name = options.passive_ports, dotted(place)
        if ports is not None and len(ports) < sessions:
            yield (
                f"{name}.passive_ports has {len(ports)} ports for limits.sessions = "
                f"{sessions}: transfers are refused while all are in use"
            )
        external = options.external_address
        targets = () if external is None else (external.default, *dict(external.rules).values())
        if ports is None and any(each not in (None, "0.0.0.0", "local") for each in targets):
            yield (
                f"{name}.external_address without {name}.passive_ports: a router has to know"
                " the ports"
            )


def _proxies(loaded: LoadedConfiguration) -> Iterator[str]:
    values = loaded.values
    for place, options in values.ftp.variants:
        proxied = any(map(isProxied, [*options.listen, *options.implicit_tls]))
        if options.data_proxy_protocol and not proxied:
            yield f"{dotted(place)}.data_proxy_protocol: no listener of it is one with haproxy:"


def _sources(loaded: LoadedConfiguration) -> Iterator[str]:
    for index, source in enumerate(loaded.values.source):
        where = f"{loaded.originOf(('source', index))}: {source.type}"
        if source.type == "ldap" and not (source.isEncrypted or source.isLocal):
            yield f"{where}: passwords go to {source.place} in the clear: start_tls, or ldaps://"
        if source.type == "postgresql" and not (source.isEncrypted or source.isLocal):
            yield (
                f"{where}: whether {source.place} is the right server is not verified:"
                " add ?sslmode=verify-full"
            )
        if source.type == "pam" and not Path("/etc/pam.d", source.service).exists():
            yield f"{where}: found no /etc/pam.d/{source.service}: the system's default holds"


def _descriptors(loaded: LoadedConfiguration) -> Iterator[str]:
    # The daemon raises its own limit to this.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    sessions = loaded.values.limits.sessions
    if hard != resource.RLIM_INFINITY and sessions * _PER_SESSION > hard:
        yield (
            f"limits.sessions = {sessions} at work need {sessions * _PER_SESSION} open files,"
            f" the system allows this process {hard}"
        )


def _exposed(loaded: LoadedConfiguration) -> Iterator[str]:
    """What is the server's own should not be among what it serves."""
    values = loaded.values
    own = [
        Path(loaded.origin) if loaded.places else None,
        values.server.state,
        values.log.xferlog,
        values.tls.key or values.tls.certificate if values.tls is not None else None,
    ]
    for path in own:
        for mount in values.mount:
            if path is None or not isinstance(mount.source, Path):
                continue
            if path.absolute().is_relative_to(mount.source):
                yield f"{path} lies in {mount.source}, which is served as {mount.path}"


def _writingStrangers(loaded: LoadedConfiguration) -> Iterator[str]:
    anonymous = loaded.values.anonymous
    for index, rule in enumerate(anonymous.rule):
        if anonymous.enabled and rule.allow & ~READ_ONLY:
            place = loaded.originOf(("anonymous", "rule", index))
            yield f"{place}: anonymous clients may change what is in {rule.path}"


def _pointlessRules(loaded: LoadedConfiguration) -> Iterator[str]:
    values = loaded.values
    points = [mount.path for mount in values.mount]
    holders = [
        *(("group", index, group.rule) for index, group in enumerate(values.group)),
        *(("user", index, user.rule) for index, user in enumerate(values.user)),
        ("anonymous", None, values.anonymous.rule),
    ]
    for kind, number, rules in holders:
        for index, rule in enumerate(rules):
            if not isReachable(rule.path, points):
                place = (kind, "rule", index) if number is None else (kind, number, "rule", index)
                yield f"{loaded.originOf(place)}: a rule for {rule.path}, where nothing is mounted"
