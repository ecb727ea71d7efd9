"""Simple File Transfer Protocol, RFC 913.  Not SSH's SFTP."""
