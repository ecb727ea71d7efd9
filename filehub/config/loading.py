"""
Reading the file, and saying all that is wrong with it at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from filehub.accounts.hashes import formatOf, missingLibrary
from filehub.config.homes import homeOf
from filehub.config.listeners import complaintAbout, fixedPort
from filehub.config.places import Place, findPlaces, lineOf
from filehub.config.schema import Configuration, Rule, keysAt
from filehub.config.tftpnames import nameSettings
from filehub.config.workers import checkWorkers
from filehub.errors import ConfigurationError
from filehub.networks import readNetworks
from filehub.paths import VirtualPath


@dataclass(frozen=True)
class LoadedConfiguration:
    """
    A configuration that can be built.

    @ivar places: the lines of its keys, for the reasons of denials.
    """

    values: Configuration
    origin: str = ""
    places: Mapping[Place, int] = field(default_factory=dict)

    def originOf(self, place: Place) -> str:
        """C{file:line} of a key, or an empty text for built-in defaults."""
        line = lineOf(self.places, place)
        return f"{self.origin}:{line}" if line is not None else self.origin


def loadConfiguration(path: Path, *, checkFolders: bool = True) -> LoadedConfiguration:
    """
    Read and check a file.

    @param checkFolders: whether served folders have to exist already, seen from here;
        not so under C{twistd --chroot}.
    @raise ConfigurationError: a line for each mistake: file, line, key, what was
        found and what was expected.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: found bytes that are not UTF-8 at offset {error.start}, expected UTF-8"
        ) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None
    places = findPlaces(text)
    try:
        values = Configuration.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_complaints(path, places, error))) from None
    loaded = LoadedConfiguration(values, str(path), places)
    problems = crossCheck(loaded, checkFolders=checkFolders)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return loaded


def _complaints(path: Path, places: Mapping[Place, int], error: ValidationError) -> list[str]:
    found = []
    for each in error.errors(include_url=False):
        place = tuple(each["loc"])
        line = lineOf(places, place)
        where = f"{path}:{line}" if line is not None else str(path)
        found.append((line or 0, f"{where}: {dotted(place)}: {_reason(each, place)}"))
    return [text for _, text in sorted(found)]


def dotted(place: Place) -> str:
    """A place the way people write it: C{ftp.listener[1].listen}."""
    text = ""
    for part in place:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _reason(each: Mapping[str, Any], place: Place) -> str:
    kind, found = each["type"], each["input"]
    if kind == "extra_forbidden":
        known = keysAt(place[:-1])
        likely = get_close_matches(str(place[-1]), known, 1)
        question = f" (did you mean {likely[0]}?)" if likely else ""
        return f"found an unknown key, expected {', '.join(known)}{question}"
    if kind == "missing":
        return "found nothing, expected this key"
    shown = repr(found) if not isinstance(found, (dict, list)) or len(repr(found)) < 60 else "this"
    message = each["msg"].removeprefix("Value error, ")
    if "expected" in message:
        return message if message.startswith("found") else f"found {shown}, {message}"
    message = message.removeprefix("Input should be ")
    return f"found {shown}, expected {message}"


def crossCheck(loaded: LoadedConfiguration, *, checkFolders: bool = True) -> list[str]:
    """What single keys cannot know: a line for each mistake."""
    values = loaded.values
    problems: list[tuple[int, str]] = []

    def complain(text: str, *place: str | int) -> None:
        where = loaded.originOf(place)
        line = lineOf(loaded.places, place) or 0
        problems.append((line, f"{where}: {dotted(place)}: {text}" if where else text))

    listening = [values.tftp.listen, values.rfc913.listen]
    for _, options in values.ftp.variants:
        listening += [options.listen, options.implicit_tls]
    if not any(listening):
        complain("found no listener, expected [ftp], [tftp] or [rfc913] with listen = [...]", "ftp")
    if not values.mount:
        complain("found no [[mount]], expected at least one", "mount")
    for index, mount in enumerate(values.mount):
        if checkFolders and isinstance(mount.source, Path) and not mount.source.is_dir():
            complain(
                f"found {str(mount.source)!r}, expected an existing folder",
                "mount",
                index,
                "source",
            )
        if mount.path in [each.path for each in values.mount[:index]]:
            complain(f"found {mount.path} a second time, expected it once", "mount", index, "path")
    _checkListeners(loaded, complain)
    _checkHosts(loaded, complain)
    _checkAccounts(loaded, complain)
    _checkTLS(loaded, complain)
    _checkBans(loaded, complain)
    checkWorkers(values, complain)
    return [text for _, text in sorted(problems)]


def _checkListeners(loaded: LoadedConfiguration, complain: Any) -> None:
    values = loaded.values
    seen: dict[tuple[bool, str], str] = {}
    rows: list[tuple[Place, list[str]]] = []
    for place, options in values.ftp.variants:
        rows += [((*place, "listen"), options.listen)]
        rows += [((*place, "implicit_tls"), options.implicit_tls)]
    rows += [(("rfc913", "listen"), values.rfc913.listen), (("tftp", "listen"), values.tftp.listen)]
    for place, texts in rows:
        stream = place[0] != "tftp"
        for index, text in enumerate(texts):
            problem = complaintAbout(text, stream=stream)
            if problem is None and fixedPort(text) is not None and (stream, text) in seen:
                problem = f"found {text!r}, which {seen[stream, text]} has already"
            if problem is not None:
                complain(problem, *place, index)
            seen[stream, text] = dotted(place)
    try:
        nameSettings(values.tftp)
    except ConfigurationError as error:
        complain(str(error), "tftp", "rules" if values.tftp.rules else "rule")


def _checkHosts(loaded: LoadedConfiguration, complain: Any) -> None:
    seen: set[str] = set()
    points = [mount.path for mount in loaded.values.mount]
    for index, host in enumerate(loaded.values.ftp.host):
        for key, names in (("name", [host.name]), ("aliases", host.aliases)):
            for name in names:
                if name in seen:
                    text = f"found {name!r} a second time, expected it once"
                    complain(text, "ftp", "host", index, key)
                seen.add(name)
        if points and not isReachable(host.root, points):
            text = f"found {host.root}, expected a path at or below that of a [[mount]]"
            complain(text, "ftp", "host", index, "root")


def _checkAccounts(loaded: LoadedConfiguration, complain: Any) -> None:
    values = loaded.values
    groups = [group.name for group in values.group]
    users = [user.name for user in values.user]
    for kind, names in (("group", groups), ("user", users)):
        for index, name in enumerate(names):
            if name in names[:index]:
                complain(f"found {name!r} a second time, expected it once", kind, index, "name")
    for rules, place in (
        *((group.rule, ("group", index)) for index, group in enumerate(values.group)),
        *((user.rule, ("user", index)) for index, user in enumerate(values.user)),
        (values.anonymous.rule, ("anonymous",)),
    ):
        paths = [rule.path for rule in rules]
        for index, path in enumerate(paths):
            if path in paths[:index]:
                text = f"found {path} a second time, expected it once"
                complain(text, *place, "rule", index, "path")
    for index, user in enumerate(values.user):
        if user.name.lower() in ("anonymous", "ftp"):
            complain(
                f"found {user.name!r}, which means an anonymous login: use [anonymous]",
                "user",
                index,
                "name",
            )
        for group in user.groups:
            if group not in groups:
                complain(
                    f"found {group!r}, expected the name of a [[group]]", "user", index, "groups"
                )
        try:
            _checkHome(loaded, complain, homeOf(user, values.group), "user", index)
        except ConfigurationError as error:
            complain(str(error), "user", index, "name")
        for key in ("password", "account"):
            stored = getattr(user, key)
            problem = _complaintAboutHash(stored or "", values.server.weak_hashes)
            if problem is not None:
                complain(problem, "user", index, key)
    for index, source in enumerate(values.source):
        if source.file is not None and not source.file.exists():
            text = f"found {str(source.file)!r}, expected a database; filehub user add makes it"
            complain(text, "source", index, "file")
        for group in source.groups:
            if group not in groups:
                text = f"found {group!r}, expected the name of a [[group]]"
                complain(text, "source", index, "groups")
    _checkHome(loaded, complain, values.anonymous.home, "anonymous")
    for index, network in enumerate(values.network):
        if network.address in [each.address for each in values.network[:index]]:
            complain(
                f"found {network.address} a second time, expected it once",
                "network",
                index,
                "address",
            )
        limited = network.sessions or network.upload_rate or network.download_rate
        if network.account is None and not limited:
            complain("found neither an account nor a limit", "network", index, "address")
        elif (network.account is None) != (not network.protocols):
            complain(
                "found one of account and protocols, expected both or none",
                "network",
                index,
                "address",
            )
        if network.account is not None and network.account not in users:
            complain(
                f"found {network.account!r}, expected the name of a [[user]]",
                "network",
                index,
                "account",
            )


def _complaintAboutHash(stored: str, allowWeak: bool) -> str | None:
    if stored in ("", "!", "*"):
        return None
    form = formatOf(stored)
    if form is None:
        return "found something else, expected the output of: filehub passwd"
    library = missingLibrary(form)
    if library is not None:
        return f"found a hash ({form.name}) that needs a library: pip install filehub[passwords]"
    if form.isWeak and not allowWeak:
        return f"found a weak hash ({form.name}), which counts only with server.weak_hashes"
    return None


def _checkHome(
    loaded: LoadedConfiguration, complain: Any, home: VirtualPath, *place: str | int
) -> None:
    points = [mount.path for mount in loaded.values.mount]
    if points and not isReachable(home, points):
        complain(f"found {home}, expected a path at or below that of a [[mount]]", *place, "home")


def isReachable(path: VirtualPath, points: Iterable[VirtualPath]) -> bool:
    """Is there a mount at, above or below this path?"""
    return any(path.isWithin(point) or point.isWithin(path) for point in points)


def _checkTLS(loaded: LoadedConfiguration, complain: Any) -> None:
    values = loaded.values
    wanted = any(
        options.tls in ("optional", "required") or options.implicit_tls
        for _, options in values.ftp.variants
    )
    if wanted and values.server.state is None and (not values.tls or not values.tls.certificate):
        complain(
            "found no certificate, expected [tls] certificate, or [server] state as the"
            " folder where one is made",
            "ftp",
        )
    secured = {group.name for group in values.group if group.tls}
    encrypted = {
        user.name for user in values.user if user.tls or not secured.isdisjoint(user.groups)
    }
    for index, network in enumerate(values.network):
        if network.account in encrypted:
            text = f"found {network.account!r}, which is for encrypted connections: TFTP has none"
            complain(text, "network", index, "account")
    if values.tls is None:
        return
    if values.tls.client_certificates != "off" and values.tls.client_ca is None:
        complain("found nothing, expected the file of an authority", "tls", "client_ca")
    for key in ("certificate", "key", "client_ca", "crl"):
        path = getattr(values.tls, key)
        if path is not None and not path.exists():
            complain(f"found {str(path)!r}, expected an existing file", "tls", key)


def _checkBans(loaded: LoadedConfiguration, complain: Any) -> None:
    for key in ("allow_file", "deny_file"):
        path = getattr(loaded.values.ban, key)
        try:
            if path is not None:
                readNetworks(path)
        except ConfigurationError as error:
            complain(str(error), "ban", key)


def ruleOrigins(
    loaded: LoadedConfiguration, rules: list[Rule], *place: str | int
) -> list[tuple[VirtualPath, Rule, str]]:
    """Each rule with where it was written."""
    return [
        (rule.path, rule, loaded.originOf((*place, "rule", index)))
        for index, rule in enumerate(rules)
    ]
