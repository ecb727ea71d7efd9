"""
Accounts in several places, and places that check passwords themselves.
"""

from __future__ import annotations

import json
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import passlib.hash
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase

from filehub.accounts import hashes, sources
from filehub.accounts.checkers import CheckOverloaded, PasswordChecker
from filehub.accounts.codes import CodeVerifier, codeAt
from filehub.accounts.database import StoredAccount
from filehub.accounts.hashes import hashPassword, verifyHash
from filehub.accounts.outside import ProgramCheck, WebCheck
from filehub.accounts.passwords import PasswordVerifier
from filehub.accounts.records import AccountRecord, AccountTable
from filehub.accounts.sources import CheckedSource, SourceChain, SourceFailed
from filehub.credentials import AccountPassword, AccountRequired, ConnectionPassword
from filehub.errors import ConfigurationError, LimitExceeded, StorageUnavailable
from tests.accounts.doubles import CHEAP, connection, now

PATIENCE = 30


def convert(stored: StoredAccount) -> AccountRecord:
    if "bad" in stored.settings:
        raise ConfigurationError("bad: found a key that nobody knows")
    return AccountRecord(stored.name)


class ChainTests(SynchronousTestCase):
    """L{SourceChain}"""

    def test_order(self) -> None:
        """The first place that knows a name decides."""
        first = AccountTable([AccountRecord("ann", "first")])
        second = AccountTable([AccountRecord("ann", "second"), AccountRecord("bob", "second")])
        chain = SourceChain([first, second])
        found = [now(chain.find(name)) for name in ("ann", "bob", "eve")]
        self.assertEqual(
            [record.password if record else None for record in found], ["first", "second", None]
        )

    def test_anonymous(self) -> None:
        """Anonymous logins are whose place has them."""
        chain = SourceChain([AccountTable([]), AccountTable([], AccountRecord("anonymous"))])
        found = now(chain.findAnonymous())
        assert found is not None
        self.assertEqual(found.name, "anonymous")
        self.assertIsNone(now(SourceChain([AccountTable([])]).findAnonymous()))


class Writable(AccountTable):
    """A place that can store a hash that was made anew."""

    def __init__(self, *records: AccountRecord) -> None:
        super().__init__(replace(each, store=self) for each in records)
        self.replaced: list[tuple[str, str, str]] = []
        self.problem: Exception | None = None

    async def replacePassword(self, name: str, old: str, new: str) -> None:
        if self.problem is not None:
            raise self.problem
        self.replaced.append((name, old, new))


class Elsewhere:
    """A login source that lets C{eve} in, and whoever is asked for is remembered."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, Any]] = []
        self.forgotten: list[str] = []
        self.known = "eve"
        self.problem: Exception | None = None

    async def authenticate(self, name: str, password: bytes, connection: Any) -> Any:
        self.asked.append((name, password, connection))
        if self.problem is not None:
            raise self.problem
        right = (name.lower(), password) == (self.known, b"apple")
        return AccountRecord(self.known) if right else None

    async def find(self, name: str) -> AccountRecord | None:
        return AccountRecord("eve") if name == "eve" else None

    def forget(self, name: str) -> None:
        self.forgotten.append(name)


class CheckerTests(TestCase):
    """L{PasswordChecker} with more than one place."""

    timeout = PATIENCE

    def setUp(self) -> None:
        self.patch(hashes, "_HASHER", CHEAP)
        self.verifier = PasswordVerifier(reactor, rememberFor=0)
        self.addCleanup(self.verifier.stop)
        self.elsewhere = Elsewhere()

    def checker(self, *records: AccountRecord, further: Iterable[Any] = ()) -> PasswordChecker:
        self.stored = Writable(*records)
        return PasswordChecker(self.stored, self.verifier, logins=[self.elsewhere, *further])

    def ask(self, checker: PasswordChecker, name: bytes, password: bytes) -> Deferred[Any]:
        return checker.requestAvatarId(ConnectionPassword(name, password, connection()))

    @inlineCallbacks
    def test_elsewhere(self) -> Any:
        """Names that are not stored are taken there, with the connection."""
        checker = self.checker()
        self.assertEqual((yield self.ask(checker, b"eve", b"apple")), b"eve")
        self.assertEqual(self.elsewhere.asked, [("eve", b"apple", connection())])

    @inlineCallbacks
    def test_storedGoesFirst(self) -> Any:
        """A password that is wrong here is not tried elsewhere."""
        checker = self.checker(AccountRecord("eve", hashPassword(b"here")))
        with self.assertRaises(UnauthorizedLogin):
            yield self.ask(checker, b"eve", b"apple")
        self.assertEqual(self.elsewhere.asked, [])

    @inlineCallbacks
    def test_nobody(self) -> Any:
        """Whom nobody knows is refused."""
        with self.assertRaises(UnauthorizedLogin):
            yield self.ask(self.checker(), b"eve", b"pear")

    @inlineCallbacks
    def test_noAnswer(self) -> Any:
        """A place that does not answer is no wrong password."""
        self.elsewhere.problem = StorageUnavailable()
        with self.assertRaises(CheckOverloaded):
            yield self.ask(self.checker(), b"eve", b"apple")

    @inlineCallbacks
    def test_onePlaceDoesNotAnswer(self) -> Any:
        """The next one is asked; what that refuses may be right here, so it is no guess."""
        self.elsewhere.problem = StorageUnavailable()
        other = Elsewhere()
        other.known = "fay"
        checker = self.checker(further=[other])
        self.assertEqual((yield self.ask(checker, b"fay", b"apple")), b"fay")
        with self.assertRaises(CheckOverloaded):
            yield self.ask(checker, b"fay", b"pear")

    @inlineCallbacks
    def test_forgotten(self) -> Any:
        """Who is let in by one place is not found as he was in another."""
        other = Elsewhere()
        other.known = "fay"
        yield self.ask(self.checker(further=[other]), b"fay", b"apple")
        self.assertEqual((self.elsewhere.forgotten, other.forgotten), (["fay"], []))

    @inlineCallbacks
    def test_otherName(self) -> Any:
        """The place says what the account is called, if nobody here is called so."""
        self.assertEqual((yield self.ask(self.checker(), b"EVE", b"apple")), b"eve")
        checker = self.checker(AccountRecord("eve", hashPassword(b"here")))
        with self.assertRaises(UnauthorizedLogin):
            yield self.ask(checker, b"EVE", b"apple")

    @inlineCallbacks
    def test_hashedAnew(self) -> Any:
        """A login with an old form of hash leaves today's, once the password was right."""
        old = passlib.hash.sha512_crypt.using(rounds=1000).hash("sesame")
        checker = self.checker(AccountRecord("ann", old))
        with self.assertRaises(UnauthorizedLogin):
            yield self.ask(checker, b"ann", b"wrong")
        self.assertEqual(self.stored.replaced, [])
        yield self.ask(checker, b"ann", b"sesame")
        ((name, instead, new),) = self.stored.replaced
        self.assertEqual((name, instead), ("ann", old))
        self.assertTrue(new.startswith("$argon2id$"))
        self.assertTrue(verifyHash(new, b"sesame"))

    @inlineCallbacks
    def test_notHashedAnew(self) -> Any:
        """Where the new hash cannot be stored, the login is good all the same."""
        old = passlib.hash.sha256_crypt.using(rounds=1000).hash("sesame")
        checker = self.checker(AccountRecord("ann", old))
        self.stored.problem = StorageUnavailable()
        self.assertEqual((yield self.ask(checker, b"ann", b"sesame")), b"ann")

    @inlineCallbacks
    def test_weak(self) -> Any:
        """A weak hash matches nothing, unless it is allowed."""
        record = AccountRecord("ann", passlib.hash.md5_crypt.hash("sesame"))
        with self.assertRaises(UnauthorizedLogin):
            yield self.ask(self.checker(record), b"ann", b"sesame")
        lax = PasswordChecker(AccountTable([record]), self.verifier, allowWeak=True)
        self.assertEqual((yield self.ask(lax, b"ann", b"sesame")), b"ann")


class CodeTests(TestCase):
    """Logins with one-time codes."""

    timeout = PATIENCE
    SECRET = "JBSWY3DPEHPK3PXP"

    def setUp(self) -> None:
        self.patch(hashes, "_HASHER", CHEAP)
        verifier = PasswordVerifier(reactor, rememberFor=0)
        self.addCleanup(verifier.stop)
        self.moment = 1_700_000_000.0
        record = AccountRecord("ann", hashPassword(b"sesame"), oneTimeSecret=self.SECRET)
        self.checker = PasswordChecker(
            AccountTable([record]), verifier, codes=CodeVerifier(lambda: self.moment)
        )

    def code(self, ahead: float = 0) -> bytes:
        return codeAt(self.SECRET, self.moment + ahead)

    def ask(self, password: bytes, account: bytes | None = None) -> Deferred[Any]:
        if account is None:
            return self.checker.requestAvatarId(ConnectionPassword(b"ann", password, connection()))
        return self.checker.requestAvatarId(AccountPassword(b"ann", password, account))

    def test_known(self) -> None:
        """The codes are those of RFC 6238's appendix B (the last six digits)."""
        secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        self.assertEqual(codeAt(secret, 59), b"287082")
        self.assertEqual(codeAt(secret, 1111111109), b"081804")
        self.assertEqual(codeAt(secret, 20000000000), b"353130")

    @inlineCallbacks
    def test_account(self) -> Any:
        """A right password alone asks for ACCT, which is the code."""
        with self.assertRaises(AccountRequired):
            yield self.ask(b"sesame")
        self.assertEqual((yield self.ask(b"sesame", self.code())), b"ann")

    @inlineCallbacks
    def test_appended(self) -> Any:
        """Clients without ACCT append it to the password."""
        self.assertEqual((yield self.ask(b"sesame" + self.code())), b"ann")

    @inlineCallbacks
    def test_wrong(self) -> Any:
        """A wrong code, an old one, or the code without the password."""
        for password, account in (
            (b"sesame", b"000000"), (b"sesame", b""), (b"sesame", self.code(90)),
            (b"sesame000000", None), (b"wrong", self.code()), (self.code(), None),
            (b"wrong" + self.code(), None),
        ):  # fmt: skip
            with self.assertRaises(UnauthorizedLogin) as caught:
                yield self.ask(password, account)
            self.assertNotIsInstance(caught.exception, AccountRequired)

    @inlineCallbacks
    def test_once(self) -> Any:
        """A code that was used, or an earlier one, does not work any more."""
        yield self.ask(b"sesame", self.code(30))
        for ahead in (30, 0):
            with self.assertRaises(UnauthorizedLogin):
                yield self.ask(b"sesame", self.code(ahead))
        self.moment += 60
        self.assertEqual((yield self.ask(b"sesame", self.code())), b"ann")


class CheckedSourceTests(TestCase):
    """L{CheckedSource}, with its real threads."""

    timeout = PATIENCE

    def source(self, check: Callable[..., StoredAccount | None]) -> CheckedSource:
        source = CheckedSource(reactor, "a place", check, convert, threads=1, queue=1)
        self.addCleanup(source.stop)
        return source

    def ask(self, source: CheckedSource, name: str = "ann") -> Deferred[Any]:
        return Deferred.fromCoroutine(source.authenticate(name, b"sesame", None))

    @inlineCallbacks
    def test_letIn(self) -> Any:
        """Who is let in is found a moment later; who is not, is not."""
        source = self.source(
            lambda name, password, connection: (
                StoredAccount(name, None, {}) if name == "ann" else None
            )
        )
        self.assertEqual((yield self.ask(source)).name, "ann")
        self.assertIsNone((yield self.ask(source, "bob")))
        self.assertIsNotNone(now(source.find("ann")))
        self.assertIsNone(now(source.find("bob")))

    @inlineCallbacks
    def test_failures(self) -> Any:
        """A place that fails is unavailable; an account that makes no sense is none."""

        def fails(*_: object) -> StoredAccount:
            raise SourceFailed("it is down")

        with self.assertRaises(StorageUnavailable):
            yield self.ask(self.source(fails))
        source = self.source(lambda *_: StoredAccount("ann", None, {"bad": 1}))
        self.assertIsNone((yield self.ask(source)))

    @inlineCallbacks
    def test_late(self) -> Any:
        """Nobody waits longer than a time, for the turn either; it is not asked in vain."""
        self.patch(sources, "PATIENCE", 0.1)
        going = threading.Event()
        asked: list[str] = []

        def hangs(name: str, *_: object) -> None:
            asked.append(name)
            going.wait(PATIENCE)

        source = self.source(hangs)
        waiting = [self.ask(source), self.ask(source, "bob")]
        for each in waiting:
            with self.assertRaises(StorageUnavailable):
                yield each
        going.set()
        source.stop()
        self.assertEqual(asked, ["ann"])

    @inlineCallbacks
    def test_bounded(self) -> Any:
        """While it hangs, few wait; the others are told to come again."""
        going = threading.Event()
        self.addCleanup(going.set)

        def hangs(*_: object) -> None:
            going.wait(PATIENCE)

        source = self.source(hangs)
        waiting = [self.ask(source), self.ask(source)]
        self.failureResultOf(self.ask(source), LimitExceeded)
        going.set()
        for each in waiting:
            self.assertIsNone((yield each))


class ProgramTests(SynchronousTestCase):
    """L{ProgramCheck}"""

    def program(self, text: str) -> ProgramCheck:
        path = Path(self.mktemp())
        path.write_text(f"#!{sys.executable}\nimport json, sys\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return ProgramCheck([str(path.absolute()), "argument"])

    def test_question(self) -> None:
        """It gets name, password and connection, and may answer with settings."""
        check = self.program(
            "asked = json.load(sys.stdin)\n"
            "assert asked['password'] == 'sésame' and sys.argv[1] == 'argument'\n"
            "print(json.dumps({'home': '/' + asked['name'], 'from': asked['address']}))"
        )
        self.assertEqual(
            check("ann", "sésame".encode(), connection()),
            StoredAccount("ann", None, {"home": "/ann", "from": "192.0.2.7"}),
        )

    def test_statuses(self) -> None:
        """0 lets in, 1 does not, others are failures with what it said."""
        self.assertEqual(self.program("")("ann", b"x", None), StoredAccount("ann", None, {}))
        self.assertIsNone(self.program("sys.exit(1)")("ann", b"x", None))
        with self.assertRaises(SourceFailed) as caught:
            self.program("sys.stderr.write('it broke'); sys.exit(3)")("ann", b"x", None)
        self.assertIn("it broke", str(caught.exception))

    def test_nonsense(self) -> None:
        """An answer that is no object, and a program that is not there, are failures."""
        checks = [self.program("print('[]')"), self.program("print('{')")]
        for check in (*checks, ProgramCheck(["/none/such"])):
            with self.assertRaises(SourceFailed):
                check("ann", b"x", None)

    def test_bytes(self) -> None:
        """A password that is no text is nobody's."""
        self.assertIsNone(self.program("")("ann", b"\xff", None))


class WebTests(SynchronousTestCase):
    """L{WebCheck}, against a web server on loopback."""

    def setUp(self) -> None:
        seen: list[tuple[Any, dict[str, str]]] = []
        self.seen = seen
        self.answer: tuple[int, bytes, dict[str, str]] = (200, b"", {})
        case = self

        class Service(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                seen.append((json.loads(self.rfile.read(length)), dict(self.headers)))
                status, body, headers = case.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Service)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.check = WebCheck(f"http://127.0.0.1:{server.server_port}/check", {"X-Token": "t"})

    def test_question(self) -> None:
        """It gets the question and the headers, and may answer with settings."""
        self.answer = (200, b'{"home": "/x"}', {})
        self.assertEqual(
            self.check("ann", b"sesame", connection()), StoredAccount("ann", None, {"home": "/x"})
        )
        ((asked, headers),) = self.seen
        self.assertEqual(
            asked,
            {"name": "ann", "password": "sesame", "protocol": "ftp", "address": "192.0.2.7",
             "secure": False},
        )  # fmt: skip
        self.assertEqual(headers["X-Token"], "t")

    def test_statuses(self) -> None:
        """200 lets in, 401, 403 and 404 do not, others are failures."""
        self.assertEqual(self.check("ann", b"x", None), StoredAccount("ann", None, {}))
        for status in (401, 403, 404):
            self.answer = (status, b"no", {})
            self.assertIsNone(self.check("ann", b"x", None))
        for status in (500, 418):
            self.answer = (status, b"", {})
            with self.assertRaises(SourceFailed):
                self.check("ann", b"x", None)

    def test_redirection(self) -> None:
        """The password goes nowhere else."""
        self.answer = (307, b"", {"Location": "http://127.0.0.1:1/"})
        with self.assertRaises(SourceFailed):
            self.check("ann", b"x", None)
        self.assertEqual(len(self.seen), 1)

    def test_nonsense(self) -> None:
        """An answer that is no object, or too long, is a failure."""
        for body in (b"[]", b"{", b'{"a": "' + b"x" * 70000 + b'"}'):
            self.answer = (200, body, {})
            with self.assertRaises(SourceFailed):
                self.check("ann", b"x", None)
