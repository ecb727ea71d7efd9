"""The C{filehub} command."""
