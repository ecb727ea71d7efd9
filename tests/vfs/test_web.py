"""
A web server as a storage, with a web server on loopback that does what it is told.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import File
from zope.interface.verify import verifyObject

from filehub.attributes import AttributeChanges, Disposition
from filehub.certificates import makeSelfSigned
from filehub.errors import (
    FileSystemError,
    FileTooLarge,
    IsADirectory,
    NotADirectory,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
    StorageUnavailable,
)
from filehub.interfaces import (
    ICaseFolding,
    IFileSystem,
    IRandomAccess,
    IReadHandle,
    IServerSideCopy,
    IStorage,
)
from filehub.vfs import web
from filehub.vfs._http import WebServer
from filehub.vfs.web import WebTree
from tests.contract.support import at


class Odd(Resource):
    """
    Answers as the test says, and remembers what was asked.

    @ivar answers: by path: status, headers, body; a callable makes them.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[bytes, Any] = {}
        self.asked: list[tuple[bytes, bytes | None]] = []

    def render(self, request: Any) -> Any:
        self.asked.append((request.uri, request.getHeader(b"range")))
        answer = self.answers.get(request.uri, (404, {}, b""))
        if callable(answer):
            answer = answer(request)
        if answer is None:
            return NOT_DONE_YET
        status, headers, body = answer
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name, value)
        return body


class WebCase(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        (self.folder / "sub").mkdir(parents=True)
        self.odd = Odd()
        root = Resource()
        root.putChild(b"files", File(str(self.folder)))
        root.putChild(b"odd", self.odd)
        self.port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(self.port.stopListening)
        self.origin = f"http://127.0.0.1:{self.port.getHost().port}"
        self.clock = Clock()

    def tree(self, place: str = "files", cache: int = 64 << 20) -> IFileSystem:
        server = WebServer(reactor, f"{self.origin}/{place}", timeout=3)
        self.storage = WebTree(self.clock, server, cache=cache)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.storage.close()))
        return self.storage.viewFor("anybody")

    async def fails(self, kind: type[Exception], work: Any) -> Exception:
        try:
            await work
        except kind as error:
            return error
        raise AssertionError(f"{kind.__name__} was not raised")


class FileTests(WebCase):
    """An ordinary server of static files."""

    async def test_reading(self) -> None:
        """Any range, in any order; short at the end only, empty beyond."""
        content = bytes(range(256)) * 4096 * 3 + b"tail"
        (self.folder / "f").write_bytes(content)
        view = self.tree()
        verifyObject(IStorage, self.storage)
        verifyObject(IFileSystem, view)
        handle = await view.openForReading(at("f"))
        verifyObject(IReadHandle, handle)
        self.assertEqual(handle.attributes.size, len(content))
        written = (self.folder / "f").stat().st_mtime
        self.assertLessEqual(abs(handle.attributes.modified - written), 1.0)
        for offset, length in (
            (0, 10), (web.PIECE - 5, 10), (5, 2 * web.PIECE), (0, len(content) + 1),
            (len(content) - 3, 300), (len(content), 10), (1 << 40, 10), (7, 0),
        ):  # fmt: skip
            got = await handle.readAt(offset, length)
            self.assertEqual(got, content[offset : offset + length])
        await handle.close()
        await handle.close()
        await self.fails(StorageUnavailable, handle.readAt(0, 1))

    async def test_sizes(self) -> None:
        """Files of no and one octet, and of whole pieces."""
        view = self.tree()
        for size in (0, 1, web.PIECE, web.PIECE + 1):
            (self.folder / f"s{size}").write_bytes(b"x" * size)
            handle = await view.openForReading(at(f"s{size}"))
            self.assertEqual(handle.attributes.size, size)
            self.assertEqual(len(await handle.readAt(0, 1 << 30)), size)
            self.assertEqual((await view.stat(at(f"s{size}"))).size, size)

    async def test_names(self) -> None:
        """Every name reaches the server as it is: spaces, %, ?, #, and bytes."""
        view = self.tree()
        for name in ("a b", "100%", "what?", "#1", "\u00e9", "a%2fb", "..x", "semi;colon&=+"):
            (self.folder / name).write_bytes(name.encode())
            handle = await view.openForReading(at(name))
            self.assertEqual(await handle.readAt(0, 100), name.encode())
        (self.folder.parent / "outside").write_bytes(b"no")
        for name in ("../outside", "%2e%2e/outside", "sub/../../outside"):
            await self.fails(NotFound, view.openForReading(at(name)))

    async def test_folders(self) -> None:
        """They can be entered, not listed, not read."""
        (self.folder / "f").write_bytes(b"f")
        view = self.tree()
        for path in (at("/"), at("sub")):
            self.assertTrue((await view.stat(path)).isDirectory)
            await view.enterDirectory(path)
            await self.fails(OperationNotSupported, view.openDirectory(path))
            await self.fails(IsADirectory, view.openForReading(path))
        await self.fails(NotADirectory, view.enterDirectory(at("f")))
        await self.fails(NotFound, view.stat(at("no")))

    async def test_changes(self) -> None:
        """Nothing can be changed, and there are no capabilities for it."""
        view = self.tree()
        for work in (
            view.makeDirectory(at("d")),
            view.removeFile(at("f")),
            view.removeDirectory(at("sub")),
            view.rename(at("f"), at("g"), replace=True),
            view.setAttributes(at("f"), AttributeChanges(mode=0o600)),
            view.openForWriting(at("f"), Disposition.CREATE),
        ):
            await self.fails(PermissionDenied, work)
        for capability in (IRandomAccess, IServerSideCopy, ICaseFolding):
            self.assertIsNone(capability(view, None))
        self.assertEqual(await view.resolve(at("a/b")), at("a/b"))

    async def test_another(self) -> None:
        """A file that has changed is another one; a reader of the old is told so."""
        (self.folder / "f").write_bytes(b"1" * (2 * web.PIECE))
        view = self.tree()
        old = await view.openForReading(at("f"))
        (self.folder / "f").write_bytes(b"2" * (2 * web.PIECE + 1))
        self.assertEqual(await old.readAt(0, 3), b"111")
        self.clock.advance(6)
        new = await view.openForReading(at("f"))
        self.assertEqual(await new.readAt(0, 3), b"222")
        error = await self.fails(StorageUnavailable, old.readAt(web.PIECE, 3))
        self.assertIn("changed", str(error))

    async def test_cache(self) -> None:
        """The cache has a bound, whatever is read."""
        for name in "abcdef":
            (self.folder / name).write_bytes(name.encode() * (2 * web.PIECE))
        view = self.tree(cache=3 * web.PIECE)
        for name in "abcdefabc":
            handle = await view.openForReading(at(name))
            self.assertEqual(await handle.readAt(0, 1 << 30), name.encode() * (2 * web.PIECE))
            self.assertLessEqual(self.storage._used, 3 * web.PIECE)


class OddTests(WebCase):
    """Servers that do something else."""

    def serve(self, name: str, *answer: Any) -> None:
        self.odd.answers[f"/odd/{name}".encode()] = answer if len(answer) > 1 else answer[0]

    async def test_statuses(self) -> None:
        """What a status means; never more than the virtual path is told."""
        view = self.tree("odd")
        for status, kind in (
            (404, NotFound), (410, NotFound), (401, PermissionDenied), (403, PermissionDenied),
            (500, StorageUnavailable), (503, StorageUnavailable), (418, StorageUnavailable),
            (204, StorageUnavailable),
        ):  # fmt: skip
            self.serve(f"s{status}", status, {b"x": b"y"}, b"" if status == 204 else b"words")
            error = await self.fails(kind, view.openForReading(at(f"s{status}")))
            self.assertNotIn("127.0.0.1", str(error))
            self.assertIsInstance(error, FileSystemError)

    async def test_noRanges(self) -> None:
        """A server that sends everything is believed, up to a bound."""
        self.serve("f", 200, {b"etag": b'"1"'}, b"x" * (web.PIECE + 7))
        view = self.tree("odd")
        handle = await view.openForReading(at("f"))
        self.assertEqual(handle.attributes.size, web.PIECE + 7)
        self.assertEqual(await handle.readAt(web.PIECE, 100), b"x" * 7)
        self.assertEqual(len(self.odd.asked), 1)
        self.patch(web, "MAXIMUM_WHOLE", 1000)
        self.serve("g", 200, {}, b"x" * 1001)
        await self.fails(FileTooLarge, view.openForReading(at("g")))

    async def test_lies(self) -> None:
        """A range that is not what it says, and one that was not asked for."""
        view = self.tree("odd")
        for number, (text, body) in enumerate(
            (
                (b"bytes 0-9/10", b"short"),
                (b"bytes 0-4/99999999999999999999", b"01234"),
                (b"bytes */10", b"0123456789"),
                (b"", b"0123456789"),
                (b"bytes 5-9/10", b"56789"),
            )
        ):
            self.serve(f"l{number}", 206, {b"content-range": text}, body)
            work = view.openForReading(at(f"l{number}"))
            await self.fails(StorageUnavailable, work)
        self.serve("long", 206, {b"content-range": b"bytes 0-9/10"}, b"x" * (web.PIECE + 1))
        await self.fails(FileSystemError, view.openForReading(at("long")))
        self.serve("gz", 200, {b"content-encoding": b"gzip"}, b"whatever")
        await self.fails(StorageUnavailable, view.openForReading(at("gz")))

    async def test_redirects(self) -> None:
        """On the same server, a few times; never to another one."""
        view = self.tree("odd")
        self.serve("real", 200, {}, b"here")
        self.serve("moved", 302, {b"location": b"/odd/real"}, b"")
        self.serve("twice", 307, {b"location": b"moved"}, b"")
        handle = await view.openForReading(at("twice"))
        self.assertEqual(await handle.readAt(0, 10), b"here")
        self.serve("loop", 302, {b"location": b"/odd/loop"}, b"")
        await self.fails(StorageUnavailable, view.openForReading(at("loop")))
        port = self.port.getHost().port
        for place in (
            f"http://localhost:{port}/odd/real", "http://127.0.0.1:1/", "ftp://127.0.0.1/",
            "file:///etc/passwd", "//192.0.2.1/", "http://[", "",
        ):  # fmt: skip
            self.serve("away", 301, {b"location": place.encode()}, b"")
            error = await self.fails(StorageUnavailable, view.openForReading(at("away")))
            self.assertIn("somewhere else", str(error), place)

    async def test_once(self) -> None:
        """What many want at the same time is fetched once."""
        content = bytes(range(256)) * 8192

        def ranges(request: Any) -> Any:
            first, _, last = request.getHeader(b"range")[6:].partition(b"-")
            body = content[int(first) : int(last) + 1]
            span = b"bytes %d-%d/%d" % (int(first), int(first) + len(body) - 1, len(content))
            return 206, {b"content-range": span, b"etag": b'"1"'}, body

        self.serve("f", ranges)
        view = self.tree("odd")
        opening = [Deferred.fromCoroutine(view.openForReading(at("f"))) for _ in range(20)]
        handles = await gatherResults(opening)
        self.assertEqual(len(self.odd.asked), 1)
        missing = [Deferred.fromCoroutine(view.stat(at("no"))) for _ in range(3)]
        for each in missing:
            await self.assertFailure(each, NotFound)
        del self.odd.asked[1:]
        reads = [Deferred.fromCoroutine(each.readAt(web.PIECE, 100)) for each in handles]
        cancelled = Deferred.fromCoroutine(handles[0].readAt(web.PIECE, 100))
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        for data in await gatherResults(reads):
            self.assertEqual(data, content[web.PIECE : web.PIECE + 100])
        self.assertEqual(len(self.odd.asked), 2)
        self.clock.advance(6)
        await view.openForReading(at("f"))
        self.assertEqual(len(self.odd.asked), 3)
        self.assertEqual(await handles[5].readAt(web.PIECE, 5), content[web.PIECE :][:5])
        self.assertEqual(len(self.odd.asked), 3)

    async def test_silence(self) -> None:
        """A server that does not answer, and one that is not there."""
        server = WebServer(reactor, f"{self.origin}/odd", timeout=0.2)
        view = WebTree(self.clock, server).viewFor("anybody")
        self.addCleanup(lambda: Deferred.fromCoroutine(server.close()))
        self.serve("silent", lambda request: None)
        await self.fails(StorageUnavailable, view.openForReading(at("silent")))
        self.serve("half", lambda request: request.write(b"x"))
        await self.fails(StorageUnavailable, view.openForReading(at("half")))
        nobody = WebServer(reactor, "http://127.0.0.1:1/")
        view = WebTree(self.clock, nobody).viewFor("anybody")
        await self.fails(StorageUnavailable, view.openForReading(at("f")))


class SecureTests(WebCase):
    async def test_certificates(self) -> None:
        """A certificate that nobody vouches for is none."""
        pem = self.folder.parent / "web.pem"
        makeSelfSigned(pem, ["localhost"], timedelta(days=1))
        port = serverFromString(
            reactor, f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
        )
        listening = await port.listen(Site(self.odd))
        self.addCleanup(listening.stopListening)
        self.odd.answers[b"/f"] = (200, {}, b"secret")
        server = WebServer(reactor, f"https://localhost:{listening.getHost().port}/", timeout=5)
        self.addCleanup(lambda: Deferred.fromCoroutine(server.close()))
        view = WebTree(self.clock, server).viewFor("anybody")
        await self.fails(StorageUnavailable, view.openForReading(at("f")))
        self.assertEqual(self.odd.asked, [])
