"""
How TFTP names are read: rules, folders of clients, and what comes of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from filehub.config.values import NetworkValue, Section
from filehub.errors import ConfigurationError
from filehub.protocols.tftp.clientroots import ClientRoot, inOrder, parseMAC, parseRoot
from filehub.protocols.tftp.mapfile import rulesOf
from filehub.protocols.tftp.names import NameSettings
from filehub.protocols.tftp.patterns import Pattern, PatternError
from filehub.protocols.tftp.rules import Replacement, RewriteRule, RuleSet

if TYPE_CHECKING:
    from filehub.config.listening import TFTP

#: Octets of a map file that are read at most.
_MAXIMUM_MAP = 1 << 20


def _root(value: str) -> str:
    try:
        parseRoot(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return value


def _mac(value: str) -> str:
    try:
        return parseMAC(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


RootPattern = Annotated[str, AfterValidator(_root)]
MACValue = Annotated[str, AfterValidator(_mac)]


class TFTPRule(Section):
    """One rule for names; see L{filehub.protocols.tftp.rules.RewriteRule}."""

    match: str
    replace: str | None = None
    ignore_case: bool = False
    repeat: Literal["once", "again", "rest"] = "once"
    then: Literal["next", "stop", "found", "restart", "deny", "jump"] = "next"
    unless: bool = False
    verbs: list[Literal["get", "put"]] = Field(default=["get", "put"], min_length=1)
    family: Literal["any", "ipv4", "ipv6"] = "any"
    message: str = Field(default="", max_length=100)
    label: str = ""
    target: str = ""

    @model_validator(mode="after")
    def _compiles(self) -> TFTPRule:
        self.compiled()
        return self

    def compiled(self) -> RewriteRule:
        """
        The rule itself.

        @raise ValueError: it cannot be one.
        """
        try:
            return RewriteRule(
                pattern=Pattern(self.match, ignoreCase=self.ignore_case),
                replacement=Replacement(self.replace) if self.replace is not None else None,
                repeat=self.repeat,
                then=self.then,
                unless=self.unless,
                verbs=frozenset(self.verbs),
                family=self.family,
                message=self.message,
                label=self.label,
                target=self.target,
            )
        except PatternError as error:
            raise ValueError(f"expected a rule that makes sense: {error}") from None


class TFTPClient(Section):
    """Where the files of some clients are."""

    address: NetworkValue | None = None
    mac: MACValue | None = None
    root: RootPattern

    @model_validator(mode="after")
    def _isForSomebody(self) -> TFTPClient:
        if (self.address is None) == (self.mac is None):
            raise ValueError("expected either address or mac")
        return self


def readMap(path: Path) -> list[dict[str, Any]]:
    """
    The rules in one of tftp-hpa's map files, as tables C{[[tftp.rule]]}.

    @raise ConfigurationError: file, line, and what is wrong there.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAXIMUM_MAP).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        rules = rulesOf(text)
        for number, each in enumerate(rules, 1):
            try:
                TFTPRule.model_validate(each)
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
                raise ConfigurationError(f"rule {number} ({each['match']}): {reason}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return rules


def nameSettings(tftp: TFTP) -> NameSettings:
    """
    What the section says about names; rules in the map file come first.

    @raise ConfigurationError: the map file cannot be used, or a jump leads nowhere.
    """
    tables = [TFTPRule.model_validate(each) for each in readMap(tftp.rules)] if tftp.rules else []
    clients = inOrder(
        ClientRoot(parseRoot(each.root), each.address, each.mac) for each in tftp.client
    )
    return NameSettings(
        backslashes=tftp.backslashes,
        case=tftp.case,
        rules=RuleSet(tuple(each.compiled() for each in (*tables, *tftp.rule))),
        roots=(*clients, *(ClientRoot(parseRoot(each)) for each in tftp.client_roots)),
    )
