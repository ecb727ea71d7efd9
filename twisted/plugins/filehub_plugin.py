"""
Tells C{twistd} and C{twist} that there is a C{filehub} command.  It only names the
module that makes the service, so that listing plug-ins imports none of FileHub.
"""

from twisted.application.service import ServiceMaker

filehub = ServiceMaker(  # type: ignore[no-untyped-call]
    "FileHub",
    "filehub.tap",
    "Serve files over FTP, TFTP and RFC 913 with one account system.",
    "filehub",
)
