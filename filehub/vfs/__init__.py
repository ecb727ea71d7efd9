"""Storage: trees of files behind L{IFileSystem}."""
