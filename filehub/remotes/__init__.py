"""
Other people's servers, and ours, from the client's side: one interface over FTP,
FTPS, TFTP, RFC 913 and local files, for the C{filehub} command and for programs.
"""
