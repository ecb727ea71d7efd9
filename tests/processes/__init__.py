"""Tests of L{filehub.processes}."""
