"""
A web site whose authors upload by FTP and whose devices fetch by TFTP: one application,
one portal.  python embed_ftp_tftp.py FOLDER [WEB-PORT FTP-PORT TFTP-PORT]
"""

import sys
from ipaddress import ip_network
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor as installed
from twisted.web import server, static

from filehub.accounts.checkers import NetworkChecker
from filehub.accounts.policy import PathRule
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord, AccountTable, NetworkRecord
from filehub.paths import ROOT
from filehub.permissions import EVERYTHING, READ_ONLY
from filehub.protocols.ftp.server import FTPFactory
from filehub.protocols.tftp.server import TFTPService
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import FileWorkers

reactor: Any = installed
folder, web, ftp, tftp = [*sys.argv[1:], "8080", "2121", "6969"][:4]

author = AccountRecord("ada", rules=(PathRule(ROOT, EVERYTHING),))
device = AccountRecord("device", rules=(PathRule(ROOT, READ_ONLY),))
devices = NetworkRecord(ip_network("127.0.0.0/8"), "device", frozenset({"tftp"}))
tree = LocalTree(folder, FileWorkers(reactor))
realm = FileHubRealm(AccountTable([author, device]), {ROOT: tree})
users = InMemoryUsernamePasswordDatabaseDontUse(ada=b"lovelace")  # the application's own
portal = Portal(realm, [users, NetworkChecker([devices], "tftp")])
site = server.Site(static.File(folder))  # type: ignore[no-untyped-call]

reactor.listenTCP(int(web), site, interface="127.0.0.1")
reactor.listenTCP(int(ftp), FTPFactory(reactor, portal), interface="127.0.0.1")
TFTPService(reactor, portal, f"udp:{tftp}:interface=127.0.0.1").startService()
reactor.run()
