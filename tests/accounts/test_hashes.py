"""
Password hashes: those that are made here, and those that come from elsewhere.
"""

from __future__ import annotations

from argon2 import PasswordHasher, Type, extract_parameters
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts import hashes
from filehub.accounts.hashes import (
    FORMATS,
    MAXIMUM_PASSWORD,
    formatOf,
    hashPassword,
    isAcceptable,
    isUsableHash,
    missingLibrary,
    needsRehash,
    verifyHash,
)
from tests.accounts.doubles import CHEAP

#: What stands where nobody logs in by password.
LOCKED = ("", "!", "*", "x", "!$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA", "*LK*", "plain")


class HashTests(SynchronousTestCase):
    """What becomes of a password."""

    def test_parameters(self) -> None:
        """The real hash is argon2id with 19 MiB and two passes."""
        found = extract_parameters(hashPassword(b"sesame"))
        self.assertEqual(
            (found.type.name, found.memory_cost, found.time_cost, found.parallelism),
            ("ID", 19456, 2, 1),
        )

    def test_salted(self) -> None:
        """Equal passwords have different hashes."""
        self.patch(hashes, "_HASHER", CHEAP)
        self.assertNotEqual(hashPassword(b"sesame"), hashPassword(b"sesame"))

    def test_unacceptable(self) -> None:
        """Empty, too long, or with NUL: no password."""
        self.patch(hashes, "_HASHER", None)
        for bad in (b"", b"\0", b"pw\0x", b"x" * (MAXIMUM_PASSWORD + 1), b"x" * 8192):
            self.assertFalse(isAcceptable(bad))
            with self.assertRaises(ValueError):
                hashPassword(bad)
        self.assertTrue(isAcceptable(b"x" * MAXIMUM_PASSWORD))
        self.assertTrue(isAcceptable(b"\xff\x01\n"))

    def test_locked(self) -> None:
        """What administrators put into locked fields never matches."""
        for stored in LOCKED:
            self.assertFalse(isUsableHash(stored), stored)
        self.assertTrue(isUsableHash(CHEAP.hash(b"x")))

    def test_mangled(self) -> None:
        """
        A hash that lost a part on its way into the file is none: it would be checked in
        no time, and tell that the account exists.
        """
        whole = CHEAP.hash(b"x")
        for bad in (
            whole.replace("$argon2id", "argon2id"), whole.rpartition("$")[0], whole + "\n",
            whole.rpartition("$")[0] + "$", whole.replace("t=1", "t="), whole + "é", " " + whole,
            whole.replace("$v=19", ""), "$argon2id$v=19$...",
        ):  # fmt: skip
            self.assertFalse(isUsableHash(bad), bad)
        for kind in Type:
            hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=kind)
            self.assertTrue(isUsableHash(hasher.hash(b"x")))

    def test_rehash(self) -> None:
        """Other parameters than today's are told."""
        self.assertTrue(needsRehash(CHEAP.hash(b"x")))
        self.patch(hashes, "_HASHER", CHEAP)
        self.assertFalse(needsRehash(hashPassword(b"x")))


#: The password "sesame", as other programs store it (cheap parameters where they have any).
ELSEWHERE = {
    "argon2": (
        "$argon2id$v=19$m=8,t=1,p=1$xcaYlDkQxn+yOZuBQ3yV0g$woKDV/UV9845//6vfYsUPAUEyro9qS9N1fnYExDJ0T0"
    ),
    "bcrypt": ("$2y$04$rjn170BWmGVQFr/E.TQezuUIgxklYKJEcccePN.9SZb47M5RTm1.C"),
    "scrypt": (
        "$scrypt$ln=4,r=8,p=1$/f8fw7iX8v4fY2ztfU+ptQ$9AAsCBiax2bu1kcsLPaO6VZ/9kcMU0OVQ6UgLsc4mD4"
    ),
    "PBKDF2 with SHA-256": (
        "$pbkdf2-sha256$10$1BoDQEgppZRSypkzZqy1lg$oFkChy2niZ7EbAYI3wAezDzlxIlnmhlg9S/pX9cJpCo"
    ),
    "PBKDF2 with SHA-512": (
        "$pbkdf2-sha512$10$bu3d25vzHkOoFaL0HoOw9g$HJBa298OuWXmy1ZrAKnq9SCbRU2gUXStRNDnM.ZIUctSmsUvCG.A/444dxxbQ1fe7wSeWWqwdcrteiRHV7F4KA"
    ),
    "crypt with SHA-256": (
        "$5$rounds=1000$xs16d4Vgm.6beSwW$XOGGCP2ojjxps9s5eS1Z5x4Pi7gFn/ubKW/DJwc9i5B"
    ),
    "crypt with SHA-512": (
        "$6$rounds=1000$XslGHOqZXLWdH0yy$LeoikzFoM0JuO2Ud2TXDKEQupPr9rI..xDzUAGSJMesbwm/qm8pzDbMzm1l4Y1qmmN809SgyTrEoFEvabNEHi."
    ),
    "yescrypt": ("$y$j75$abcdefghijkl$FJK7gjhPCFCMbQdts7oukGsqBcFL2ozQI7SMFjvzPf0"),
    "crypt with scrypt": ("$7$3/..../....saltsalt$eeMDEQ9Y7L3OHuWzLz/i63CBcvlk9mlNbJ8OjrQ1l.6"),
    "crypt with MD5": ("$1$BtYDcSAz$TlNmEos05dJP9Zn1yhXPt0"),
    "Apache's MD5": ("$apr1$PfomEdxW$AXGKvOE552QtdTbtQEDDq/"),
    "plain SHA-1": ("{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw="),
    "salted SHA-1": ("{SSHA}+9qGVkKX0mC0B/kKYlJv5z8GfwzynvPe"),
    "crypt with DES": ("sNHkSlpQ4.kaU"),
}


class ElsewhereTests(SynchronousTestCase):
    """Hashes of other programs."""

    def test_all(self) -> None:
        """Every form is told by its looks, and matches its password and no other."""
        self.assertEqual(set(ELSEWHERE), {form.name for form in FORMATS})
        for name, stored in ELSEWHERE.items():
            form = formatOf(stored)
            assert form is not None, name
            self.assertEqual(form.name, name)
            self.assertTrue(verifyHash(stored, b"sesame"), name)
            self.assertFalse(verifyHash(stored, b"Sesame"), name)
            self.assertFalse(verifyHash(stored, b""), name)

    def test_mangled(self) -> None:
        """A hash that lost its last letter, or got one more, is none or matches nothing."""
        for name, stored in ELSEWHERE.items():
            for bad in (stored[:-1], stored + "A", stored + "\n", stored.replace("$", "", 1)):
                if bad != stored:
                    self.assertFalse(verifyHash(bad, b"sesame"), (name, bad))

    def test_weak(self) -> None:
        """The weak ones match only where the operator allows them."""
        weak = {form.name for form in FORMATS if form.isWeak}
        for name, stored in ELSEWHERE.items():
            self.assertEqual(isUsableHash(stored), name not in weak, name)
            self.assertTrue(isUsableHash(stored, allowWeak=True), name)

    def test_rehash(self) -> None:
        """All but argon2id with today's parameters are to be made anew."""
        self.patch(hashes, "_HASHER", CHEAP)
        self.assertEqual(
            [name for name, stored in ELSEWHERE.items() if not needsRehash(stored)], ["argon2"]
        )

    def test_longPasswords(self) -> None:
        """What bcrypt does not look at is no reason to fail."""
        stored = ELSEWHERE["bcrypt"]
        self.assertFalse(verifyHash(stored, b"x" * MAXIMUM_PASSWORD))

    def test_libraryIsMissing(self) -> None:
        """A form whose library is not installed matches nothing, and the library is named."""
        stored = ELSEWHERE["bcrypt"]
        self.patch(hashes, "find_spec", lambda name: None)
        form = formatOf(stored)
        assert form is not None
        self.assertEqual(missingLibrary(form), "bcrypt")
        self.assertFalse(isUsableHash(stored))
