"""
What an installation puts where: FileHub, its plug-in inside Twisted's plug-in folder, and
nothing that would get in Twisted's way.

The distributions are built from a copy of the source by the build back end itself, and
installed into throw-away environments that borrow the packages of this interpreter.
"""

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import twisted
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import filehub

SOURCE = Path(filehub.__file__).parent.parent
TWISTED = Path(twisted.__file__).parent
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".coverage*", "_trial_temp*", "build", "dist", "htmlcov", "*.egg-info",
    "__pycache__", "*.pyc", ".*_cache", ".hypothesis", "dropin.cache", "twistd.*",
)  # fmt: skip

#: The C{twistd} and C{twist} scripts are these two lines.
TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
TWIST = "import sys; from twisted.application.twist._twist import Twist; Twist.main(sys.argv)"


def run(*command: str, cwd: Path) -> str:
    """
    What the command prints.  No variable of the environment may bring this checkout
    back onto the path.
    """
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "COVERAGE"))
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{command} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """Let the build back end that pyproject.toml names make a C{sdist} or C{wheel}."""
    target.mkdir(exist_ok=True)
    call = (
        "import sys, setuptools.build_meta as backend;"
        f"print(backend.build_{kind}(sys.argv[1]), end='')"
    )
    return target / run(sys.executable, "-c", call, str(target), cwd=source).split("\n")[-1]


class Environment:
    """
    A virtual environment whose Twisted is in its own C{site-packages}, as it is for
    a user; everything else comes from this interpreter's environment.
    """

    def __init__(self, root: Path) -> None:
        venv.create(root, with_pip=False, symlinks=True)
        self.root = root
        self.python = str(root / "bin" / "python")
        self.site = Path(
            run(self.python, "-c", "import sysconfig as s; print(s.get_path('purelib'))", cwd=root)
            .strip()
        )  # fmt: skip
        packages = self.site / "twisted"
        packages.mkdir()
        for entry in TWISTED.iterdir():
            if entry.name != "plugins":
                (packages / entry.name).symlink_to(entry)
        self.plugins = packages / "plugins"
        shutil.copytree(
            TWISTED / "plugins",
            self.plugins,
            ignore=shutil.ignore_patterns("__pycache__", "dropin.cache", "filehub*"),
        )
        (self.site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def install(self, *what: str) -> None:
        """Let pip install it here, without asking an index for anything."""
        options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
        run(
            sys.executable, "-m", "pip", "--python", self.python, "install", *options, *what,
            cwd=self.root,
        )  # fmt: skip

    def listing(self, program: str = TWISTD) -> str:
        """What C{--help} prints, asked from a folder that has nothing to do with it."""
        with tempfile.TemporaryDirectory() as elsewhere:
            return run(self.python, "-c", program, "--help", cwd=Path(elsewhere))


class PackagingTests(SynchronousTestCase):
    """One sdist and one wheel made from it, looked at and installed."""

    def setUp(self) -> None:
        for module in ("setuptools", "pip"):
            if importlib.util.find_spec(module) is None:
                raise SkipTest(f"{module} is not installed here")
        if not (SOURCE / "setup.cfg").exists():
            raise SkipTest("these tests need the source, not an installation")
        self.folder = Path(tempfile.mkdtemp(prefix="filehub-packaging-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = self.folder / "source"
        shutil.copytree(SOURCE, self.source, ignore=NOT_SOURCE)

    def wheel(self) -> Path:
        return build("wheel", self.source, self.folder / "dist")

    def test_sdistIsComplete(self) -> None:
        """The source distribution has every file of the source, and makes a wheel."""
        expected = {
            str(path.relative_to(self.source))
            for path in self.source.rglob("*")
            if path.is_file() and path.name not in (".gitignore",)
        }
        sdist = build("sdist", self.source, self.folder / "dist")
        with tarfile.open(sdist) as archive:
            inside = {name.partition("/")[2] for name in archive.getnames()}
        self.assertEqual(sorted(expected - inside), [])
        shutil.unpack_archive(sdist, self.folder / "unpacked")
        (unpacked,) = (self.folder / "unpacked").iterdir()
        self.assertTrue(build("wheel", unpacked, self.folder / "again").exists())

    def test_wheelContents(self) -> None:
        """
        The wheel has the package, its type marker and the plug-in.  It has no
        C{__init__.py} that would replace Twisted's, and no tests.
        """
        with zipfile.ZipFile(self.wheel()) as archive:
            names = set(archive.namelist())
        modules = {
            str(path.relative_to(SOURCE))
            for path in (SOURCE / "filehub").rglob("*.py")
            if "__pycache__" not in path.parts
        }
        self.assertEqual(sorted(modules - names), [])
        self.assertIn("filehub/py.typed", names)
        self.assertEqual(
            [name for name in names if name.startswith("twisted/")],
            ["twisted/plugins/filehub_plugin.py"],
        )
        strangers = [
            name for name in names
            if not name.startswith(("filehub/", "twisted/plugins/")) and ".dist-info/" not in name
        ]  # fmt: skip
        self.assertEqual(strangers, [])

    def test_installedWheelIsListed(self) -> None:
        """
        twistd and twist list C{filehub} beside Twisted's own commands, whatever an
        older plug-in cache says and even if that cache is garbage.
        """
        environment = Environment(self.folder / "env")
        self.assertNotIn("filehub", environment.listing())  # writes a cache without it
        environment.install(str(self.wheel()))
        self.assertIn("    filehub ", environment.listing())
        self.assertIn("    filehub ", environment.listing(TWIST))
        self.assertIn("    ftp ", environment.listing())
        for stale in (pickle.dumps({}), b"garbage"):
            cache = environment.plugins / "dropin.cache"
            cache.write_bytes(stale)
            later = cache.stat().st_mtime + 3600
            os.utime(cache, (later, later))
            self.assertIn("    filehub ", environment.listing())

    def test_listingImportsNothingOfFileHub(self) -> None:
        """Listing the commands does not load FileHub: the plug-in only names a module."""
        environment = Environment(self.folder / "env")
        environment.install(str(self.wheel()))
        program = (
            "import sys; from twisted.plugin import getPlugins;"
            "from twisted.application.service import IServiceMaker;"
            "print([p.tapname for p in getPlugins(IServiceMaker)]);"
            "print([m for m in sys.modules if m.split('.')[0] == 'filehub'])"
        )
        names, loaded = run(environment.python, "-c", program, cwd=self.folder).splitlines()
        self.assertIn("'filehub'", names)
        self.assertEqual(loaded, "[]")

    def test_editableInstallationIsListed(self) -> None:
        """C{pip install -e .} gives the same command, from any folder."""
        environment = Environment(self.folder / "env")
        environment.install("-e", str(self.source))
        self.assertIn("    filehub ", environment.listing())
        self.assertIn("    filehub ", environment.listing(TWIST))

    def test_uninstalledWheelLeavesTwisted(self) -> None:
        """After C{pip uninstall} the command is gone and Twisted's are still there."""
        environment = Environment(self.folder / "env")
        environment.install(str(self.wheel()))
        environment.listing()
        run(
            sys.executable, "-m", "pip", "--python", environment.python, "uninstall", "-y",
            "filehub", cwd=self.folder,
        )  # fmt: skip
        listing = environment.listing()
        self.assertNotIn("filehub", listing)
        self.assertIn("    ftp ", listing)
