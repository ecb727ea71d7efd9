"""
Rules for names, map files of tftp-hpa, and clients' folders.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.config.tftpnames import TFTPRule, readMap
from filehub.errors import ConfigurationError, PermissionDenied
from filehub.paths import ROOT
from filehub.protocols.tftp.clientroots import ClientRoot, inOrder, parseMAC, parseRoot, rootsFor
from filehub.protocols.tftp.mapfile import asTOML, rulesOf
from filehub.protocols.tftp.patterns import PatternError
from filehub.protocols.tftp.rules import Caller, EndlessRules, Replacement, RuleSet, Verb

CALLER = Caller("192.0.2.169", "192.0.2.1", {"192.0.2.169": "52:54:00:ab:cd:ef"}.get)
STRANGER = Caller("2001:db8::1%eth0", "2001:db8::2")


def rules(*tables: dict[str, Any]) -> RuleSet:
    return RuleSet(tuple(TFTPRule.model_validate(each).compiled() for each in tables))


def apply(
    found: RuleSet,
    name: str,
    caller: Caller = CALLER,
    verb: Verb = "get",
    existing: tuple[str, ...] = (),
) -> str:
    """What becomes of a name, where only these files exist."""
    run = found.run(name, caller, verb)
    try:
        asked = next(run)
        while True:
            asked = run.send(asked in existing)
    except StopIteration as stop:
        result: str = stop.value
        return result


class RuleTests(SynchronousTestCase):
    def test_replace(self) -> None:
        """What matched is replaced: groups, the client, case, literal backslashes."""
        for replace, wanted in (
            (r"<\1>", "a<BootX>z"),
            (r"\0\0", "a-BootX--BootX-z"),
            (r"\ip/\hex/\local", "a192.0.2.169/C00002A9/192.0.2.1z"),
            (r"\mac", "a52-54-00-ab-cd-efz"),
            (r"\U\1\L\1\E\1", "aBOOTXbootxBootXz"),
            (r"\\\ \#", "a\\ #z"),
            (r"\9", None),
            ("", "az"),
        ):
            table = {"match": "-(.*)-", "replace": replace}
            if wanted is None:
                self.assertRaises(ValueError, TFTPRule.model_validate, table)
            else:
                self.assertEqual(apply(rules(table), "a-BootX-z"), wanted, replace)

    def test_address6(self) -> None:
        """An IPv6 client has no scope in its name, and 32 digits."""
        made = apply(rules({"match": "^", "replace": r"\ip \hex "}), "f", STRANGER)
        self.assertEqual(made, "2001:db8::1 20010DB8000000000000000000000001 f")

    def test_unknownMAC(self) -> None:
        """A rule that needs an address that nobody knows does not apply."""
        table = {"match": "^", "replace": r"\mac/", "then": "stop"}
        self.assertEqual(apply(rules(table, {"match": "$", "replace": "!"}), "f", STRANGER), "f!")

    def test_repeat(self) -> None:
        """Once; again until there is no match in the result; every match, left to right."""
        for repeat, wanted in (("once", "baaa"), ("again", "bba"), ("rest", "bba")):
            table = {"match": "aa", "replace": "b", "repeat": repeat}
            self.assertEqual(apply(rules(table), "aaaaa"), wanted, repeat)
        again = rules({"match": "aa", "replace": "a", "repeat": "again"})
        self.assertEqual(apply(again, "aaaaa"), "a")
        empty = rules({"match": "x*", "replace": "-", "repeat": "rest"})
        self.assertEqual(apply(empty, "axb"), "-a--b-")

    def test_order(self) -> None:
        """All rules apply in turn, until one says that it is enough."""
        first = {"match": "a", "replace": "b"}
        stop = {"match": "b", "then": "stop"}
        last = {"match": "b", "replace": "c"}
        self.assertEqual(apply(rules(first, last), "a"), "c")
        self.assertEqual(apply(rules(first, stop, last), "a"), "b")

    def test_deny(self) -> None:
        """A denial ends it; the client is told what the rule says."""
        found = rules({"match": "secret", "then": "deny", "message": "not for you"})
        self.assertIn("not for you", str(self.assertRaises(
            PermissionDenied, apply, found, "the/secret")))  # fmt: skip
        self.assertEqual(apply(found, "other"), "other")

    def test_unless(self) -> None:
        """Everything but what matches."""
        found = rules({"match": "^boot/", "unless": True, "then": "deny"})
        self.assertEqual(apply(found, "boot/x"), "boot/x")
        self.assertRaises(PermissionDenied, apply, found, "etc/x")

    def test_verbsAndFamilies(self) -> None:
        """Rules for one direction and for one family."""
        put = rules({"match": "^", "replace": "in/", "verbs": ["put"]})
        self.assertEqual(apply(put, "f"), "f")
        self.assertEqual(apply(put, "f", verb="put"), "in/f")
        six = rules({"match": "^", "replace": "6/", "family": "ipv6"})
        self.assertEqual((apply(six, "f"), apply(six, "f", STRANGER)), ("f", "6/f"))

    def test_found(self) -> None:
        """A name is taken if there is such a file, else it is as before."""
        found = rules(
            {"match": "^", "replace": r"\ip/", "then": "found"},
            {"match": "^", "replace": "common/"},
        )
        self.assertTrue(found.asks)
        self.assertEqual(apply(found, "f", existing=("192.0.2.169/f",)), "192.0.2.169/f")
        self.assertEqual(apply(found, "f"), "common/f")

    def test_jump(self) -> None:
        """To a label, forwards and backwards; a label that is not there is an error."""
        found = rules(
            {"match": "^a", "then": "jump", "target": "end"},
            {"match": "^", "replace": "x"},
            {"match": "$", "replace": "!", "label": "end"},
        )
        self.assertEqual((apply(found, "a"), apply(found, "b")), ("a!", "xb!"))
        self.assertRaises(
            ConfigurationError, rules, {"match": "a", "then": "jump", "target": "nowhere"}
        )

    def test_endless(self) -> None:
        """Rules that come to no end are a denial, soon."""
        for table in (
            {"match": "a", "then": "restart"},
            {"match": "a", "replace": "aa", "repeat": "again"},
            {"match": "x*", "replace": "", "repeat": "again"},
            {"match": "a", "replace": "aa", "then": "restart"},
            {"match": "a", "then": "jump", "target": "me", "label": "me"},
        ):
            self.assertRaises(EndlessRules, apply, rules(table), "a")

    def test_senseless(self) -> None:
        """What does not go together is refused when it is read."""
        for table in (
            {"match": "a", "replace": "b", "unless": True},
            {"match": "a", "replace": "b", "then": "deny"},
            {"match": "a", "repeat": "again"},
            {"match": "a", "then": "jump"},
            {"match": "a", "target": "b"},
            {"match": "(", "then": "deny"},
            {"match": "a", "replace": r"\q"},
            {"match": "a", "replace": "\\"},
            {"match": "a", "verbs": []},
        ):
            self.assertRaises(ValueError, TFTPRule.model_validate, table)
        self.assertRaises(PatternError, Replacement, r"\d")


MAP = r"""
# For the loaders of Windows
ri      ^x:             # no drives
rg      \\              /
r       ^/boot\ files/  boot\#1/
rgg     [:]             \x
rig     ^//             /
aP      ^/?etc/         no\ way
~a      ^[a-z/]
E       ^
rE      ^               \i/
rG4     ^(.*)\.lower$   \L\1\E.\2\q\\
rs6     ^again          twice
e~P     ^               ignored
j       ^skip           end
r       ^               x
:end
"""


class MapFileTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """Every letter of an operation and every escape has its key."""
        self.assertEqual(
            rulesOf(MAP.replace(r".\2", "")),
            [
                {"match": "^x:", "ignore_case": True, "replace": ""},
                {"match": "\\\\", "replace": "/", "repeat": "again"},
                {"match": r"^/boot\ files/", "replace": r"boot\#1/"},
                {"match": "[:]", "replace": r"\hex", "repeat": "rest"},
                {"match": "^//", "ignore_case": True, "replace": "/", "repeat": "again"},
                {"match": "^/?etc/", "then": "deny", "message": "no way", "verbs": ["put"]},
                {"match": "^[a-z/]", "unless": True, "then": "deny"},
                {"match": "^", "then": "found"},
                {"match": "^", "replace": r"\ip/", "then": "found"},
                {"match": r"^(.*)\.lower$", "replace": r"\L\1\Eq\\", "verbs": ["get"],
                 "family": "ipv4"},
                {"match": "^again", "replace": "twice", "then": "restart", "family": "ipv6"},
                {"match": "^", "unless": True, "then": "stop", "verbs": ["put"]},
                {"match": "^skip", "then": "jump", "target": "end"},
                {"match": "^", "replace": "x"},
                {"match": "^", "then": "stop", "label": "end"},
            ],
        )  # fmt: skip

    def test_typical(self) -> None:
        """The file that everybody copies for Windows' loaders does what it is for."""
        text = "rg \\\\ /\nr ^[^/] /tftpboot/\\0\nr ^/boot/ /tftpboot/boot/\nri \\.BCD$ .bcd\n"
        found = rules(*rulesOf(text))
        self.assertEqual(apply(found, "\\Boot\\x.BCD"), "/Boot/x.bcd")
        self.assertEqual(apply(found, "boot\\fonts\\a.ttf"), "/tftpboot/boot/fonts/a.ttf")
        self.assertEqual(apply(found, "/boot/f"), "/tftpboot/boot/f")

    def test_TOML(self) -> None:
        """What is printed can be read back, as the same rules."""
        tables = rulesOf(MAP.replace(r".\2", "") + "r it's \"it\\'s\"\na x \x01\n")
        self.assertEqual(tomllib.loads(asTOML(tables))["tftp"]["rule"], tables)
        for table in tables:
            TFTPRule.model_validate(table)

    def test_mistakes(self) -> None:
        """A line that cannot be understood is named."""
        for line in ("q a b", "r", "r a b c", "se a", r"r \<a b", ":a b", ":a\n:b\nr a", "r a \\"):
            error = self.assertRaises(ConfigurationError, rulesOf, f"# one\nr a b\n{line}\n")
            self.assertRegex(str(error), "^line [34]: found ")

    def test_files(self) -> None:
        """A file's mistakes come with its name, also those in expressions."""
        path = Path(self.mktemp())
        error = self.assertRaises(ConfigurationError, readMap, path)
        self.assertIn("cannot be read", str(error))
        path.write_text("r ( b\n")
        error = self.assertRaises(ConfigurationError, readMap, path)
        self.assertRegex(str(error), rf"^{path}: rule 1 \(\(\): expected a rule that makes sense")


class ClientRootTests(SynchronousTestCase):
    def test_order(self) -> None:
        """One machine before a network before all; each folder once."""
        found = inOrder(
            [
                ClientRoot(parseRoot(r"/clients/\ip")),
                ClientRoot(parseRoot("/net"), _network("192.0.2.0/24")),
                ClientRoot(parseRoot("/half"), _network("192.0.2.128/25")),
                ClientRoot(parseRoot("/other"), _network("198.51.100.0/24")),
                ClientRoot(parseRoot("/six"), _network("::/0")),
                ClientRoot(parseRoot("/one"), mac=parseMAC("5254.00ab.cdef".replace(".", ""))),
                ClientRoot(parseRoot("/not"), mac=parseMAC("52:54:00:00:00:00")),
            ]
        )
        paths = [str(each) for each in rootsFor((*found, *found), CALLER)]
        self.assertEqual(paths, ["/one", "/half", "/net", "/clients/192.0.2.169"])

    def test_unknown(self) -> None:
        """A folder named by an unknown address is none."""
        roots = [ClientRoot(parseRoot(r"/m/\mac")), ClientRoot(parseRoot(r"/a/\hex/\local"))]
        (only,) = rootsFor(roots, STRANGER)
        self.assertEqual(only, ROOT.join("/a/20010DB8000000000000000000000001/2001:db8::2"))

    def test_mistakes(self) -> None:
        """Roots that are none, and addresses."""
        for root in ("clients", "/a/../b", r"/\1", r"/\q", "/" + "x" * 300):
            self.assertRaises(ConfigurationError, parseRoot, root)
        for mac in ("", "52:54", "52:54:00:ab:cd:e", "52:54:00:ab:cd:ef:00", "gg:54:00:ab:cd:ef"):
            self.assertRaises(ConfigurationError, parseMAC, mac)
        self.assertEqual(parseMAC("52-54-00-AB-CD-EF"), "52-54-00-ab-cd-ef")


def _network(text: str) -> Any:
    return ipaddress.ip_network(text)
