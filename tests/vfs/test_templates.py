"""
Files that are made for whoever asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from filehub.accounts.policy import PathRule, RulePolicy
from filehub.accounts.stack import AccountView
from filehub.credentials import Address, ConnectionInfo
from filehub.errors import FileSystemError, FileTooLarge, NotFound, StorageUnavailable
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IFileSystem,
    IReadHandle,
    IServerSideCopy,
)
from filehub.paths import ROOT
from filehub.permissions import parsePermissions
from filehub.testing import MemoryTree
from filehub.vfs import templates
from filehub.vfs.templates import TemplateError, Templates, jinjaRenderer
from filehub.vfs.workers import ImmediateWorkers
from tests.accounts.verbs import link
from tests.contract.support import at

CLIENT = ConnectionInfo("tftp", 1, Address("192.0.2.9", 5000), Address("192.0.2.1", 69))


class TemplateCase(TestCase):
    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.now = 1000.0

    def view(self, letters: str = "elr", connection: ConnectionInfo = CLIENT) -> IFileSystem:
        def clock() -> float:
            self.now += 1
            return self.now

        made = Templates(
            jinjaRenderer(), ImmediateWorkers(), [at("boot")],
            findMAC={"192.0.2.9": "52:54:00:ab:cd:ef"}.get, clock=clock,
        )  # fmt: skip
        policy = RulePolicy([PathRule(ROOT, parsePermissions(letters))], [])
        view = AccountView("netboot", {ROOT: self.tree}, policy)
        return view.forConnection("netboot", connection, None, made)

    async def read(self, path: str, **how: Any) -> bytes:
        handle = await self.view(**how).openForReading(at(path))
        verifyObject(IReadHandle, handle)
        data: bytes = await handle.readAt(0, 1 << 30)
        self.assertEqual(len(data), handle.attributes.size)
        self.assertEqual(await handle.readAt(1, 2), data[1:3])
        await handle.close()
        return data

    async def fails(self, kind: type[Exception], work: Any) -> Exception:
        try:
            await work
        except kind as error:
            return error
        raise AssertionError(f"{kind.__name__} was not raised")


class RenderingTests(TemplateCase):
    async def test_facts(self) -> None:
        """All that a template may know."""
        self.tree.putFile(
            "/boot/f.j2",
            b"{{ client.address }} {{ client.mac }} {{ client.port }} {{ client.protocol }}"
            b" {{ server.address }} {{ account }} {{ path }} {{ name }}"
            b" {{ query.a }}{{ query.b }}\n",
        )
        self.assertEqual(
            await self.read("/boot/f?a=1&b=%20x&a=2"),
            b"192.0.2.9 52:54:00:ab:cd:ef 5000 tftp 192.0.2.1 netboot /boot/f f 1 x\n",
        )
        six = ConnectionInfo("ftp", 1, Address("fe80::1%eth0", 5000), Address("fe80::2%eth0", 21))
        self.tree.putFile("/boot/g.j2", b"{{ client.address }}[{{ client.mac }}]")
        self.assertEqual(await self.read("/boot/g", connection=six), b"fe80::1[]")

    async def test_places(self) -> None:
        """In the folders that are said and below; a file itself is never overridden."""
        for folder in ("boot", "boot/deep/er", "other"):
            self.tree.putFile(f"/{folder}/f.j2", b"{{ 1 + 1 }}")
        self.assertEqual(await self.read("/boot/f"), b"2")
        self.assertEqual(await self.read("/boot/deep/er/f"), b"2")
        await self.fails(NotFound, self.view().openForReading(at("/other/f")))
        self.tree.putFile("/boot/f", b"as it is")
        self.assertEqual(await self.read("/boot/f"), b"as it is")
        self.tree.putFile("/boot/what?x=1", b"a file")
        self.assertEqual(await self.read("/boot/what?x=1"), b"a file")

    async def test_stat(self) -> None:
        """Its size is that of the result, and it is new each time."""
        self.tree.putFile("/boot/f.j2", b"{{ client.address }}")
        view = self.view()
        verifyObject(IFileSystem, view)
        self.assertEqual((await view.stat(at("/boot/f"))).size, len("192.0.2.9"))
        first, second = [await view.openForReading(at("/boot/f")) for _ in range(2)]
        self.assertNotEqual(first.attributes.modified, second.attributes.modified)
        await self.fails(NotFound, view.stat(at("/boot/g")))

    async def test_missing(self) -> None:
        """What has no template is not there, under the name that was asked for."""
        for path in ("/boot/f", "/boot/no/f", "/boot/?a=b"):
            error = await self.fails(NotFound, self.view().openForReading(at(path)))
            self.assertNotIn(".j2", str(error))

    async def test_mistakes(self) -> None:
        """A template that cannot be rendered: a word to the client, the reason to the log."""
        for number, text in enumerate(
            (b"{{ nothing }}", b"{% if %}", b"{{ 1 / 0 }}", b"{{ client.x.y }}", b"{{ 'a' + 1 }}",
             b"{% include 'x' %}", b"{{ ().__class__.__mro__ }}", b"{{ client.update({}) }}",
             b"{{ 9 ** 9999 }}", b"{{ 'x' * 99999999 }}")
        ):  # fmt: skip
            self.tree.putFile(f"/boot/m{number}.j2", text)
            work = self.view().openForReading(at(f"/boot/m{number}"))
            error = await self.fails(StorageUnavailable, work)
            self.assertIn("cannot be made", str(error))
            self.assertNotIn("j2", str(error))

    async def test_bounds(self) -> None:
        """Source, result and time have bounds."""
        self.tree.putFile("/boot/s.j2", b"x" * (templates.MAXIMUM_SOURCE + 1))
        await self.fails(FileTooLarge, self.view().openForReading(at("/boot/s")))
        self.tree.putFile(
            "/boot/r.j2", b"{% for n in range(99999) %}" + b"x" * 100 + b"{% endfor %}"
        )
        await self.fails(StorageUnavailable, self.view().openForReading(at("/boot/r")))
        self.patch(templates, "MAXIMUM_TIME", -1.0)
        self.tree.putFile("/boot/t.j2", b"{{ 1 }}")
        await self.fails(StorageUnavailable, self.view().openForReading(at("/boot/t")))

    async def test_bytes(self) -> None:
        """A template is text, but bytes that are none survive."""
        self.tree.putFile("/boot/f.j2", b"\xff\xc3\xa4\r\n{{ 1 }}\n")
        self.assertEqual((await self.read("/boot/f"))[:3], b"\xff\xc3\xa4")


class SecrecyTests(TemplateCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree.putFile("/boot/f.j2", b"{# secret #}shown")
        link(self.tree, "/boot/alias", "f.j2")
        link(self.tree, "/way", "boot")

    async def test_hidden(self) -> None:
        """By no verb does a reader get at a source, under no name."""
        view = self.view("elrdf")
        for name in ("/boot/f.j2", "/boot/alias", "/way/f.j2"):
            verbs: list[Callable[[], Any]] = [
                lambda name=name: view.openForReading(at(name)),
                lambda name=name: view.stat(at(name)),
                lambda name=name: IChecksums(view).digest(at(name), "md5"),
                lambda name=name: view.rename(at(name), at("/x"), replace=False),
                lambda name=name: IServerSideCopy(view).copy(at(name), at("/x"), replace=False),
            ]
            for verb in verbs:
                await self.fails(NotFound, verb())
        handle = await view.openDirectory(at("/boot"))
        self.assertEqual([entry.name for entry in await handle.nextPage()], ["alias"])
        self.assertEqual(list(await handle.nextPage()), [])
        await handle.close()

    async def test_editors(self) -> None:
        """Who may store there works with the source."""
        self.assertEqual(await self.read("/boot/f.j2", letters="elrw"), b"{# secret #}shown")
        self.assertEqual(await self.read("/boot/f", letters="elrw"), b"shown")
        handle = await self.view("elrw").openDirectory(at("/boot"))
        names = sorted(entry.name for entry in await handle.nextPage())
        self.assertEqual(names, ["alias", "f.j2"])

    async def test_guarded(self) -> None:
        """Who may not read gets nothing made either."""
        for letters in ("", "e", "l", "w"):
            work = self.view(letters).openForReading(at("/boot/f"))
            await self.fails(FileSystemError, work)

    async def test_case(self) -> None:
        """In any case, where that is wanted."""
        folding = ICaseFolding(self.view())
        self.assertEqual(await folding.foldCase(at("/boot/F")), at("/boot/f"))
        await self.fails(NotFound, folding.foldCase(at("/boot/g")))


class RendererTests(SynchronousTestCase):
    def test_remembered(self) -> None:
        """A template is compiled once, and forgotten when there are many others."""
        render = jinjaRenderer()
        for number in range(300):
            self.assertEqual(render(f"{number}{{{{ x }}}}", {"x": 1}), b"%d1" % number)
        self.assertEqual(render("{{ x }}", {"x": 2}), b"2")
        self.assertRaises(TemplateError, render, "{{ y }}", {"x": 2})
