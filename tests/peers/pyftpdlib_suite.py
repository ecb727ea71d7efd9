"""
pyftpdlib's own functional tests, pointed at FileHub::

    python -m tests.peers.pyftpdlib_suite [NAME...]

Downloads pyftpdlib's source with pip, and pytest and psutil, which it needs, into a
temporary folder; starts a FileHub that serves the folder which the tests take for theirs;
runs their tests of the protocol against it, over FTP and FTPS; prints how many ran, how
many passed, and what each other one has to say.  Tests that set an option of pyftpdlib's
server, or look inside it, are skipped (L{tests.peers.pyftpdlib_plugin}).

This is for people, not for the regular run: it needs a network.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.integration.harness import Site, hashPassword

HERE = Path(__file__).parent
MODULES = ("test_functional.py", "test_functional_ssl.py")
#: What their tests take for granted of their server.
ACCOUNTS = f"""
[[user]]
name = "user"
password = "{hashPassword("12345")}"
[[user.rule]]
path = "/"
allow = "elradfmwMT"
[anonymous]
enabled = true
[[anonymous.rule]]
path = "/"
allow = "elr"
"""


def download(folder: Path) -> Path:
    """Their tests, as a package named C{theirs}; what these need is in C{folder}, too."""
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run(
        [*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", folder, "pyftpdlib"],
        check=True,
    )
    subprocess.run(
        [*pip, "install", "-t", folder / "lib", "pytest", "psutil", "pyasyncore", "pyasynchat"],
        check=True,
    )
    (archive,) = folder.glob("pyftpdlib-*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    name = archive.name.removesuffix(".tar.gz")
    (folder / name / "tests").rename(folder / "theirs")
    (folder / name / "pyftpdlib").rename(folder / "lib" / "pyftpdlib")
    print(f"{name}, as on PyPI")
    return folder / "theirs"


def run(folder: Path, theirs: Path, names: list[str]) -> Path:
    """Run them; returns the report."""
    root = folder / "root"
    root.mkdir()
    root.chmod(0o777)
    site = Site(
        root=root,
        tls=True,
        accounts=ACCOUNTS,
        limits="per_address = 500\nper_user = 500",
        ban="attempts = 0\ndelay = 0",
    )
    report = folder / "report.xml"
    try:
        subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "pyftpdlib_plugin", "-p",
                "no:cacheprovider", f"--junitxml={report}", "--tb=short", "-c", "/dev/null",
                f"--rootdir={folder}", *(theirs / each for each in MODULES),
                *(["-k", " or ".join(names)] if names else []),
            ],
            cwd=root,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, (folder / "lib", HERE, folder))),
                "FILEHUB_PORT": str(site.ftp),
            },
            check=False,
        )  # fmt: skip
    finally:
        site.stop()
    return report


def summarize(report: Path) -> None:
    """Print what became of each test that did not pass, and the numbers."""
    counts = {"passed": 0, "skipped": 0, "failed": 0}
    for case in ElementTree.parse(report).iter("testcase"):
        kind = "passed"
        for child in case:
            if child.tag in ("failure", "error"):
                kind = "failed"
            elif child.tag == "skipped" and kind == "passed":
                kind = "skipped"
        counts[kind] += 1
        if kind != "passed":
            message = next((child.get("message") or "" for child in case), "").splitlines()
            name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
            print(f"{kind:8}{name}: {message[0] if message else ''}")
    print(f"run {counts['passed'] + counts['failed']}, {counts}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="filehub-peers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        summarize(run(folder, download(folder), sys.argv[1:]))


if __name__ == "__main__":
    main()
