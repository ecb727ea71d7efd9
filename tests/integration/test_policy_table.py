"""
The table of rules over every protocol: FTP, RFC 913 and TFTP give the same answers as the
guard itself, under every name of a place.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.accounts.table import (
    FILES,
    HARMLESS,
    LINKS,
    MOUNT_NAMES,
    MOUNTED,
    MOUNTED_LINKS,
    ON_FILES,
    PARENTS,
    PLACES,
    RULES,
    Place,
)
from tests.integration.harness import IntegrationTestCase, Site, hashPassword
from tests.integration.rawftp import RawFTP
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RawTFTP, TFTPError


def accounts(mounted: Path) -> str:
    """The table as TOML, for one user of all protocols."""
    rules = "".join(
        f'[[user.rule]]\npath = "{path}"\nallow = "{letters}"\n{names}\n'
        for path, letters, names in RULES
    )
    return f"""
[[mount]]
path = "/m"
source = "file://{mounted}"
links = "within-root"
{MOUNT_NAMES}
[[user]]
name = "carol"
password = "{hashPassword("sesame")}"
{rules}
[[network]]
address = "127.0.0.0/8"
account = "carol"
protocols = ["tftp"]
"""


def seen(folder: Path) -> dict[str, bytes]:
    """Everything below, links as where they lead."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink():
                found[str(path)] = os.readlink(path).encode()
            else:
                found[str(path)] = b"" if path.is_dir() else path.read_bytes()
    return found


class PolicyTableTests(IntegrationTestCase):
    """One user, one table, three protocols."""

    def makeSite(self) -> Site:
        self.mounted = self.local / "mounted"
        self.mounted.mkdir()
        return self.newSite(
            accounts=accounts(self.mounted), mount='links = "within-root"', tftp='case = "any"'
        )

    def lay(self) -> None:
        """Everything as it was."""
        for folder, files, links in (
            (self.site.root, FILES, LINKS),
            (self.mounted, MOUNTED, MOUNTED_LINKS),
        ):
            for entry in list(folder.iterdir()):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            for path in files:
                place = folder / path[1:]
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.encode())
            for path, target in links.items():
                place = folder / path[1:]
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(target)

    def check(
        self, verbs: set[str], act: Callable[[str, str, Place], bool], how: str = "direct"
    ) -> None:
        """
        @param act: does a verb to a path, and says whether that worked.
        """
        self.lay()
        before = seen(self.site.folder / "root") | seen(self.mounted)
        for place in PLACES:
            for folder in place.folders:
                for verb in sorted(verbs):
                    path = f"{folder}/{place.file if verb in ON_FILES else place.fresh}"
                    path = path.upper() if how == "upper" else path
                    done = act(verb, path, place)
                    self.assertEqual(done, verb in place.may, f"{verb} {path}")
                    after = seen(self.site.folder / "root") | seen(self.mounted)
                    if after != before:
                        self.assertTrue(done, f"{verb} {path} was refused, and done")
                        self.lay()

    def test_FTP(self) -> None:
        """All verbs."""
        with RawFTP(self.site.ftp).login("carol", "sesame") as ftp:

            def both(first: str, second: str) -> bool:
                return ftp.command(first).code == 350 and ftp.command(second).code < 300

            def read(path: str) -> bool:
                with ftp.passive():
                    if ftp.command(f"RETR {path}").code >= 400:
                        return False
                return ftp.final().code == 226

            def act(verb: str, path: str, place: Place) -> bool:
                if verb == "read":
                    return read(path)
                if verb in ("create", "replace", "append"):
                    line = "APPE" if verb == "append" else "STOR"
                    return ftp.store(f"{line} {path}", b"new").code == 226
                if verb in ("delete", "mkdir", "link"):
                    symlink = f"SITE SYMLINK {place.mover}"
                    line = {"delete": "DELE", "mkdir": "MKD", "link": symlink}[verb]
                    return ftp.command(f"{line} {path}").code < 300
                first, second = (
                    (path, place.result) if verb in ("rename", "copy") else (place.mover, path)
                )
                if verb in ("rename", "cover", "arrive"):
                    return both(f"RNFR {first}", f"RNTO {second}")
                return both(f"SITE CPFR {first}", f"SITE CPTO {second}")

            self.check(set(PLACES[0].may), act)
            for source, target in PARENTS:
                self.assertFalse(both(f"RNFR {source}", f"RNTO {target}"), source)
            self.assertTrue(both(f"RNFR {HARMLESS[0]}", f"RNTO {HARMLESS[1]}"))
            self.lay()
            # Combining reads its sources: what is denied gets into no other file.
            self.assertGreaterEqual(ftp.command("COMB /free/new /names/.dot").code, 400)
            self.assertFalse((self.site.root / "free/new").exists())
            self.assertEqual(ftp.names("/names"), [b"a.exe", b"mover", b"sub"])
            self.assertEqual(ftp.names("/m"), [b"file", b"mover", b"way"])

    def test_RFC913(self) -> None:
        """RETR, STOR, KILL and NAME."""
        with RawRFC913(self.site.rfc913).login("carol", "sesame") as client:
            client.command("TYPE B")

            def both(first: str, second: str) -> bool:
                if client.command(f"NAME {first}")[:1] != b"+":
                    return False
                return client.command(f"TOBE {second}")[:1] == b"+"

            def act(verb: str, path: str, place: Place) -> bool:
                if verb == "read":
                    if client.command(f"RETR {path}")[:1] == b"-":
                        return False
                    return client.command("STOP")[:1] == b"+"
                if verb == "delete":
                    return client.command(f"KILL {path}")[:1] == b"+"
                if verb in ("create", "replace", "append"):
                    how = {"create": "NEW", "replace": "OLD", "append": "APP"}[verb]
                    return client.store(how, path, b"new")[:1] == b"+"
                if verb == "rename":
                    return both(path, place.result)
                return both(place.mover, path)

            self.check({"read", "delete", "create", "replace", "append", "rename", "arrive"}, act)
            for source, target in PARENTS:
                self.assertFalse(both(source, target), source)
            self.assertTrue(both(*HARMLESS))

    def test_TFTP(self) -> None:
        """RRQ and WRQ; and RRQ of names in another case, which C{case = "any"} finds."""

        def act(verb: str, path: str, place: Place) -> bool:
            with RawTFTP(self.site.tftp) as client:
                try:
                    if verb == "read":
                        client.read(path.encode())
                    else:
                        client.write(path.encode(), b"new")
                except TFTPError:
                    return False
            return True

        self.check({"read", "create", "replace"}, act)
        self.check({"read"}, act, "upper")
