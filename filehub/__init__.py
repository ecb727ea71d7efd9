"""
FileHub: one account system, one permission check, and every classic file
transfer protocol in front of it.

The folder listing is the architecture.  Each layer may import those above it
in this list, never those below:

    errors, paths, permissions, attributes, credentials, events, deadlines,
    interfaces, handles, views, usage, logins, promises, networks, uncounted
                 the vocabulary; L{filehub.interfaces} is THE file to read first
    vfs          storage: local, memory, mount table
    accounts     who may do what: portal, realm, policy, guard
    transfer     the only loops that move file bytes
    protocols    ftp, tftp, rfc913; they see the vocabulary and C{transfer}
    remotes      other servers and local files, from the client's side
    service, registry, observers, certificates, config, tap, cli
                 putting it together
"""

__version__ = "0.1.0"
