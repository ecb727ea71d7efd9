"""
The kinds of values that keys of the configuration file have.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from filehub.accounts.admission import Hours, parseHours
from filehub.accounts.certrules import CertificateRule, parseCertificateRule
from filehub.accounts.codes import isUsableSecret
from filehub.accounts.patterns import NamePatterns
from filehub.errors import FileHubError
from filehub.paths import ROOT, VirtualPath, checkName
from filehub.periods import Period
from filehub.permissions import Permission, parsePermissions
from filehub.protocols.ftp import commands, site
from filehub.protocols.ftp.charsets import knownCharset
from filehub.protocols.ftp.profiles import PROFILES
from filehub.usage import TransferQuota

#: Processes; more than that do not make a server quicker.
_MOST_WORKERS: Final = 64
#: Bytes with a unit: of ten (SI) or two (IEC).
_BYTES: Final = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,3}))? ?([kMGT]B|[KMGT]iB)", re.ASCII)
_UNITS: Final = {
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}


def _virtualPath(value: object) -> VirtualPath:
    if isinstance(value, VirtualPath):
        return value
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("expected an absolute virtual path such as /pub")
    if ".." in value.split("/"):
        raise ValueError("expected a path without ..")
    try:
        return ROOT.join(value)
    except FileHubError as error:
        raise ValueError(str(error)) from None


def _permissions(value: object) -> Permission:
    if isinstance(value, Permission):
        return value
    if not isinstance(value, str):
        raise ValueError("expected letters of elradfmwMT")
    return parsePermissions(value)


def _ports(value: object) -> range:
    if isinstance(value, range):
        return value
    first, dash, last = value.partition("-") if isinstance(value, str) else ("", "", "")
    if not (dash and first.isascii() and last.isascii() and first.isdigit() and last.isdigit()):
        raise ValueError('expected a range of ports such as "50000-50999"')
    if not 1 <= int(first) <= int(last) <= 65535:
        raise ValueError("expected 1 to 65535, the lower end first")
    return range(int(first), int(last) + 1)


#: Without these nobody logs in, or out.
_INDISPENSABLE: Final = frozenset(("USER", "PASS", "QUIT"))


def _ftpCommand(value: str) -> str:
    name = " ".join(value.upper().split())
    verbs = {spec.verb for spec in commands.COMMANDS} - _INDISPENSABLE
    if name not in verbs and name not in {f"SITE {each}" for each in site.COMMANDS}:
        raise ValueError('expected a command that can be left out, such as "RMDA" or "SITE CHMOD"')
    return name


def _folder(value: object) -> Path:
    if isinstance(value, Path):
        return value
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError("expected a folder such as file:///srv/files")
    return Path(unquote(parts.path))


@dataclass(frozen=True)
class WebAddress:
    """A place on a web server; C{str()} is its URL, which ends in a slash."""

    url: str

    def __str__(self) -> str:
        return self.url


def _place(value: object) -> Path | WebAddress:
    if isinstance(value, WebAddress):
        return value
    if isinstance(value, str) and value.partition(":")[0] in ("http", "https"):
        return WebAddress(_webAddress(value))
    return _folder(value)


def _webAddress(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.hostname and (parts.port is None or parts.port) and value.isascii()
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment or not value.isprintable():
        raise ValueError("expected an address such as https://host/path/ without login and query")
    if ".." in parts.path.split("/"):
        raise ValueError("expected a path without ..")
    return value if parts.path.endswith("/") else f"{value}/"


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    if not isinstance(value, str):
        raise ValueError("expected an address or network such as 10.0.0.0/8")
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"expected an address or network such as 10.0.0.0/8: {error}") from None


def _hours(value: object) -> tuple[Hours, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected a text or a list of them")
    return tuple(each if isinstance(each, Hours) else parseHours(str(each)) for each in value)


def _secret(value: str) -> str:
    if not isUsableSecret(value):
        raise ValueError("expected at least 16 letters and digits of base 32")
    return value


def _certificates(value: object) -> tuple[CertificateRule, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected a text or a list of them")
    rules = []
    for each in value:
        if isinstance(each, CertificateRule):
            rules.append(each)
        elif isinstance(each, str):
            rules.append(parseCertificateRule(each))
        else:
            raise ValueError("expected texts such as sha256:... or CN=...")
    return tuple(rules)


def _groups(
    value: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not value.is_multicast:
        raise ValueError("expected multicast addresses such as 239.255.69.0/28")
    return value


def _name(value: str) -> str:
    if not value or len(value.encode()) > 256 or not value.isprintable() or "/" in value:
        raise ValueError("expected a name of printable characters without /")
    return value


def _charset(value: object) -> str | None:
    try:
        return knownCharset(value) if isinstance(value, str) else None
    except ValueError:
        raise ValueError(
            "expected a character set for file names such as utf-8, latin-1, cp1252, shift_jis"
        ) from None


def _profile(value: str) -> str:
    if value not in PROFILES:
        raise ValueError(f"expected one of {', '.join(sorted(PROFILES))}")
    return value


class External(NamedTuple):
    """
    What clients are told to connect to.

    @ivar default: for those of other networks; L{None} for our own address.
    @ivar rules: for those of certain networks.
    """

    default: str | None
    rules: tuple[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str], ...] = ()


_EXTERNAL_FORMS = (
    'expected an IPv4 address, a host name, "0.0.0.0", "local", or a table of these by'
    ' network, such as { "10.0.0.0/8" = "10.0.0.5", default = "ftp.example.org" }'
)
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.?")


def _external(value: object) -> External:
    if isinstance(value, External):
        return value
    table = value if isinstance(value, dict) else {"default": value}
    rules = [(_network(key), _target(each)) for key, each in table.items() if key != "default"]
    return External(_target(table["default"]) if "default" in table else None, tuple(rules))


def _target(value: object) -> str:
    if not isinstance(value, str) or not _HOST_NAME.fullmatch(value):
        raise ValueError(_EXTERNAL_FORMS)
    if value.replace(".", "").isdigit():
        try:
            return str(ipaddress.IPv4Address(value))
        except ValueError:
            raise ValueError(_EXTERNAL_FORMS) from None
    return value


def _hostName(value: str) -> str:
    if not _HOST_NAME.fullmatch(value) or value.replace(".", "").isdigit():
        raise ValueError("expected a host name such as ftp.example.org")
    return value.lower().removesuffix(".")


def _namePattern(value: str) -> str:
    if not value or len(value) > 255 or "/" in value or "\0" in value:
        raise ValueError('expected a pattern of one name such as "*.exe", without /')
    return value


def _fileName(value: str) -> str:
    if value:
        try:
            checkName(value)
        except FileHubError as error:
            raise ValueError(f"expected the name of a file: {error}") from None
    return value


def _bits(value: object) -> int:
    # No number: 27 would be another one than 027, which TOML has not.
    if not isinstance(value, str) or not re.fullmatch("0?[0-7]{3}", value):
        raise ValueError('expected octal digits in quotes such as "027"')
    return int(value, 8)


def _foreign(value: object) -> bool | tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, (list, tuple)):
        raise ValueError("expected true, false, or a list of networks")
    return tuple(_network(each) for each in value)


def _workers(found: object) -> object:
    if found == "auto" or (type(found) is int and 1 <= found <= _MOST_WORKERS):
        return found
    raise ValueError(f'expected "auto" or a number from 1 to {_MOST_WORKERS}')


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _BYTES.fullmatch(value)
    if found is None:
        raise ValueError('expected a number of bytes, or a text such as "500 MB" or "2.5 GiB"')
    whole, part, unit = found.groups()
    number = int(whole + (part or "")) * _UNITS[unit]
    return number // 10 ** len(part or "")


VirtualPathValue = Annotated[VirtualPath, BeforeValidator(_virtualPath)]
PermissionValue = Annotated[Permission, BeforeValidator(_permissions)]
PortRange = Annotated[range, BeforeValidator(_ports)]
FTPCommandName = Annotated[str, AfterValidator(_ftpCommand)]
SourceURL = Annotated[Path | WebAddress, BeforeValidator(_place)]
NetworkValue = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
MulticastValue = Annotated[NetworkValue, AfterValidator(_groups)]
NameValue = Annotated[str, AfterValidator(_name)]
HoursList = Annotated[tuple[Hours, ...], BeforeValidator(_hours)]
OneTimeSecret = Annotated[str, AfterValidator(_secret)]
CertificateRules = Annotated[tuple[CertificateRule, ...], BeforeValidator(_certificates)]
#: L{None} is UTF-8.
CharsetValue = Annotated[str | None, BeforeValidator(_charset)]
ProfileValue = Annotated[str, AfterValidator(_profile)]
HostName = Annotated[str, AfterValidator(_hostName)]
ExternalValue = Annotated[External, BeforeValidator(_external)]
ForeignValue = Annotated[
    bool | tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], BeforeValidator(_foreign)
]
NamePattern = Annotated[str, AfterValidator(_namePattern)]
NamePatternList = Annotated[list[NamePattern], Field(max_length=200)]
#: Empty for none.
FileName = Annotated[str, AfterValidator(_fileName)]
#: Lines for people; empty for none.
Text = Annotated[str, Field(max_length=4096)]
#: Permission bits.
Bits = Annotated[int, BeforeValidator(_bits), Field(ge=0, le=0o777)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
#: Commands a second.
CommandRate = Annotated[float, Field(gt=0, le=100_000)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Points = Annotated[float, Field(ge=0, le=1000)]
#: C{"auto"}: as many as there are processors.
WorkerCount = Annotated[Literal["auto"] | int, BeforeValidator(_workers)]
#: Bytes a second.
Rate = Annotated[int, BeforeValidator(_bytes), Field(ge=1024)]
#: Bytes.
Size = Annotated[int, BeforeValidator(_bytes), Field(ge=0, lt=1 << 62)]


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=False
    )


class Named(Section):
    """A table that says what names are good for."""

    hidden: NamePatternList = []
    deny_names: NamePatternList = []
    allow_names: NamePatternList | None = None
    names_ignore_case: bool = True

    @property
    def names(self) -> NamePatterns | None:
        """The patterns; L{None} if there are none."""
        allow = None if self.allow_names is None else tuple(self.allow_names)
        found = NamePatterns(
            tuple(self.hidden), tuple(self.deny_names), allow, self.names_ignore_case
        )
        return found or None


class Stored(Section):
    """
    A table that says how much may be stored.

    @ivar quota: bytes.
    @ivar quota_files: names, of files, directories and links.
    """

    quota: Size | None = None
    quota_files: Count | None = None


class Transferring(Section):
    """
    A table that says how much may be moved within a period of the calendar.

    @ivar transfer_quota: bytes, of uploads and downloads together.
    @ivar quota_period: L{None} for what C{limits} says.
    """

    upload_quota: Size | None = None
    download_quota: Size | None = None
    transfer_quota: Size | None = None
    upload_quota_files: Count | None = None
    download_quota_files: Count | None = None
    quota_period: Period | None = None

    @property
    def transfers(self) -> TransferQuota:
        """The same as a value."""
        return TransferQuota(
            self.upload_quota,
            self.download_quota,
            self.transfer_quota,
            self.upload_quota_files,
            self.download_quota_files,
            self.quota_period,
        )


class Rated(Section):
    """A table that says how fast files move, bytes a second."""

    upload_rate: Rate | None = None
    download_rate: Rate | None = None
