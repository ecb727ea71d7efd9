"""
Stored passwords in every form that other programs write them in.

New hashes are always argon2id, as PHC strings.  The others are read so that accounts
can move here with their passwords: whoever logs in with one is given an argon2id hash,
where the place that it came from can be written (L{needsRehash}).

Some forms are weak: a processor of today tries millions of passwords a second against
them.  They are known, so that the operator can be told, but match nothing unless he
allows it.
"""

from __future__ import annotations

import ctypes
import hmac
import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: OWASP's minimum for argon2id: 19 MiB, two passes, one lane; some 40 ms.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
#: Longer ones are refused before they are hashed.
MAXIMUM_PASSWORD: Final = 1024
#: bcrypt looks at so many bytes, whoever made the hash.
_BCRYPT_BYTES: Final = 72


class HashFormat(NamedTuple):
    """
    One form.

    @ivar name: as its makers call it.
    @ivar pattern: matches the whole of a stored hash of this form.
    @ivar verify: takes stored hash and password; a hash that it cannot read, although
        the pattern matches, matches no password.
    @ivar isWeak: see this module's introduction.
    @ivar library: the module that has to be installed, if one has.
    """

    name: str
    pattern: re.Pattern[str]
    verify: Callable[[str, bytes], bool]
    isWeak: bool = False
    library: str | None = None


def _argon2(stored: str, password: bytes) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _bcrypt(stored: str, password: bytes) -> bool:
    module = import_module("bcrypt")
    # Apache's and PHP's letter for what everybody else calls 2b.
    if stored.startswith(("$2y$", "$2x$")):
        stored = f"$2b{stored[3:]}"
    try:
        return bool(module.checkpw(password[:_BCRYPT_BYTES], stored.encode("ascii")))
    except ValueError:
        return False


def _passlib(name: str) -> Callable[[str, bytes], bool]:
    def verify(stored: str, password: bytes) -> bool:
        scheme: Any = getattr(import_module("passlib.hash"), name)
        try:
            return bool(scheme.verify(password, stored))
        except (ValueError, TypeError):
            return False

    return verify


def _systemCrypt(stored: str, password: bytes) -> bool:
    """
    The C library's own crypt(3), for forms that nothing else knows.  Its reentrant
    form allocates what it needs, so threads do not disturb one another.
    """
    library = _libcrypt()
    if library is None:
        return False
    data, size = ctypes.c_void_p(None), ctypes.c_int(0)
    try:
        found: bytes | None = library.crypt_ra(
            password, stored.encode("ascii"), ctypes.byref(data), ctypes.byref(size)
        )
        return found is not None and hmac.compare_digest(found, stored.encode("ascii"))
    finally:
        library.free(data)


def _libcrypt() -> ctypes.CDLL | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
            crypt, free = library.crypt_ra, library.free
        except (OSError, AttributeError):
            continue
        crypt.restype = ctypes.c_char_p
        crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
        free.restype = None
        free.argtypes = [ctypes.c_void_p]
        return library
    return None


_B64: Final = "[A-Za-z0-9+/.=]"
_H64: Final = "[A-Za-z0-9./]"


def _form(
    name: str,
    pattern: str,
    verify: Callable[[str, bytes], bool],
    *,
    isWeak: bool = False,
    library: str | None = None,
) -> HashFormat:
    return HashFormat(name, re.compile(pattern), verify, isWeak, library)


FORMATS: Final = (
    # At least 8 bytes of salt and 12 of hash: what is shorter was cut off somewhere.
    _form(
        "argon2",
        r"\$argon2(?:id|i|d)\$v=[0-9]+\$m=[0-9]+,t=[0-9]+,p=[0-9]+"
        r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}",
        _argon2,
    ),
    _form("bcrypt", rf"\$2[abxy]\$[0-9]{{2}}\${_H64}{{53}}", _bcrypt, library="bcrypt"),
    _form(
        "scrypt",
        rf"\$scrypt\$ln=[0-9]+,r=[0-9]+,p=[0-9]+\${_B64}+\${_B64}+",
        _passlib("scrypt"),
        library="passlib",
    ),
    _form(
        "PBKDF2 with SHA-256",
        rf"\$pbkdf2-sha256\$[0-9]+\${_B64}+\${_B64}{{43}}",
        _passlib("pbkdf2_sha256"),
        library="passlib",
    ),
    _form(
        "PBKDF2 with SHA-512",
        rf"\$pbkdf2-sha512\$[0-9]+\${_B64}+\${_B64}{{86}}",
        _passlib("pbkdf2_sha512"),
        library="passlib",
    ),
    _form(
        "crypt with SHA-256",
        rf"\$5\$(?:rounds=[0-9]+\$)?[^$:\s]{{0,16}}\${_H64}{{43}}",
        _passlib("sha256_crypt"),
        library="passlib",
    ),
    _form(
        "crypt with SHA-512",
        rf"\$6\$(?:rounds=[0-9]+\$)?[^$:\s]{{0,16}}\${_H64}{{86}}",
        _passlib("sha512_crypt"),
        library="passlib",
    ),
    _form("yescrypt", rf"\$g?y\${_H64}+\${_H64}*\${_H64}{{43}}", _systemCrypt),
    _form("crypt with scrypt", rf"\$7\${_H64}{{11}}[^$:\s]*\${_H64}{{43}}", _systemCrypt),
    _form(
        "crypt with MD5",
        rf"\$1\$[^$:\s]{{0,8}}\${_H64}{{22}}",
        _passlib("md5_crypt"),
        isWeak=True,
        library="passlib",
    ),
    _form(
        "Apache's MD5",
        rf"\$apr1\$[^$:\s]{{0,8}}\${_H64}{{22}}",
        _passlib("apr_md5_crypt"),
        isWeak=True,
        library="passlib",
    ),
    _form(
        "plain SHA-1",
        r"\{SHA\}[A-Za-z0-9+/]{27}=",
        _passlib("ldap_sha1"),
        isWeak=True,
        library="passlib",
    ),
    _form(
        "salted SHA-1",
        r"\{SSHA\}[A-Za-z0-9+/]{32,}={0,2}",
        _passlib("ldap_salted_sha1"),
        isWeak=True,
        library="passlib",
    ),
    _form(
        "crypt with DES", rf"{_H64}{{13}}", _passlib("des_crypt"), isWeak=True, library="passlib"
    ),
)


def formatOf(stored: str) -> HashFormat | None:
    """The form of a stored hash; L{None} for what is none, as empty and locked fields."""
    for each in FORMATS:
        if each.pattern.fullmatch(stored):
            return each
    return None


def isUsableHash(stored: str, *, allowWeak: bool = False) -> bool:
    """
    Can a password ever match this?  Empty and locked fields (C{!}, C{*}) cannot, and
    neither can a hash that was mangled on its way here.
    """
    form = formatOf(stored)
    return form is not None and (allowWeak or not form.isWeak) and missingLibrary(form) is None


def missingLibrary(form: HashFormat) -> str | None:
    """The name of the library that this form needs and that is not installed."""
    return form.library if form.library is not None and find_spec(form.library) is None else None


def verifyHash(stored: str, password: bytes) -> bool:
    """Is this the password?  Takes its time, as hashes are meant to."""
    form = formatOf(stored)
    return form is not None and form.verify(stored, password)


def needsRehash(stored: str) -> bool:
    """
    Was this made in another form, or with other parameters, than L{hashPassword} uses?

    @param stored: a usable hash.
    """
    form = formatOf(stored)
    return form is not FORMATS[0] or _HASHER.check_needs_rehash(stored)


def hashPassword(password: bytes) -> str:
    """
    A PHC string.  Takes some 40 ms.

    @raise ValueError: empty, too long, or with NUL in it.
    """
    if not isAcceptable(password):
        raise ValueError(f"expected 1 to {MAXIMUM_PASSWORD} bytes without NUL")
    return _HASHER.hash(password)


def isAcceptable(password: bytes) -> bool:
    """May this be a password at all?"""
    return 0 < len(password) <= MAXIMUM_PASSWORD and b"\0" not in password
