"""The protocols.  Each sees the vocabulary and C{filehub.transfer}, never another protocol."""
