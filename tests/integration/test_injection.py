"""
What clients say must not become replies, log lines or programs: rows T-I1 to T-I5 of
C{docs/reliability-rows.rst}.
"""

import contextlib
import os
import re
import time

from tests.integration.harness import IntegrationTestCase, Site
from tests.integration.rawftp import RawFTP
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RRQ, RawTFTP, request

MARK = "2026-01-01T00:00:00+0000 [forged] login ok"


class ReplyTests(IntegrationTestCase):
    """L{RawFTP.reply} itself refuses replies with control bytes or a stray code in them."""

    def test_lineFeeds(self) -> None:
        """T-I1: a bare LF or CR in an argument never starts a line of a reply."""
        hostile = [b"x\n230 injected", b"x\r230 injected", b"x\r\0230 injected", b"x\x1b[2J",
                   b"\x07bell", b"tab\tbed", b"\x7f", b"\x9b31m"]  # fmt: skip
        verbs = (b"USER", b"PASS", b"ACCT", b"CLNT", b"HELP", b"OPTS", b"SITE", b"XYZZY", b"")
        for text in hostile:
            for verb in verbs:
                with RawFTP(self.site.ftp) as ftp:
                    ftp.send(verb + b" " + text + b"\r\nQUIT\r\n")
                    codes = []
                    with contextlib.suppress(EOFError, ConnectionError):
                        while True:
                            codes.append(ftp.reply().code)
                # A server may take a bare LF for the end of a line: a reply more, which
                # is about an unknown command.
                self.assertLessEqual(len(codes), 3, (verb, text))
                self.assertFalse({230, 220} & set(codes), (verb, text, codes))

    def test_names(self) -> None:
        """T-I1: names with control bytes are refused; such as exist are shown as one entry."""
        (self.work / "a\rb\x1b[2J").write_bytes(b"")
        (self.work / "c\nd").write_bytes(b"")
        (self.work / "plain").write_bytes(b"")
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.expect(250, f"CWD {self.virtual}")
            for name in (b"x\ry", b"x\x1b[2J", b"x\x01", b"x\x7f"):
                self.assertIn(ftp.command(b"MKD " + name).code, (501, 553), name)
            for verb in ("LIST", "NLST", "MLSD"):
                shown = ftp.retrieve(verb)
                self.assertNotIn(b"\x1b", shown)
                lines = shown.removesuffix(b"\r\n").split(b"\r\n")
                self.assertNotIn(b"\n", b"".join(lines))
                self.assertNotIn(b"\r", b"".join(lines))
                lines = [line for line in lines if not line.endswith((b" .", b" .."))]
                self.assertLessEqual(len(lines), 3)
                self.assertEqual(sum(line.endswith(b"plain") for line in lines), 1)
        with RawRFC913(self.site.rfc913).login() as client:
            for how in ("F", "V"):
                lines = client.command(f"LIST {how} {self.virtual}").split(b"\r\n")
                self.assertLessEqual(len(lines), 5)
                self.assertNotIn(b"\x1b", b"".join(lines))

    def test_quotes(self) -> None:
        """A quote in a path is doubled in 257."""
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.expect(250, f"CWD {self.virtual}")
            self.assertTrue(ftp.expect(257, 'MKD a"b').startswith(f'257 "{self.virtual}/a""b"'))
            ftp.expect(250, 'CWD a"b')
            self.assertTrue(ftp.expect(257, "PWD").startswith(f'257 "{self.virtual}/a""b"'))

    def test_realPaths(self) -> None:
        """T-I5: no reply of any protocol names a real path, a class or a line of code."""
        seen = b""
        (self.work / "folder").mkdir()
        (self.work / "link").symlink_to("/etc/passwd")
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.expect(250, f"CWD {self.virtual}")
            for line in ("PWD", "STAT", "STAT .", "STAT none", "HELP", "FEAT", "SYST", "DELE none",
                         "RMD none", "MLST folder", "MLST link", "SIZE link", "CWD link",
                         "MKD folder", "RNTO x", "REST x", "SITE HELP", "SITE CHMOD 1 none",
                         "MDTM none", "ALLO x", "TYPE X", "STRU R", "MODE B", "XYZZY"):  # fmt: skip
                seen += ftp.command(line).raw
            for line in ("RETR none", "RETR folder", "STOR folder", "LIST none", "LIST"):
                with ftp.passive() as data:
                    reply = ftp.command(line)
                    seen += reply.raw
                    if reply.code < 200:
                        seen += data.recv(1 << 16) + ftp.final().raw
        with RawTFTP(self.site.tftp) as tftp:
            seen += tftp.ask(request(RRQ, self.virtual.encode() + b"/none"))
            seen += tftp.ask(request(RRQ, self.virtual.encode() + b"/link"))
        with RawRFC913(self.site.rfc913).login() as client:
            for line in ("RETR", "CDIR", "KILL", "NAME", "LIST F", "STOR OLD"):
                seen += client.command(f"{line} {self.virtual}/none/none")
        for forbidden in (self.site.root, self.site.folder, os.path.expanduser("~")):
            if str(forbidden) != "/":
                self.assertNotIn(os.fsencode(str(forbidden)), seen)
        self.assertIsNone(re.search(rb"Traceback|Error\b.*line|errno|\.py|Errno", seen))


class BannerTests(IntegrationTestCase):
    """What the operator writes stays inside of its reply too."""

    def makeSite(self) -> Site:
        return self.newSite(ftp='banner = "hello\\n230 ok\\n220-more\\n220 end"')

    def test_banner(self) -> None:
        """T-I2: lines of a banner that look like replies are indented."""
        with RawFTP(self.site.ftp) as ftp:
            self.assertEqual(ftp.greeting.code, 220)
            lines = str(ftp.greeting).split("\r\n")
            self.assertIn("230 ok", " ".join(lines))
            for line in lines[1:-1]:
                self.assertFalse(re.match(r"\d{3}", line), line)
            self.assertEqual(ftp.command("NOOP").code, 200)


class LogTests(IntegrationTestCase):
    """What clients say, in the log."""

    def makeSite(self) -> Site:
        return self.newSite(log='level = "debug"', ban="delay = 0")

    def test_forgedLines(self) -> None:
        """
        T-I3: a new line, escape sequences and right-to-left marks in names that clients
        say make no line of their own and reach no terminal.
        """
        for text in (f"x\n{MARK}", f"x\r{MARK}", "x\x1b]0;title\x07", "x\u202etxt.exe", "x\x9bm",
                     "x\u2028" + MARK, "x\x85" + MARK):  # fmt: skip
            raw = text.encode()
            with RawFTP(self.site.ftp) as ftp:
                ftp.send(b"USER " + raw + b"\r\nPASS x\r\nCLNT " + raw + b"\r\n" + raw + b"\r\n")
                ftp.send(b"QUIT\r\n")
                ftp.ended()
            with RawFTP(self.site.ftp).login() as ftp:
                ftp.send(b"SIZE " + raw + b"\r\nMKD " + raw + b"\r\nRMD " + raw + b"\r\nQUIT\r\n")
                ftp.ended()
            with RawTFTP(self.site.tftp) as tftp:
                tftp.socket.sendto(request(RRQ, b"/" + raw), tftp.server)
                tftp.silent(0.05)
            with RawRFC913(self.site.rfc913).login() as client:
                client.command(b"RETR /" + raw)
                client.command(b"STOR NEW /" + raw)
        time.sleep(0.2)
        log = self.site.daemon.logFile.read_bytes()
        for line in log.split(b"\n"):
            self.assertFalse(line.startswith(MARK.encode()), line)
            text = line.decode()
            self.assertIsNone(
                re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]", text)
            )

    def test_formats(self) -> None:
        """T-I4: braces and percent signs that clients say are not evaluated."""
        self.site.daemon.trouble()
        for text in ("{log_source.x}", "{session.secret} {x()}", "{0}", "{", "%s%n%(x)s"):
            with RawFTP(self.site.ftp) as ftp:
                ftp.send(f"USER {text}\r\nPASS {text}\r\n{text}\r\nCLNT {text}\r\nQUIT\r\n")
                ftp.ended()
            with RawTFTP(self.site.tftp) as tftp:
                tftp.ask(request(RRQ, b"/" + text.encode()))
        time.sleep(0.1)
        log = self.site.daemon.log()
        self.assertNotIn("Unable to format", log)
        self.assertNotIn("<bound method", log)

    def test_passwords(self) -> None:
        """A password is in no line of the log, whatever went wrong with it."""
        secret = "tell-nobody-this"
        with RawFTP(self.site.ftp) as ftp:
            for line in (f"PASS {secret}", "USER ada", f"pass {secret}", f"PASS  {secret}",
                         f"ACCT {secret}", "USER ada", f"PASS {secret}x"):  # fmt: skip
                ftp.send(line + "\r\n")
            ftp.send("PASS " + secret * 1000 + "\r\nQUIT\r\n")
            ftp.ended()
        with RawRFC913(self.site.rfc913) as client:
            for line in (f"PASS {secret}", "USER ada", f"PASS {secret}"):
                client.command(line)
        time.sleep(0.1)
        self.assertNotIn(secret, self.site.daemon.log())
