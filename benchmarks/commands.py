"""
C{python -m benchmarks.commands}: what is not bytes costs most: logins, small files,
replies.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.clients import FTP
from benchmarks.report import main
from benchmarks.servers import Server, ftpServers

LOGINS = 300
FILES = 1500
REPLIES = 20_000
SIZE = 4096


def prepare(root: Path) -> None:
    (root / "small").write_bytes(bytes(SIZE))


def login(server: Server) -> float:
    for _ in range(LOGINS):
        with FTP(server.port) as session:
            session.login().say("QUIT", b"221")
    return LOGINS


def download(server: Server) -> float:
    with FTP(server.port) as session:
        session.login()
        for _ in range(FILES):
            assert session.retrieve("RETR small") == SIZE
    return FILES


def upload(server: Server) -> float:
    with FTP(server.port) as session:
        session.login()
        for number in range(FILES):
            session.store(f"STOR new{number}", bytes(SIZE))
    assert len(list(server.root.glob("new*"))) == FILES
    return FILES


def replies(server: Server) -> float:
    with FTP(server.port) as session:
        session.login()
        for _ in range(REPLIES):
            session.say("NOOP", b"200")
    return REPLIES


if __name__ == "__main__":
    main(
        "Commands: logins, files of 4 KiB over PASV, NOOP",
        ftpServers(),
        prepare,
        [
            ("login", login, ""),
            ("download", download, "file"),
            ("upload", upload, "file"),
            ("noop", replies, ""),
        ],
    )
