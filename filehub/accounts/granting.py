"""
What a portal does, without what is only needed for waiting.

A L{Portal<twisted.cred.portal.Portal>} asks its checker and then its realm by Deferreds.
Ours mostly know the answer at once, and then nothing is made to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.cred.portal import Portal
from zope.interface import Interface

#: Interface, account, logout.
Login = tuple[type[Interface], Any, Callable[[], None]]


async def granted(
    portal: Any, credentials: Any, mind: Any, interfaces: Iterable[type[Interface]]
) -> Login:
    """
    What C{portal.login} answers.  A checker's C{identify} and a realm's C{avatarFor} are
    C{requestAvatarId} and C{requestAvatar} as coroutines.

    @raise LoginFailed: and L{UnhandledCredentials<twisted.cred.error.UnhandledCredentials>}.
    """
    avatarFor = getattr(portal.realm, "avatarFor", None) if isinstance(portal, Portal) else None
    if avatarFor is not None:
        for kind, checker in portal.checkers.items():
            if kind.providedBy(credentials):
                identify = getattr(checker, "identify", None)
                if identify is None:
                    break
                found: Login = await avatarFor(await identify(credentials), mind, interfaces)
                return found
    answer: Login = await portal.login(credentials, mind, *interfaces)
    return answer


__all__ = ["Login", "granted"]
