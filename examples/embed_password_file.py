"""
An FTP server whose users are in a file of name:hash lines, as htpasswd -B writes it, that
one of Twisted's own checkers reads.  python embed_password_file.py FILE FOLDER [FTP-PORT]
"""

import sys
from typing import Any

from twisted.cred.checkers import FilePasswordDB
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed

from filehub.accounts.hashes import verifyHash
from filehub.accounts.policy import PathRule
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord
from filehub.accounts.throttle import ThrottledPortal
from filehub.paths import ROOT
from filehub.permissions import READ_ONLY
from filehub.protocols.ftp.server import FTPFactory
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import FileWorkers

reactor: Any = installed
file, folder, ftp = [*sys.argv[1:], "2121"][:3]


class Readers:
    """Whoever the checker lets in may read: the file knows no rights."""

    async def find(self, name: str) -> AccountRecord:
        return AccountRecord(name, rules=(PathRule(ROOT, READ_ONLY),))

    async def findAnonymous(self) -> None:
        return None


def compared(name: bytes, password: bytes, stored: bytes) -> bytes:
    return stored if verifyHash(stored.decode(), password) else b""


users = FilePasswordDB(file, hash=compared)  # type: ignore[no-untyped-call]
realm = FileHubRealm(Readers(), {ROOT: LocalTree(folder, FileWorkers(reactor))})
portal = ThrottledPortal(Portal(realm, [users]), reactor)
reactor.listenTCP(int(ftp), FTPFactory(reactor, portal), interface="127.0.0.1")
reactor.run()
