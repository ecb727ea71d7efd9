"""
Lines that arrive whole, whatever becomes of the file.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from filehub import logfile
from filehub.errors import ConfigurationError
from filehub.logfile import LineFile


class LineFileTests(SynchronousTestCase):
    """L{LineFile}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "log"
        self.records: list[Any] = []
        self.patch(LineFile, "_log", Logger("x", observer=self.records.append))
        self.file = LineFile(self.path)
        self.addCleanup(self.file.close)

    def test_lines(self) -> None:
        """A line is there as soon as it is written; what UTF-8 cannot say is escaped."""
        self.file.writeLine("one")
        self.assertEqual(self.path.read_bytes(), b"one\n")
        self.file.writeLine("tw\xf6 \udcff")
        self.assertEqual(self.path.read_bytes(), b"one\ntw\xc3\xb6 \\udcff\n")

    def test_mode(self) -> None:
        """Not everybody may read a log."""
        self.assertEqual(self.path.stat().st_mode & 0o007, 0)

    def test_renamed(self) -> None:
        """After a rotation a new file is begun, and the old one is left alone."""
        self.file.writeLine("one")
        os.rename(self.path, self.folder / "log.1")
        self.file.writeLine("two")
        self.assertEqual((self.folder / "log.1").read_text(), "one\n")
        self.assertEqual(self.path.read_text(), "two\n")

    def test_replaced(self) -> None:
        """So it is if the rotation makes the new file itself; nothing stays open."""
        before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
        for number in range(20):
            os.rename(self.path, self.folder / f"log.{number}")
            self.path.touch()
            self.file.writeLine(str(number))
            self.assertEqual(self.path.read_text(), f"{number}\n")
        if before:
            self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))

    def test_truncated(self) -> None:
        """Rotation by copy and truncation works: lines go to the end, wherever that is."""
        self.file.writeLine("a" * 100)
        os.truncate(self.path, 0)
        self.file.writeLine("two")
        self.assertEqual(self.path.read_text(), "two\n")

    def test_changedFolder(self) -> None:
        """A daemon that changes its folder writes to the same file."""
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder)
        file = LineFile(Path("relative"))
        self.addCleanup(file.close)
        os.chdir("/")
        os.rename(self.folder / "relative", self.folder / "old")
        file.writeLine("here")
        self.assertEqual((self.folder / "relative").read_text(), "here\n")

    def test_noNewFile(self) -> None:
        """Where a new file cannot be made the old one serves on."""

        def refuse(*arguments: Any) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        os.rename(self.path, self.folder / "log.1")
        self.patch(logfile.os, "open", refuse)
        self.file.writeLine("still here")
        self.assertEqual((self.folder / "log.1").read_text(), "still here\n")
        self.assertEqual(self.file.lost, 0)

    def test_recovery(self) -> None:
        """
        Lines that find no room are counted; the first is complained of, and how many were
        lost is said when there is room again.
        """
        write = os.write

        def full(descriptor: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        self.patch(logfile.os, "write", full)
        for _ in range(3):
            self.file.writeLine("lost")
        self.assertEqual(self.file.lost, 3)
        self.assertEqual(len(self.records), 1)
        self.patch(logfile.os, "write", write)
        self.file.writeLine("back")
        self.assertEqual(self.path.read_text(), "back\n")
        self.assertEqual((self.file.lost, self.records[1]["lost"]), (0, 3))

    def test_aboutItself(self) -> None:
        """The log that is full may be the one that complaints go to."""

        def full(descriptor: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def observer(record: Any) -> None:
            self.file.writeLine(record["log_format"])

        self.patch(LineFile, "_log", Logger("x", observer=observer))
        write = os.write
        self.patch(logfile.os, "write", full)
        self.file.writeLine("lost")
        self.file.writeLine("lost")
        self.assertEqual(self.file.lost, 3)
        self.patch(logfile.os, "write", write)
        self.file.writeLine("back")
        self.assertEqual(self.path.read_text(), "back\n{path}: {lost} lines could not be written\n")

    def test_partial(self) -> None:
        """A write that the kernel cuts short is completed."""
        write = os.write
        self.patch(logfile.os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        self.file.writeLine("abcde")
        self.assertEqual(self.path.read_text(), "abcde\n")

    def test_closed(self) -> None:
        """After the end lines are dropped without a word."""
        self.file.close()
        self.file.close()
        self.file.writeLine("late")
        self.assertEqual((self.path.read_text(), self.records), ("", []))

    def test_cannotBeWritten(self) -> None:
        """A place that cannot be written is a line for the operator."""
        error = self.assertRaises(ConfigurationError, LineFile, self.folder)
        self.assertEqual(str(error), f"{self.folder}: cannot be written: Is a directory")
