"""
The map files of tftp-hpa (C{in.tftpd --map-file}), read as rules of our own.

Each line has an operation (letters), a regular expression and, for replacements and
jumps, one more word; C{#} begins a comment, a backslash takes white space and C{#}
literally; C{:label} names the next rule.
"""

from __future__ import annotations

import re
from typing import Any, Final

from filehub.errors import ConfigurationError

#: A word: characters that are no white space and begin no comment, or escaped.
_WORD: Final = re.compile(r"(?:\\.|[^\s#\\])+")
_OPERATION: Final = re.compile(r"[rgieEsajGP46~]+")
#: A backslash and what follows, in a replacement.
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
#: What the C library's expressions have besides the standard.
_FOREIGN: Final = re.compile(r"(?:[^\\]|^)(?:\\\\)*(\\[<>`'])")

_THEN: Final = {"e": "stop", "E": "found", "s": "restart", "a": "deny", "j": "jump"}


def rulesOf(text: str) -> list[dict[str, Any]]:
    """
    The tables C{[[tftp.rule]]} that mean what the map file means, as keys and values.

    @raise ConfigurationError: a line that cannot be understood; says which.
    """
    found: list[dict[str, Any]] = []
    label = ""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            words = _words(line)
            if not words:
                continue
            if words[0].startswith(":"):
                label = _label(words, label)
                continue
            rule = _rule(words)
        except ConfigurationError as error:
            raise ConfigurationError(f"line {number}: {error}") from None
        if label:
            rule["label"] = label
            label = ""
        found.append(rule)
    if label:
        # A jump to the end: there is a rule that does nothing.
        found.append({"match": "^", "then": "stop", "label": label})
    return found


def _words(line: str) -> list[str]:
    words: list[str] = []
    at = 0
    while True:
        while line[at : at + 1].isspace():
            at += 1
        if line[at : at + 1] in ("", "#"):
            return words
        word = _WORD.match(line, at)
        if word is None:
            raise ConfigurationError("found a backslash at the end")
        words.append(word[0])
        at = word.end()


def _label(words: list[str], pending: str) -> str:
    if len(words) != 1 or len(words[0]) < 2:
        raise ConfigurationError("found more than a label, expected :label alone")
    if pending:
        raise ConfigurationError(f"found a second label after :{pending}, expected a rule")
    return words[0][1:]


def _rule(words: list[str]) -> dict[str, Any]:
    operation = words[0]
    if not _OPERATION.fullmatch(operation):
        raise ConfigurationError(
            f"found operation {operation!r}, expected letters of rgieEsajGP46~"
        )
    if len(words) < 2:
        raise ConfigurationError("found no regular expression")
    if len(words) > 3:
        raise ConfigurationError(rf"found {words[3]!r} as well; white space is written \ ")
    foreign = _FOREIGN.search(words[1])
    if foreign is not None:
        raise ConfigurationError(f"found {foreign[1]}, which is not in POSIX expressions")
    rule: dict[str, Any] = {"match": words[1]}
    last = words[2] if len(words) > 2 else ""
    if "i" in operation:
        rule["ignore_case"] = True
    if "~" in operation:
        rule["unless"] = True
    if "r" in operation:
        rule["replace"] = _replacement(last)
        if "g" in operation:
            rule["repeat"] = "rest" if "gg" in operation else "again"
    endings = [_THEN[each] for each in operation if each in _THEN]
    if len(set(endings)) > 1:
        raise ConfigurationError(f"found {operation!r}, expected one of e, E, s, a, j at most")
    if endings:
        rule["then"] = endings[0]
    if "j" in operation:
        rule["target"] = last.removeprefix(":")
    elif "a" in operation and last:
        rule["message"] = re.sub(r"\\(.)", r"\1", last)
    verbs = [verb for letter, verb in (("G", "get"), ("P", "put")) if letter in operation]
    if len(verbs) == 1:
        rule["verbs"] = verbs
    families = [name for letter, name in (("4", "ipv4"), ("6", "ipv6")) if letter in operation]
    if len(families) == 1:
        rule["family"] = families[0]
    return rule


def _replacement(text: str) -> str:
    def translated(found: re.Match[str]) -> str:
        letter = found[1]
        if letter in "0123456789ULE":
            return f"\\{letter}"
        if letter in "ix":
            return r"\ip" if letter == "i" else r"\hex"
        return letter if letter.isalnum() else f"\\{letter}"

    return _ESCAPE.sub(translated, text)


def asTOML(rules: list[dict[str, Any]]) -> str:
    """The same as text for the configuration file."""
    return "\n".join(
        "[[tftp.rule]]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in rule.items())
        for rule in rules
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if "'" not in value and value.isprintable():
        return f"'{value}'"
    escaped = "".join(
        f"\\{each}" if each in '"\\' else each if each.isprintable() else f"\\U{ord(each):08x}"
        for each in value
    )
    return f'"{escaped}"'
