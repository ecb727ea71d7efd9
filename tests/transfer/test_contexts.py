"""L{filehub.transfer._contexts}: contexts that a few control sessions share."""

from __future__ import annotations

import copy
import gc
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import ref

from OpenSSL import SSL
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from filehub.certificates import CertificateStore, makeSelfSigned
from filehub.transfer import _contexts
from filehub.transfer.tls import TLSSession
from tests.transfer import test_tls


def contextOf(session: TLSSession) -> SSL.Context:
    """What the session's connections are made of."""
    return session.connection().get_context()


class SharingTests(SynchronousTestCase):
    def setUp(self) -> None:
        if _contexts._mark() is None:
            raise SkipTest("the installed OpenSSL hides the function")
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "server.pem"
        makeSelfSigned(self.path, ["localhost"], timedelta(days=30))
        self.store = CertificateStore(self.path)

    def test_few(self) -> None:
        """So many sessions share a context, and the next have another."""
        self.patch(_contexts, "_SHARING", 3)
        found = [contextOf(TLSSession(self.store)) for _ in range(7)]
        numbers = [found.index(each) for each in found]
        self.assertEqual(numbers, [0, 0, 0, 3, 3, 3, 6])

    def test_parted(self) -> None:
        """Processes that part after a context was made do not mistake each other's sessions."""
        TLSSession(self.store)
        (shared,) = _contexts._joined[self.store.defaultContext].values()
        here, there = copy.copy(shared), copy.copy(shared)
        self.assertEqual(len({each.join() for each in (here, there) for _ in range(50)}), 100)

    def test_notResumable(self) -> None:
        """Where nothing is to be resumed, the context is another."""
        one, other = TLSSession(self.store), TLSSession(self.store, resumable=False)
        self.assertIsNot(contextOf(one), contextOf(other))
        self.assertIs(contextOf(TLSSession(self.store)), contextOf(one))

    def test_newCertificate(self) -> None:
        """A certificate that is loaded anew is for those who come then, with new keys."""
        one = TLSSession(self.store)
        before = contextOf(one)
        makeSelfSigned(self.path, ["localhost"], timedelta(days=60))
        self.assertTrue(self.store.reloadIfChanged())
        self.assertIsNot(contextOf(TLSSession(self.store)), before)
        self.assertIs(contextOf(one), before)

    def test_forgotten(self) -> None:
        """The keys of tickets are gone with the last session that shared them."""
        self.patch(_contexts, "_SHARING", 2)
        sessions = [TLSSession(self.store) for _ in range(3)]
        alive = ref(contextOf(sessions[0]))
        del sessions[0]
        gc.collect()
        self.assertIsNotNone(alive())
        del sessions[0]
        gc.collect()
        self.assertIsNone(alive())

    def test_oneTicket(self) -> None:
        """A full handshake is followed by one ticket, of which a client has no more use."""
        client: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        theirs = client.wrap_bio(incoming, outgoing)
        ours = TLSSession(self.store).connection()
        for _ in range(2):
            for step in (theirs.do_handshake, lambda: ours.bio_write(outgoing.read())):
                try:
                    step()
                except ssl.SSLWantReadError:
                    pass
            try:
                ours.do_handshake()
                sent = ours.bio_read(1 << 16)
            except SSL.WantReadError:
                sent = ours.bio_read(1 << 16)
            incoming.write(sent)
        # All records but those of tickets went before the handshake was done.
        self.assertLess(len(sent), 300)
        self.assertEqual(3 + 2 + int.from_bytes(sent[3:5]), len(sent))


class UnmarkedTests(test_tls.TLSReceiverTests):
    """The same as ever, where OpenSSL hides what tells sessions of one context apart."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(_contexts, "_mark", lambda: None)

    def test_noneShared(self) -> None:
        """Each session has a context of its own."""
        one, other = TLSSession(self.store), TLSSession(self.store)
        self.assertIsNot(contextOf(one), contextOf(other))
