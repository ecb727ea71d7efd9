"""
An FTP server with a command of its own: SITE LINES counts the lines of a file.
python embed_site_command.py FOLDER [PORT]
"""

import sys
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed

from filehub.accounts.policy import PathRule
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord, AccountTable
from filehub.paths import ROOT
from filehub.permissions import EVERYTHING
from filehub.protocols.ftp.replies import reply
from filehub.protocols.ftp.server import FTPFactory
from filehub.protocols.ftp.session import FTPSession
from filehub.protocols.ftp.settings import FTPSettings, SiteCommand
from filehub.protocols.ftp.wire import Reply
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import FileWorkers

reactor: Any = installed
folder, port = [*sys.argv[1:], "2121"][:2]


async def countLines(session: FTPSession, argument: str) -> Reply:
    """What goes wrong with the file, its permissions included, is answered for us."""
    if not argument:
        return reply(501, "SITE LINES path")
    lines = offset = 0
    handle = await session.fileSystem.openForReading(session.path(argument))
    try:
        while data := await handle.readAt(offset, 1 << 20):
            lines += data.count(b"\n")
            offset += len(data)
    finally:
        await handle.close()
    return reply(200, f"{lines} lines")


author = AccountRecord("ada", rules=(PathRule(ROOT, EVERYTHING),))
realm = FileHubRealm(AccountTable([author]), {ROOT: LocalTree(folder, FileWorkers(reactor))})
users = InMemoryUsernamePasswordDatabaseDontUse(ada=b"lovelace")  # the application's own
settings = FTPSettings(siteCommands={"LINES": SiteCommand("SITE LINES path", countLines)})
ftp = FTPFactory(reactor, Portal(realm, [users]), settings)

reactor.listenTCP(int(port), ftp, interface="127.0.0.1")
reactor.run()
