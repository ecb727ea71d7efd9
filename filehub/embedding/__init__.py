"""
Accounts behind other servers: Twisted's own FTP server, and conch's SFTP.

Importing L{filehub.embedding.ftpshell} or L{filehub.embedding.sftp} (which needs
C{filehub[ssh]}) is enough for a L{FileHubRealm<filehub.accounts.realm.FileHubRealm>} to
answer those servers' requests for C{IFTPShell}, C{IConchUser} and C{ISFTPServer}.
"""
