"""
L{FTPClient} over loopback against a server that answers by a script: odd replies.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import TestCase

from filehub.errors import (
    ConnectFailed,
    FileHubError,
    PeerGone,
    ProtectionRequired,
    Stalled,
    StorageUnavailable,
)
from filehub.protocols.ftp import client as client_module
from filehub.protocols.ftp.client import FTPClient, Refused
from filehub.protocols.ftp.fxp import copyDirectly
from filehub.protocols.ftp.reply_parser import NotFTP
from filehub.remotes.ftp import translated
from filehub.remotes.local import LocalWriteHandle


class Scripted(LineReceiver):
    """Says what its factory's table has for each line."""

    factory: Any

    def connectionMade(self) -> None:
        self.transport.write(self.factory.greeting)

    def lineReceived(self, line: bytes) -> None:
        self.factory.lines.append(line)
        answer = self.factory.answers.get(line, self.factory.answers.get(line.split()[0]))
        if answer is None:
            self.transport.loseConnection()
        else:
            self.transport.write(answer)
            if answer.startswith(b"234"):
                # What follows is TLS, where the octets of a line end mean nothing.
                self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        pass


class ScriptedTestCase(TestCase):
    """Makes a client of a scripted server."""

    timeout = 20

    async def connect(self, answers: dict[bytes, bytes], greeting: bytes = b"220 hi\r\n") -> Any:
        client = await FTPClient.connect(reactor, "127.0.0.1", await self.listen(answers, greeting))
        self.addCleanup(client.abort)
        return client

    async def listen(self, answers: dict[bytes, bytes], greeting: bytes = b"220 hi\r\n") -> Any:
        """Returns the port."""
        factory = Factory.forProtocol(Scripted)
        self.lines: list[bytes] = []
        factory.answers, factory.greeting = answers, greeting  # type: ignore[attr-defined]
        factory.lines = self.lines  # type: ignore[attr-defined]
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        return port.getHost().port

    async def raises(self, kind: type[Exception], work: Any) -> Any:
        failed: Any = self.assertFailure(Deferred.fromCoroutine(work), kind)
        return await failed


class Talking(Protocol):
    """A data connection with something to fetch."""

    def connectionMade(self) -> None:
        self.transport.write(b"something")
        self.transport.loseConnection()


class Resetting(Protocol):
    """A data connection that breaks."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()


def full(*_: Any) -> int:
    """C{os.pwrite} to a disk without room."""
    raise OSError(errno.ENOSPC, "no space left")


class ClientTests(ScriptedTestCase):
    """L{FTPClient}"""

    async def transferring(self, protocol: type[Protocol], reply: bytes) -> dict[bytes, bytes]:
        """Answers for transfers over such a data connection."""
        factory: Any = Factory.forProtocol(protocol)
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        passive = b"229 here (|||%d|)\r\n" % port.getHost().port
        return {b"EPSV": passive, b"RETR": reply, b"LIST": reply}

    async def test_greetings(self) -> None:
        """Greetings of several lines and C{120} are waited for; C{421} is a refusal."""
        await self.connect({}, b"220-one\r\n 220 two\r\n220 three\r\n")
        await self.connect({}, b"120 wait\r\n220 now\r\n")
        await self.raises(Refused, self.connect({}, b"421 full\r\n"))

    async def test_notFTP(self) -> None:
        """A server of something else is told apart."""
        await self.raises(NotFTP, self.connect({}, b"SSH-2.0-OpenSSH\r\n"))

    async def test_login(self) -> None:
        """USER, PASS and ACCT are sent as far as they are asked for; features are read."""
        client = await self.connect(
            {
                b"USER": b"331 who\r\n",
                b"PASS": b"332 account\r\n",
                b"ACCT": b"230 in\r\n",
                b"FEAT": b"211-Here\r\n MLST size*;\r\n UTF8\r\n211 End\r\n",
                b"OPTS": b"501 what\r\n",
                b"TYPE": b"200 ok\r\n",
            }
        )
        await client.login("u", "p", "a")
        self.assertEqual(self.lines[:3], [b"USER u", b"PASS p", b"ACCT a"])
        self.assertIn("MLST", client.features)

    async def test_lineBreaks(self) -> None:
        """A name with a line break is never sent: it would be two commands."""
        client = await self.connect({})
        await self.raises(FileHubError, client.removeFile("a\r\nDELE b"))
        self.assertEqual(self.lines, [])

    async def test_quotes(self) -> None:
        """Quotes inside a path are doubled; a PWD without any is not understood."""
        client = await self.connect({b"PWD": b'257 "/a ""b"" c" is here\r\n'})
        self.assertEqual(await client.workingDirectory(), '/a "b" c')
        client = await self.connect({b"PWD": b"257 /a\r\n"})
        await self.raises(NotFTP, client.workingDirectory())

    async def test_passive(self) -> None:
        """Where EPSV is unknown PASV is used; without a port in it there is no way."""
        client = await self.connect({b"EPSV": b"500 what\r\n", b"PASV": b"227 ok\r\n"})
        await self.raises(ConnectFailed, client.list())
        self.assertEqual(self.lines, [b"EPSV", b"PASV"])

    async def test_gone(self) -> None:
        """A server that hangs up is said to be gone."""
        client = await self.connect({})
        await self.raises(PeerGone, client.command("NOOP"))

    async def test_silent(self) -> None:
        """A server that says nothing is waited for only so long."""
        client = await self.connect({b"NOOP": b""})
        await client.send("NOOP")
        await self.raises(Stalled, client.reply(0.2))

    async def test_stalledData(self) -> None:
        """A data connection on which nothing moves is given up, whatever uses it."""
        self.patch(client_module, "STALL_TIMEOUT", 0.2)
        answers = await self.transferring(Protocol, b"150 soon\r\n426 now\r\n")
        client = await self.connect(answers)
        target = LocalWriteHandle(Path(self.mktemp()))
        await self.raises(Stalled, client.retrieve("f", target))
        await self.raises(Stalled, client.list())
        await target.abort()

    async def test_nextReply(self) -> None:
        """What the server says of a broken transfer is not taken for the next reply."""
        answers = await self.transferring(Talking, b"150 soon\r\n226 done\r\n")
        client = await self.connect({**answers, b"NOOP": b"200 this one\r\n"})
        target = LocalWriteHandle(Path(self.mktemp()))
        self.patch(os, "pwrite", full)
        await self.raises(StorageUnavailable, client.retrieve("f", target))
        await target.abort()
        self.assertEqual((await client.command("NOOP")).text, "this one")

    async def test_serversReason(self) -> None:
        """If the server breaks off, its reason is told, and the session goes on."""
        answers = await self.transferring(Resetting, b"150 soon\r\n451 disk on fire\r\n")
        client = await self.connect({**answers, b"NOOP": b"200 this one\r\n"})
        target = LocalWriteHandle(Path(self.mktemp()))
        refusal = await self.raises(Refused, client.retrieve("f", target))
        await target.abort()
        self.assertEqual(refusal.reply.code, 451)
        self.assertEqual((await client.command("NOOP")).text, "this one")

    async def test_silentHandshake(self) -> None:
        """TLS that does not come about is given up, too."""
        connecting = FTPClient.connect(
            reactor, "127.0.0.1", await self.listen({b"AUTH": b"234 go\r\n"}), tls="explicit",
            timeout=1.0,
        )  # fmt: skip
        await self.raises(Stalled, connecting)

    async def test_meanings(self) -> None:
        """What a refusal means is read from its code and its words."""
        client = await self.connect(
            {
                b"DELE a": b"550 a: No such file or directory\r\n",
                b"DELE b": b"550 Permission denied.\r\n",
                b"DELE c": b"552 Quota exceeded\r\n",
                b"DELE d": b"550 Failed.\r\n",
            }
        )
        names = []
        for name in "abcd":
            refusal = await self.raises(Refused, client.removeFile(name))
            names.append(type(translated(refusal, name)).__name__)
        self.assertEqual(names, ["NotFound", "PermissionDenied", "NoSpace", "Refused"])


class DirectCopyTests(ScriptedTestCase):
    """L{copyDirectly}"""

    async def pair(self, refusing: dict[bytes, bytes]) -> tuple[Any, Any, list[bytes], list[bytes]]:
        """Source and target, and what each was told."""
        answers = {b"PORT": b"200 ok\r\n", b"RETR": b"150 go\r\n226 sent\r\n"} | refusing
        source = await self.connect(answers)
        told = self.lines
        passive = b"227 Entering (10,9,8,7,4,1)\r\n"
        target = await self.connect(
            {
                b"PASV": passive,
                b"CPSV": passive,
                b"SSCN": b"200 ok\r\n",
                b"STOR": b"150 go\r\n226 stored\r\n",
            }
        )
        return source, target, told, self.lines

    async def test_direct(self) -> None:
        """
        One connects where the other listens; of its answer only the port is believed.
        """
        source, target, first, second = await self.pair({})
        await copyDirectly(source, "a", target, "b")
        self.assertEqual(first, [b"PORT 127,0,0,1,4,1", b"RETR a"])
        self.assertEqual(second, [b"PASV", b"STOR b"])

    async def test_protected(self) -> None:
        """Where both encrypt, one of them is told to take the client's part."""
        for features, expected in (
            ({0: "SSCN"}, ([b"SSCN ON", b"PORT 127,0,0,1,4,1", b"RETR a", b"SSCN OFF"],
                           [b"PASV", b"STOR b"])),
            ({1: "SSCN"}, ([b"PORT 127,0,0,1,4,1", b"RETR a"],
                           [b"SSCN ON", b"PASV", b"STOR b", b"SSCN OFF"])),
            ({1: "CPSV"}, ([b"PORT 127,0,0,1,4,1", b"RETR a"], [b"CPSV", b"STOR b"])),
        ):  # fmt: skip
            source, target, first, second = await self.pair({b"SSCN": b"200 ok\r\n"})
            for index, client in enumerate((source, target)):
                client._protectData = True
                if index in features:
                    client.features[features[index]] = ""
            await copyDirectly(source, "a", target, "b")
            self.assertEqual((first, second), expected)

    async def test_protectedByOne(self) -> None:
        """Where only one encrypts, or neither can be the client, nothing moves."""
        for both in (False, True):
            source, target, first, second = await self.pair({})
            target._protectData, source._protectData = True, both
            await self.raises(ProtectionRequired, copyDirectly(source, "a", target, "b"))
            self.assertEqual((first, second), ([], []))

    async def test_refused(self) -> None:
        """A server that does not connect to others is told apart before anything moves."""
        source, target, _, second = await self.pair({b"PORT": b"500 Illegal PORT\r\n"})
        await self.raises(Refused, copyDirectly(source, "a", target, "b"))
        self.assertEqual(second, [b"PASV"])

    async def test_missing(self) -> None:
        """When one has not the file, the other is not left waiting."""
        source, target, _, _ = await self.pair({b"RETR": b"550 no such file\r\n"})
        await self.raises(Refused, copyDirectly(source, "a", target, "b"))
        await self.raises(PeerGone, target.command("NOOP"))
