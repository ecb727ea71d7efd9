"""
The files in C{etc}: the reference has every key, the examples can be used.
"""

from __future__ import annotations

import configparser
import re
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import filehub
from filehub.config.listening import FTPListener
from filehub.config.loading import LoadedConfiguration, loadConfiguration
from filehub.config.schema import Configuration, Section
from filehub.config.values import External

ETC = Path(filehub.__file__).parent.parent / "etc"


def shipped(name: str) -> str:
    """A file's text, or a skip where only an installation is."""
    path = ETC / name
    if not path.exists():
        raise SkipTest(f"{name} is not here: not a copy of the source")
    return path.read_text()


def allKeys(model: type[Section] = Configuration, table: str = "") -> set[tuple[str, str]]:
    """Table and key of everything that may be written."""
    keys = set()
    for name, field in model.model_fields.items():
        inner = [
            each
            for each in (field.annotation, *get_args(field.annotation))
            if isinstance(each, type) and issubclass(each, Section)
        ]
        if inner and issubclass(model, inner[0]):
            # The same keys again, for one listener.
            continue
        if inner:
            keys |= allKeys(inner[0], f"{table}.{name}" if table else name)
        else:
            keys.add((table, name))
    return keys


class ShippedCase(SynchronousTestCase):
    """
    @ivar folder: in the place of C{/srv} and C{/etc}.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def load(self, text: str) -> LoadedConfiguration:
        """The configuration, with every folder and file that it names."""
        for name in re.findall(r"file:///srv/([a-z]+)", text):
            (self.folder / name).mkdir(exist_ok=True)
        for name in re.findall(r"/(?:etc|var/lib)/filehub/([a-z.]+)", text):
            (self.folder / name).touch()
        text = text.replace("file:///srv", self.folder.as_uri())
        text = re.sub("/(etc|var/lib)/filehub/", f"{self.folder}/", text)
        path = self.folder / "filehub.toml"
        path.write_text(text)
        return loadConfiguration(path)


class ReferenceTests(ShippedCase):
    """C{filehub.toml}."""

    def test_complete(self) -> None:
        """Every key that the schema knows is there, in its table, and no other."""
        found = set()
        table = ""
        for line in shipped("filehub.toml").splitlines():
            header = re.match(r"(?:# )?\[\[?([a-z0-9.]+)\]\]?$", line)
            key = re.match(r"(?:# )?([a-z0-9_]+) = ", line)
            if header is not None:
                table = header[1]
            elif key is not None:
                found.add((table, key[1]))
        same = {each for each in found if each[0] == "ftp.listener"}
        self.assertEqual(found - same, allKeys())
        self.assertLessEqual({key for _, key in same}, set(FTPListener.model_fields))

    def test_loads(self) -> None:
        """It can be used as it is."""
        values = self.load(shipped("filehub.toml")).values
        self.assertEqual(values.ftp.listen, ["tcp:21"])

    def test_alternatives(self) -> None:
        """What is commented out can be used too."""
        text = shipped("filehub.toml")
        hashed = re.search(r'password = ("\$argon2[^"]+")', text)
        assert hashed is not None
        text = text.replace('"..."', hashed[1])
        text, count = re.subn(r"^# ([a-z_]+ = |\[\[)", r"\1", text, flags=re.MULTILINE)
        self.assertGreater(count, 4)
        values = self.load(text).values
        self.assertEqual(values.ftp.external_address, External("203.0.113.7"))
        self.assertEqual(values.limits.upload_rate, 10_485_760)

    def test_defaults(self) -> None:
        """Where it says a default, that is the default."""
        written: dict[str, dict[str, Any]] = tomllib.loads(shipped("filehub.toml"))
        defaults = Configuration.model_validate({})
        written["tftp.multicast"] = written["tftp"].pop("multicast")
        written["ban.points"] = written["ban"].pop("points")
        for table in (
            "log", "tftp", "tftp.multicast", "rfc913", "limits", "ban", "ban.points",
        ):  # fmt: skip
            for key, value in written[table].items():
                if key in ("listen", "rule", "client"):
                    continue
                default = attrgetter(f"{table}.{key}")(defaults)
                if isinstance(default, list):
                    default = [str(each) for each in default]
                elif isinstance(default, range):
                    default = f"{default.start}-{default.stop - 1}"
                self.assertEqual((table, key, value), (table, key, default))


class ExampleTests(ShippedCase):
    """C{examples}: whole deployments."""

    def check(self, name: str) -> LoadedConfiguration:
        return self.load(shipped(f"examples/{name}.toml"))

    def test_mirror(self) -> None:
        """A public mirror: anonymous, and nothing can be written."""
        values = self.check("anonymous-mirror").values
        self.assertTrue(values.anonymous.enabled)
        self.assertTrue(values.mount[0].read_only)
        self.assertEqual((values.user, values.network), ([], []))

    def test_users(self) -> None:
        """Customers with a folder each."""
        values = self.check("virtual-users").values
        self.assertFalse(values.anonymous.enabled)
        (user,) = values.user
        self.assertEqual((str(user.home), user.groups), ("/acme", ["customers"]))

    def test_netboot(self) -> None:
        """Machines that boot read, and cannot write."""
        values = self.check("pxe-tftp").values
        self.assertEqual(values.tftp.write, "deny")
        self.assertEqual([each.account for each in values.network], ["netboot"])

    def test_networkBoot(self) -> None:
        """Machines with folders of their own, rules, templates and a mirror."""
        values = self.check("network-boot").values
        self.assertEqual((values.tftp.write, values.tftp.case), ("deny", "any"))
        self.assertEqual([each.root for each in values.tftp.client], ["/lab"])
        self.assertEqual(str(values.mount[1].source).partition(":")[0], "https")
        self.assertEqual([str(path) for path in values.templates.paths], ["/boot"])

    def test_all(self) -> None:
        """There is no example without a test."""
        shipped("filehub.toml")
        self.assertEqual(
            sorted(path.stem for path in (ETC / "examples").iterdir()),
            ["anonymous-mirror", "network-boot", "pxe-tftp", "virtual-users"],
        )


class UnitTests(SynchronousTestCase):
    """The systemd units."""

    def unit(self, name: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(shipped(name))
        return parser

    def test_service(self) -> None:
        """In the foreground, without a pid file, as somebody who may bind low ports."""
        service = self.unit("filehub.service")["Service"]
        self.assertIn("--nodaemon --pidfile= filehub --config", service["ExecStart"])
        self.assertEqual(service["AmbientCapabilities"], "CAP_NET_BIND_SERVICE")
        self.assertNotEqual(service["User"], "root")
        self.assertEqual(service["NoNewPrivileges"], "yes")

    def test_socket(self) -> None:
        """The names of sockets are those that the comment tells to listen on."""
        unit = self.unit("filehub.socket")["Socket"]
        self.assertEqual(unit["Service"], "filehub.service")
        self.assertIn(f"name={unit['FileDescriptorName']}", shipped("filehub.socket"))
