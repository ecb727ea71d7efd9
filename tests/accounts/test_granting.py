"""L{filehub.accounts.granting}: a portal asked without Deferreds, where it can be."""

from __future__ import annotations

from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.accounts.checkers import AnonymousChecker
from filehub.accounts.granting import granted
from filehub.interfaces import IFileAccount


@implementer(IRealm)
class Realm:
    """
    A realm of Twisted's kind.

    @ivar asked: how and for whom.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        self.asked.append(("requestAvatar", avatarId))
        return succeed((interfaces[0], "avatar", list))


class PromptRealm(Realm):
    """One of ours."""

    async def avatarFor(self, avatarId: Any, mind: Any, interfaces: Any) -> Any:
        self.asked.append(("avatarFor", avatarId))
        return interfaces[0], "avatar", list


class GrantedTests(SynchronousTestCase):
    def ask(self, portal: Any, credentials: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(granted(portal, credentials, None, (IFileAccount,)))

    def test_prompt(self) -> None:
        """Where checker and realm are ours, no Deferred is made."""
        realm = PromptRealm()
        coroutine = granted(Portal(realm, [AnonymousChecker()]), Anonymous(), None, (IFileAccount,))
        self.patch(realm, "requestAvatar", None)
        with self.assertRaises(StopIteration) as stopped:
            coroutine.send(None)
        self.assertEqual(stopped.exception.value[:2], (IFileAccount, "avatar"))
        self.assertEqual(realm.asked, [("avatarFor", ())])

    def test_others(self) -> None:
        """Checkers and realms of others are asked as the portal asks them."""
        passwords = InMemoryUsernamePasswordDatabaseDontUse(ann=b"secret")
        realms: list[tuple[Realm, Any, Any]] = [
            (Realm(), AnonymousChecker(), Anonymous()),
            (PromptRealm(), passwords, UsernamePassword(b"ann", b"secret")),
        ]
        for realm, checker, credentials in realms:
            result = self.successResultOf(self.ask(Portal(realm, [checker]), credentials))
            self.assertEqual(result[:2], (IFileAccount, "avatar"))
            self.assertEqual([each[0] for each in realm.asked], ["requestAvatar"])

    def test_refused(self) -> None:
        """What the portal refuses is refused."""
        passwords = InMemoryUsernamePasswordDatabaseDontUse(ann=b"secret")
        portal = Portal(PromptRealm(), [passwords])
        wrong = self.ask(portal, UsernamePassword(b"ann", b"guess"))
        self.failureResultOf(wrong, UnauthorizedLogin)
        self.failureResultOf(self.ask(portal, Anonymous()), UnhandledCredentials)

    def test_noPortal(self) -> None:
        """Whatever has a C{login} will do."""

        class Door:
            """Somebody's own."""

            def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Any:
                return succeed((interfaces[0], credentials, list))

        self.assertEqual(self.successResultOf(self.ask(Door(), "me"))[1], "me")
