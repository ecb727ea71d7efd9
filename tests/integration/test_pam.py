"""
Accounts of the system, through PAM: users that are made for the tests, and removed.
"""

import atexit
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from twisted.internet.address import IPv4Address

from filehub.accounts.outside import PAMCheck
from filehub.accounts.sources import SourceFailed
from filehub.credentials import ConnectionInfo
from tests.integration.harness import ACCOUNTS, ANSWER, Site, sharedSite
from tests.integration.services import AccountsTestCase

#: No other run of the tests on this machine has these.
UNIQUE = f"filehub-test-{os.getpid()}"
SERVICE = f"{UNIQUE}-service"
BROKEN = f"{UNIQUE}-broken"

#: C{sesame}, as the system stores it.
SESAME = (
    "$6$rounds=1000$filehub$xe/LG9ejoTAO33cvw3hxc8/qBH0Q/7IINFqCyKMouxKIeS3re9rxoZIPqgLlVsKKq"
    "XoJPejcT/RDckZJYSrm70"
)
#: What L{useradd} is told of each.
USERS = {
    "good": ["--password", SESAME],
    "locked": ["--password", "!" + SESAME],
    "expired": ["--password", SESAME, "--expiredate", "2001-01-01"],
    "empty": ["--password", ""],
    "stale": ["--password", SESAME],
}

SOURCE = f"""
[[group]]
name = "all"
[[group.rule]]
path = "/"
allow = "elr"
[[source]]
type = "pam"
service = "{BROKEN}"
[[source]]
type = "pam"
service = "{SERVICE}"
groups = ["all"]
"""


def name(kind: str) -> str:
    """The user of this kind."""
    return f"{UNIQUE}-{kind}"


class PAMTests(AccountsTestCase):
    """C{type = "pam"}"""

    _ready: ClassVar[list[Path]] = []

    def makeSite(self) -> Site:
        if not self._ready:
            self._prepare()
        return sharedSite("pam", accounts=ACCOUNTS + SOURCE, ban="delay = 0")

    def _prepare(self) -> None:
        self.requireRoot()
        self.requireFiles("/etc/pam.d")
        for program in ("useradd", "userdel", "chage"):
            self.requireClient(program)
        access = Path(f"/run/{UNIQUE}")
        services = {
            access: "+ : ALL : 127.0.0.1 ::1\n- : ALL : ALL\n",
            Path("/etc/pam.d") / SERVICE: (
                "auth required pam_unix.so nodelay nullok\n"
                "account required pam_unix.so\n"
                f"account required pam_access.so accessfile={access}\n"
            ),
            Path("/etc/pam.d") / BROKEN: "auth required pam_none_such.so\n",
        }
        for path, text in services.items():
            atexit.register(path.unlink, missing_ok=True)
            path.write_text(text)
            self._ready.append(path)
        for kind, options in USERS.items():
            atexit.register(subprocess.run, ["userdel", name(kind)], capture_output=True)
            self.run_(
                "useradd", "--no-create-home", "--no-user-group", "--shell", "/bin/false",
                *options, name(kind),
            )  # fmt: skip
        self.run_("chage", "--lastday", "0", name("stale"))

    def test_login(self) -> None:
        """
        Right, wrong, empty, unknown, and names that are none.  The source before it does
        not work, which the log says, and refuses nobody whom this one knows.
        """
        self.assertLetIn(name("good"), "sesame")
        self.assertLogged(f"pam {BROKEN}")
        good = name("good")
        self.assertRefused(
            (good, "wrong"), (good, ""), (UNIQUE, "sesame"), (f"{good} x", "sesame"),
            (f"../{good}", "sesame"), (good.upper(), "sesame"),
        )  # fmt: skip
        self.assertLetIn("ada", "lovelace")

    def test_state(self) -> None:
        """
        Nobody gets in who is locked or expired, whose password is due to be changed, or
        who has none.
        """
        refused = [(name(kind), "sesame") for kind in ("locked", "expired", "stale")]
        self.assertRefused(*refused, (name("empty"), ""), (name("empty"), "sesame"))

    def test_changes(self) -> None:
        """Who is locked now is refused at the next login."""
        good = name("good")
        self.assertLetIn(good, "sesame")
        self.run_("usermod", "--lock", good)
        try:
            self.assertRefused((good, "sesame"))
        finally:
            self.run_("usermod", "--unlock", good)
        self.assertLetIn(good, "sesame")

    def test_address(self) -> None:
        """Modules know where a user calls from."""
        check = PAMCheck(SERVICE)
        for host, expected in (("127.0.0.1", True), ("192.0.2.7", False)):
            address = IPv4Address("TCP", host, 1000)
            connection = ConnectionInfo("ftp", "1", address, address, False)
            found = check(name("good"), b"sesame", connection)
            self.assertEqual(found is not None, expected, host)

    def test_threads(self) -> None:
        """Conversations at the same time do not get into each other's way."""
        check = PAMCheck(SERVICE)
        address = IPv4Address("TCP", "127.0.0.1", 1000)
        connection = ConnectionInfo("ftp", "1", address, address, False)
        passwords = [b"sesame", b"wrong"] * 20

        def ask(password: bytes) -> bool:
            return check(name("good"), password, connection) is not None

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(ask, passwords, timeout=ANSWER))
        self.assertEqual(found, [password == b"sesame" for password in passwords])

    def test_unusable(self) -> None:
        """A NUL ends no name; a module that is missing is no wrong password."""
        good = name("good")
        self.assertIsNone(PAMCheck(SERVICE)(f"{good}\0x", b"sesame", None))
        self.assertIsNone(PAMCheck(SERVICE)(good, b"sesame\0x", None))
        with self.assertRaises(SourceFailed):
            PAMCheck(BROKEN)(good, b"sesame", None)
