"""Tests of L{filehub.embedding}."""
