"""
LANG (RFC 2640 section 4): replies in the client's language.

Commands answer in English.  A session that has chosen another language has its replies
looked up on their way out; all others pay nothing.  What programs read, such as
addresses, times and features, is in no catalogue and stays as it is.

A language is a module of data like L{german} and a line in L{LANGUAGES}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from filehub.protocols.ftp import german, replies
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: What replies are written in.
ENGLISH: Final = "EN"

#: Replies that programs take apart: what they are looking for must not look like a text.
_FOR_PROGRAMS: Final = frozenset((213, 215, 227, 229, 251, 252))

#: RFC 3066: a primary part and others behind it.
_TAG: Final = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,8}")

_NO_TAG: Final = replies.reply(501, "That is no language tag.")
_UNKNOWN: Final = replies.reply(504, "That language is not spoken here.")


class Template:
    """
    A text with holes, C{{}}, in it.

    Not a regular expression: paths of clients are long, and with several holes one could
    take its time in proportion to the square of that.
    """

    __slots__ = ("_first", "_inner", "_last", "_target")

    def __init__(self, source: str, target: str) -> None:
        self._first, *self._inner, self._last = source.split("{}")
        self._target = target

    def apply(self, text: str) -> str | None:
        """The target with what is in the holes of C{text}, if that is such a text."""
        start, end = len(self._first), len(text) - len(self._last)
        if start > end or not (text.startswith(self._first) and text.endswith(self._last)):
            return None
        found = []
        for piece in self._inner:
            index = text.find(piece, start, end)
            if index < 0:
                return None
            found.append(text[start:index])
            start = index + len(piece)
        return self._target.format(*found, text[start:end])


class Language:
    """
    A catalogue.

    @ivar tag: its name, in capital letters.
    """

    def __init__(self, tag: str, texts: Mapping[str, str], clauses: Mapping[str, str]) -> None:
        """
        @param texts: whole lines.
        @param clauses: what errors say; see L{replies.failure}.
        """
        self.tag = tag
        self._texts = {key: text for key, text in texts.items() if "{}" not in key}
        self._clauses = {key: text for key, text in clauses.items() if "{}" not in key}
        self._templates = _templates(texts)
        self._clauseTemplates = _templates(clauses)

    def translate(self, text: str) -> str:
        """The line in this language, as far as it is known."""
        known = self._texts.get(text)
        if known is not None:
            return known
        path, colon, clause = text.rpartition(": ")
        if path.startswith("/") and clause in self._clauses:
            return f"{path}{colon}{self._clauses[clause]}"
        lower = text[:1].lower() + text[1:]
        known = self._clauses.get(lower) or self._clauses.get(text)
        known = known or _applied(self._clauseTemplates, lower)
        if known is not None:
            return known[:1].upper() + known[1:]
        return _applied(self._templates, text) or text


def _templates(texts: Mapping[str, str]) -> list[Template]:
    """The more is given, the sooner it is tried."""
    ordered = sorted((key for key in texts if "{}" in key), key=len, reverse=True)
    return [Template(key, texts[key]) for key in ordered]


def _applied(templates: Iterable[Template], text: str) -> str | None:
    for template in templates:
        found = template.apply(text)
        if found is not None:
            return found
    return None


def translated(reply: Reply, language: Language) -> Reply:
    """The reply with its first and its last line in this language."""
    code, lines = reply
    if code in _FOR_PROGRAMS:
        return reply
    first = language.translate(lines[0])
    if len(lines) == 1:
        return Reply(code, (first,))
    return Reply(code, (first, *lines[1:-1], language.translate(lines[-1])))


#: By their primary tag.
LANGUAGES: Final = {"DE": Language("DE", german.REPLIES, german.CLAUSES)}


def languageFeature(session: FTPSession) -> str:
    """The line of FEAT, with a star at the current language."""
    current = ENGLISH if session.language is None else session.language.tag
    tags = [ENGLISH, *LANGUAGES]
    return "LANG " + ";".join([f"{tag}*" if tag == current else tag for tag in tags])


async def LANG(session: FTPSession, argument: str) -> Reply:
    """
    Choose a language; without one, English again.  Of a tag with several parts the first
    one counts.
    """
    tag = argument.strip().upper()
    if tag and not _TAG.fullmatch(tag):
        return _NO_TAG
    primary = tag.partition("-")[0]
    if primary in ("", ENGLISH):
        session.language = None
    elif primary in LANGUAGES:
        session.language = LANGUAGES[primary]
    else:
        return _UNKNOWN
    return replies.reply(200, f"Language is {primary or ENGLISH}.")


VERBS: Final = {"LANG": LANG}
