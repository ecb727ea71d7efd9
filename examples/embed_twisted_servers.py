"""
Twisted's own FTP server with FileHub's accounts, rules and storage behind it.
python embed_twisted_servers.py FOLDER [PORT]

For SFTP give conch's SSHFactory the same portal, after importing filehub.embedding.sftp.
"""

import sys
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed
from twisted.protocols import ftp

import filehub.embedding.ftpshell  # noqa: F401 - accounts are IFTPShells from now on
from filehub.accounts.policy import PathRule
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord, AccountTable
from filehub.paths import ROOT
from filehub.permissions import EVERYTHING
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import FileWorkers

reactor: Any = installed
folder, port = [*sys.argv[1:], "2121"][:2]

author = AccountRecord("ada", rules=(PathRule(ROOT, EVERYTHING),))
realm = FileHubRealm(AccountTable([author]), {ROOT: LocalTree(folder, FileWorkers(reactor))})
users: Any = InMemoryUsernamePasswordDatabaseDontUse()
users.addUser("ada", "lovelace")  # this server asks with text
newFactory: Any = ftp.FTPFactory
server = newFactory(Portal(realm, [users]))

reactor.listenTCP(int(port), server, interface="127.0.0.1")
reactor.run()
