"""FTP: RFC 959 and what came after it."""
