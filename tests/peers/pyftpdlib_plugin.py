"""
For pytest, in the process that runs pyftpdlib's tests: what they take for their own
server is a FileHub that runs already.  Whatever sets an option of their server or looks
inside it skips its test.
"""

import os
import unittest
from pathlib import Path
from typing import Any

import pytest

PORT = int(os.environ["FILEHUB_PORT"])
ROOT = Path.cwd()


class Inside:
    """Something of their server that FileHub does not have."""

    def __init__(self, what: str) -> None:
        self.__dict__["what"] = what

    def __getattr__(self, name: str) -> Any:
        if name == "proto_cmds":
            from pyftpdlib.handlers import FTPHandler

            return FTPHandler.proto_cmds
        return Inside(f"{self.what}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise unittest.SkipTest(f"sets {self.what}.{name} of pyftpdlib's server")

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise unittest.SkipTest(f"calls {self.what} of pyftpdlib's server")

    def __enter__(self) -> None:
        raise unittest.SkipTest(f"uses {self.what} of pyftpdlib's server")

    def __exit__(self, *_: object) -> None: ...


class Served:
    """In the place of their server."""

    def __init__(self, address: Any = None) -> None:
        host = (address or ("127.0.0.1", 0))[0]
        self.host = {"::": "::1", "": "127.0.0.1"}.get(host, host)
        self.port = PORT
        self.handler = Inside("handler")
        self.server = Inside("server")
        self.lock = Inside("lock")

    def start(self) -> None: ...

    def stop(self) -> None: ...


def lookInside(*_: Any) -> Any:
    raise unittest.SkipTest("looks for a session inside of pyftpdlib's server")


def raises(error: Any, *arguments: Any, match: str | None = None, **keywords: Any) -> Any:
    """C{pytest.raises}, but of the text of a reply only the code counts."""
    code = match[:3] if match is not None and match[:3].isdigit() else None
    return _raises(error, *arguments, match=code, **keywords)


_raises = pytest.raises


def pytest_configure(config: Any) -> None:
    """Before their modules are imported."""
    import theirs

    pytest.raises = raises
    theirs.FtpdThreadWrapper = theirs.FtpdMultiprocWrapper = Served
    theirs.get_server_handler = lookInside


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Any) -> None:
    """
    Their FTPS server is made of ours; it needs no option of theirs.  Classes that one
    module imports from the other run once.
    """
    items[:] = [item for item in items if item.cls.__module__ == item.module.__name__]
    for item in items:
        server = getattr(item.cls, "server_class", None)
        if server is not None and server is not Served:
            item.cls.server_class = Served


@pytest.fixture(autouse=True)
def emptyFolder() -> Any:
    """What a test leaves behind is not the next one's."""
    yield
    for each in ROOT.iterdir():
        if each.is_file() or each.is_symlink():
            each.unlink()
