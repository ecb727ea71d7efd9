"""
Completion for C{filehub sh}: commands, remote names and local ones.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable
from typing import Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from filehub.cli.shellcommands import COMMANDS, LOCAL

#: What the shell's quoting would take for something else.
_SPECIAL: Final = frozenset(" \t\\'\"#")
#: More names than anybody looks at.
_MAXIMUM: Final = 2000

#: A directory's names, directories with a slash behind.
Lister = Callable[[str], Iterable[str]]


def lastWord(text: str) -> tuple[int, str]:
    """
    The word that a line ends with, without its quoting, and how many characters it is
    written in.
    """
    word, start, quote, escaped = "", 0, "", False
    for index, letter in enumerate(text):
        if escaped:
            word += letter
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in "'\"":
            quote = letter
        elif letter.isspace():
            word, start = "", index + 1
        else:
            word += letter
    return len(text) - start, word


def quoted(name: str) -> str:
    """A name as it is written on the shell's line."""
    return "".join(f"\\{each}" if each in _SPECIAL else each for each in name)


def localNames(directory: str) -> list[str]:
    """The names in a local directory; none if it cannot be read."""
    try:
        with os.scandir(os.path.expanduser(directory) or ".") as found:
            return [each.name + ("/" if each.is_dir() else "") for each in found]
    except OSError:
        return []


class ShellCompleter(Completer):
    """
    Completes the word before the cursor.
    """

    def __init__(self, remoteNames: Lister) -> None:
        """
        @param remoteNames: called in a thread of the prompt; may take its time.
        """
        self._remoteNames = remoteNames

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """See L{Completer.get_completions}."""
        text = document.text_before_cursor.lstrip()
        length, word = lastWord(text)
        before = text[: len(text) - length].split()
        if not before:
            yield from self._matching(sorted(COMMANDS), word, "", length, " ")
            return
        local = before[0] in LOCAL
        if before[0] in ("put", "get") and sum(not each.startswith("-") for each in before) > 1:
            local = not local
        if before[0] not in COMMANDS or word.startswith("-"):
            return
        directory, name = posixpath.split(word)
        if directory and not directory.endswith("/"):
            directory += "/"
        names = localNames(directory) if local else self._remoteNames(directory)
        yield from self._matching(sorted(names), name, directory, length, "")

    def _matching(
        self, names: list[str], begin: str, directory: str, length: int, end: str
    ) -> Iterable[Completion]:
        count = 0
        for name in names:
            hidden = name.startswith(".") and not begin
            if name.startswith(begin) and not hidden and count < _MAXIMUM:
                count += 1
                yield Completion(quoted(directory + name) + end, -length, display=name)
