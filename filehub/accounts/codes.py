"""
One-time codes (TOTP, RFC 6238): the second thing to know.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

#: Digits of a code.
CODE_LENGTH: Final = 6
#: Seconds that a code is shown.
_STEP: Final = 30
#: Steps that a clock may be behind or ahead.
_DRIFT: Final = 1
_REMEMBERED: Final = 10_000


def isUsableSecret(secret: str) -> bool:
    """Is this a secret of at least 80 bits, in base 32 as authenticators show it?"""
    try:
        return len(_decoded(secret)) >= 10
    except binascii.Error:
        return False


def _decoded(secret: str) -> bytes:
    text = secret.replace(" ", "").rstrip("=").upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))


def codeAt(secret: str, moment: float) -> bytes:
    """The code that an authenticator shows at this time, seconds since the epoch."""
    # SHA-1 and short keys are what authenticators know; neither is weak in an HMAC.
    key = _decoded(secret)
    return TOTP(key, CODE_LENGTH, SHA1(), _STEP, enforce_key_length=False).generate(int(moment))


class CodeVerifier:
    """
    Takes each code once (RFC 6238 5.2): who looked over the user's shoulder, or at the
    wire, has nothing.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """
        @param now: seconds since the epoch.
        """
        self._now = now
        #: The last step of which an account used the code.
        self._used: OrderedDict[str, int] = OrderedDict()
        #: Told the account and the step of each code that is used.
        self.whenUsed: Callable[[str, int], object] | None = None

    def take(self, name: str, secret: str, code: bytes) -> bool:
        """Is this a code of now that was not used yet?  It is used from now on."""
        current = int(self._now()) // _STEP
        for step in range(current - _DRIFT, current + _DRIFT + 1):
            if hmac.compare_digest(codeAt(secret, step * _STEP), code):
                if step <= self._used.get(name, -1):
                    return False
                self.usedElsewhere(name, step)
                if self.whenUsed is not None:
                    self.whenUsed(name, step)
                return True
        return False

    def usedElsewhere(self, name: str, step: int) -> None:
        """This account's codes up to this step are used, here or in another process."""
        self._used[name] = max(step, self._used.get(name, -1))
        self._used.move_to_end(name)
        if len(self._used) > _REMEMBERED:
            self._used.popitem(last=False)
