"""
What operators are told about their mistakes.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts import hashes
from filehub.config.loading import LoadedConfiguration, loadConfiguration
from filehub.config.schema import Configuration
from filehub.errors import ConfigurationError
from filehub.paths import ROOT
from filehub.permissions import formatPermissions
from tests.accounts.doubles import CHEAP

ETC = Path(__file__).parent.parent.parent / "etc"


class LoadingCase(SynchronousTestCase):
    """Files that are written and read."""

    def setUp(self) -> None:
        self.patch(hashes, "_HASHER", CHEAP)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "filehub.toml"

    def load(self, text: str | bytes, *, base: bool = True) -> LoadedConfiguration:
        """
        The configuration.

        @param base: put what is needed besides behind it.
        """
        raw = text if isinstance(text, bytes) else text.encode()
        if base:
            raw += b'\n[[mount]]\npath = "/"\nsource = "%s"\n' % self.folder.as_uri().encode()
        self.path.write_bytes(raw)
        return loadConfiguration(self.path)

    def complaints(self, text: str | bytes, *, base: bool = True) -> list[str]:
        """The lines, without the name of the file, which all of them begin with."""
        with self.assertRaises(ConfigurationError) as caught:
            self.load(text, base=base)
        lines = str(caught.exception).splitlines()
        for line in lines:
            self.assertTrue(line.startswith(f"{self.path}:"), line)
        return [line.removeprefix(f"{self.path}:") for line in lines]


LISTEN = '[ftp]\nlisten = ["tcp:2121"]\n'


class SchemaTests(LoadingCase):
    """One key at a time."""

    def test_single(self) -> None:
        """Line, key, what was found, what was expected."""
        for text, expected in (
            ('[ftp]\nlissten = ["tcp:1"]', "2: ftp.lissten: found an unknown key, expected"),
            ("[nonsense]\nx = 1", "1: nonsense: found an unknown key, expected"),
            ("[[network]]\naccount = 'a'\nprotocols = ['tftp']",
             "1: network[1].address: found nothing, expected this key"),
            ('[tftp]\nwrite = "sometimes"',
             "2: tftp.write: found 'sometimes', expected 'deny', 'create' or 'overwrite'"),
            ('[ftp]\npassive_ports = "many"',
             "2: ftp.passive_ports: found 'many', expected a range of ports such as"),
            ('[ftp]\npassive_ports = "9-5"',
             "2: ftp.passive_ports: found '9-5', expected 1 to 65535, the lower end first"),
            ('[ftp]\npassive_ports = "0-5"', "2: ftp.passive_ports: found '0-5', expected 1 to"),
            ('[ftp]\npassive_ports = "1-65536"', "2: ftp.passive_ports: found '1-65536', expec"),
            ("[ftp]\npassive_ports = 50000", "2: ftp.passive_ports: found 50000, expected"),
            ('[ftp]\nexternal_address = "no host"',
             "2: ftp.external_address: found 'no host', expected an IPv4 address"),
            ('[ftp]\nlisten = "tcp:21"', "2: ftp.listen: found 'tcp:21', expected a valid list"),
            ("[ftp]\nlisten = [21]", "2: ftp.listen[1]: found 21, expected a valid string"),
            ('[ftp]\nallow_fxp = "perhaps"', "2: ftp.allow_fxp: found 'perhaps', expected true"),
            ("[limits]\nsessions = 0",
             "2: limits.sessions: found 0, expected greater than or equal to 1"),
            ("[limits]\nidle = -1", "2: limits.idle: found -1, expected greater than 0"),
            ("[limits]\nidle = inf", "2: limits.idle: found inf, expected"),
            ("[limits]\nstall = nan", "2: limits.stall: found nan, expected"),
            ('[limits]\nupload_rate = "1 kB"', "2: limits.upload_rate: found '1 kB', expected gr"),
            ('[limits]\nquota = "10M"', "2: limits.quota: found '10M', expected a number of bytes"),
            ('[limits]\nquota = "9999999 TiB"', "2: limits.quota: found '9999999 TiB', expected l"),
            ("[limits]\nupload_rate = 1", "2: limits.upload_rate: found 1, expected greater than"),
            ("[tftp]\nblksize = 7", "2: tftp.blksize: found 7, expected greater than or eq"),
            ("[tftp]\nblksize = 65465", "2: tftp.blksize: found 65465, expected less than or"),
            ('[log]\nlevel = "loud"', "2: log.level: found 'loud', expected 'debug', 'info', "),
            ('[[user]]\nname = ""', "2: user[1].name: found '', expected a name of printable"),
            ('[[user]]\nname = "a/b"', "2: user[1].name: found 'a/b', expected a name"),
            ('[[user]]\nname = "a\\nb"', "2: user[1].name: found 'a\\nb', expected a name"),
            ('[[user]]\nname = "a"\n[[user.rule]]\npath = "/"\nallow = "elz"',
             "5: user[1].rule[1].allow: found 'z', expected letters of elradfmwMT"),
            ('[[user]]\nname = "a"\n[[user.rule]]\npath = "/"\nallow = 7',
             "5: user[1].rule[1].allow: found 7, expected letters of elradfmwMT"),
            ('[[user]]\nname = "a"\n[[user.rule]]\npath = "pub"\nallow = ""',
             "4: user[1].rule[1].path: found 'pub', expected an absolute virtual path"),
            ('[[user]]\nname = "a"\n[[user.rule]]\npath = "/a/../b"\nallow = ""',
             "4: user[1].rule[1].path: found '/a/../b', expected a path without .."),
            ('[[user]]\nname = "a"\nhome = "there"', "3: user[1].home: found 'there', expected an"),
            ('[[mount]]\npath = "/x"\nsource = "/srv"',
             "3: mount[1].source: found '/srv', expected a folder such as file:///srv/files"),
            ('[[mount]]\npath = "/x"\nsource = "file://host/srv"', "3: mount[1].source: found"),
            ('[[mount]]\npath = "/x"\nsource = "s3://bucket/x"', "3: mount[1].source: found"),
            ('[[mount]]\npath = "/x"\nsource = "https://me:it@host/x"',
             "3: mount[1].source: found 'https://me:it@host/x', expected an address such as"),
            ('[[mount]]\npath = "/x"\nsource = "http://host/a/../b"', "3: mount[1].source: found"),
            ('[[tftp.rule]]\nmatch = "("', "1: tftp.rule[1]: found {'match': '('}, expected a"),
            ('[[tftp.rule]]\nmatch = "a"\nthen = "what"', "3: tftp.rule[1].then: found 'what'"),
            ('[[tftp.client]]\nroot = "/x"', "1: tftp.client[1]: found {'root': '/x'}, expected"),
            ('[[tftp.client]]\nmac = "x"\nroot = "/x"', "2: tftp.client[1].mac: found 'x', ex"),
            ('[[tftp.client]]\nmac = "525400123456"\nroot = "x"', "3: tftp.client[1].root: f"),
            ("[tftp]\nclient_roots = ['\\what']", "2: tftp.client_roots[1]: found '"),
            ('[[mount]]\npath = "/x"\nsource = "file:///"\nlinks = "follow"',
             "4: mount[1].links: found 'follow', expected 'refuse' or 'within-root'"),
            ('[[network]]\naddress = "10.0.0.1/8"\naccount = "a"\nprotocols = ["tftp"]',
             "2: network[1].address: found '10.0.0.1/8', expected an address or network"),
            ('[[network]]\naddress = "10.0.0.0/8"\naccount = "a"\nprotocols = ["ftp"]',
             "4: network[1].protocols[1]: found 'ftp', expected 'tftp'"),
            ('[[network]]\naddress = "10.0.0.0/8"\naccount = "a"\nprotocols = []',
             "4: network[1].protocols: found"),
            ('[ban]\nexempt = ["lan"]', "2: ban.exempt[1]: found 'lan', expected an address"),
            ("[ban]\ndelay = 61", "2: ban.delay: found 61, expected less than or equal to 60"),
            ("[server]\nworkers = 0", '2: server.workers: found 0, expected "auto" or a number'),
            ('[tls]\nminimum = "1.0"', "2: tls.minimum: found '1.0', expected '1.2' or '1.3'"),
            ("user = 3", "1: user: found 3, expected a valid list"),
        ):  # fmt: skip
            lines = self.complaints(text)
            self.assertEqual(len(lines), 1, lines)
            self.assertTrue(lines[0].startswith(expected), f"{lines[0]} for {text}")

    def test_all(self) -> None:
        """All mistakes are told at once, a line each."""
        lines = self.complaints(
            '[ftp]\nlissten = 1\npassive_ports = "x"\n[limits]\nidle = 0\n[[user]]\nname = "a"\n'
            "[[user]]\nname = 5\n"
        )
        self.assertEqual(
            [line.partition(": found")[0] for line in lines],
            ["2: ftp.lissten", "3: ftp.passive_ports", "5: limits.idle", "9: user[2].name"],
        )

    def test_secrets(self) -> None:
        """A password that is not hashed is not repeated."""
        for text in (
            '[[user]]\nname = "a"\npassword = "hunter2"',
            '[[user]]\nname = "a"\naccount = "hunter2"',
        ):
            (line,) = self.complaints(LISTEN + text)
            self.assertIn("expected the output of: filehub passwd", line)
            self.assertNotIn("hunter2", line)


class FileTests(LoadingCase):
    """The file as a whole."""

    def test_missing(self) -> None:
        """A file that is not there."""
        with self.assertRaises(ConfigurationError) as caught:
            loadConfiguration(self.path)
        self.assertEqual(
            str(caught.exception), f"{self.path}: cannot be read: No such file or directory"
        )

    def test_folder(self) -> None:
        """Something that is no file."""
        with self.assertRaises(ConfigurationError) as caught:
            loadConfiguration(self.folder)
        self.assertIn("cannot be read: Is a directory", str(caught.exception))

    def test_notUTF8(self) -> None:
        """Bytes that are no text."""
        self.assertEqual(
            self.complaints(b'x = "\xff"', base=False),
            [" found bytes that are not UTF-8 at offset 5, expected UTF-8"],
        )

    def test_notTOML(self) -> None:
        """The parser's own words, with line and column."""
        (line,) = self.complaints('[ftp]\nlisten = ["tcp:21"', base=False)
        self.assertRegex(line, r"^ not TOML: .*at (line 2|end of document)")

    def test_empty(self) -> None:
        """An empty file serves nothing, and that is said."""
        self.assertEqual(
            self.complaints("", base=False),
            [
                " ftp: found no listener, expected [ftp], [tftp] or [rfc913] with listen = [...]",
                " mount: found no [[mount]], expected at least one",
            ],
        )

    def test_minimal(self) -> None:
        """A listener and a mount are enough, and nobody may do anything."""
        loaded = self.load(LISTEN)
        self.assertEqual(loaded.values.ftp.listen, ["tcp:2121"])
        self.assertEqual(loaded.values.user, [])
        self.assertFalse(loaded.values.anonymous.enabled)
        self.assertEqual(loaded.values.tftp.write, "deny")

    def test_values(self) -> None:
        """Values become what they mean."""
        loaded = self.load(
            LISTEN + 'passive_ports = "50000-50009"\n'
            '[[user]]\nname = "ann"\nhome = "/home/./ann//"\n'
            '[[user.rule]]\npath = "/"\nallow = "rle"\n'
        )
        self.assertEqual(loaded.values.ftp.passive_ports, range(50000, 50010))
        (user,) = loaded.values.user
        self.assertEqual(user.home, ROOT.join("/home/ann"))
        self.assertEqual(formatPermissions(user.rule[0].allow), "elr")
        self.assertEqual(loaded.originOf(("user", 0, "rule", 0)), f"{self.path}:7")

    def test_percentEncoding(self) -> None:
        """A folder's URL is decoded once."""
        folder = self.folder / "a b%20"
        folder.mkdir()
        loaded = self.load(LISTEN + f'[[mount]]\npath = "/x"\nsource = "{folder.as_uri()}"\n')
        self.assertEqual(loaded.values.mount[0].source, folder)

    def test_builtIn(self) -> None:
        """Values that come from no file have no place."""
        self.assertEqual(LoadedConfiguration(Configuration()).originOf(("ftp",)), "")

    def test_shipped(self) -> None:
        """The files that are shipped say nothing that cannot be read (folders aside)."""
        for path in sorted(ETC.rglob("*.toml")):
            try:
                loadConfiguration(path, checkFolders=False)
            except ConfigurationError as error:
                for line in str(error).splitlines():
                    self.assertIn(": tls.", line)
                    self.assertIn("expected an existing file", line)


class CrossCheckTests(LoadingCase):
    """What single keys cannot know."""

    def test_mistakes(self) -> None:
        """Each of them with its line."""
        rule = '[[user.rule]]\npath = "/a"\nallow = "r"\n'
        for text, expected in (
            ("", " ftp: found no listener, expected [ftp], [tftp] or [rfc913] with listen"),
            ("[ftp]\nlisten = []", "1: ftp: found no listener"),
            (LISTEN + '[[mount]]\npath = "/x"\nsource = "file:///none/such"',
             "5: mount[1].source: found '/none/such', expected an existing folder"),
            (LISTEN + f'[[mount]]\npath = "/"\nsource = "file://{Path.cwd()}"',
             "7: mount[2].path: found / a second time, expected it once"),
            (LISTEN + '[[user]]\nname = "a"\n[[user]]\nname = "a"',
             "6: user[2].name: found 'a' a second time, expected it once"),
            (LISTEN + '[[group]]\nname = "a"\n[[group]]\nname = "a"',
             "6: group[2].name: found 'a' a second time, expected it once"),
            (LISTEN + '[[user]]\nname = "FTP"', "4: user[1].name: found 'FTP', which means an a"),
            (LISTEN + '[[user]]\nname = "anonymous"', "4: user[1].name: found 'anonymous', which"),
            (LISTEN + '[[user]]\nname = "a"\ngroups = ["x"]',
             "5: user[1].groups: found 'x', expected the name of a [[group]]"),
            (LISTEN + '[[network]]\naddress = "::/0"\naccount = "x"\nprotocols = ["tftp"]',
             "5: network[1].account: found 'x', expected the name of a [[user]]"),
            (LISTEN + '[[network]]\naddress = "::/0"\naccount = "a"\nprotocols = ["tftp"]\n' * 2
             + '[[user]]\nname = "a"',
             "8: network[2].address: found ::/0 a second time, expected it once"),
            (LISTEN + '[rfc913]\nlisten = ["tcp:115",\n"tcp:2121"]',
             "4: rfc913.listen[2]: found 'tcp:2121', which ftp.listen has already"),
            (LISTEN + '[tls]\ncertificate = "/none/such.pem"',
             "4: tls.certificate: found '/none/such.pem', expected an existing file"),
            (LISTEN + 'tls = "required"', "1: ftp: found no certificate, expected [tls] cert"),
            (LISTEN + 'implicit_tls = ["tcp:990"]', "1: ftp: found no certificate, expected"),
            (LISTEN + '[[user]]\nname = "a"\n' + rule + rule,
             "9: user[1].rule[2].path: found /a a second time, expected it once"),
            (LISTEN + ('[[group]]\nname = "a"\n' + rule + rule).replace("user", "group"),
             "9: group[1].rule[2].path: found /a a second time, expected it once"),
            (LISTEN + ("[anonymous]\n" + rule + rule).replace("user", "anonymous"),
             "8: anonymous.rule[2].path: found /a a second time, expected it once"),
        ):  # fmt: skip
            lines = self.complaints(text)
            self.assertEqual(len(lines), 1, lines)
            self.assertTrue(lines[0].startswith(expected), f"{lines[0]} for {text}")

    def test_endpoints(self) -> None:
        """Listener strings are read before anything is bound."""
        for key, text, expected in (
            ("ftp", "nonsense:1", "an endpoint such as tcp:2121"),
            ("ftp", "tcp", "an endpoint such as tcp:2121"),
            ("ftp", "", "an endpoint such as tcp:2121"),
            ("ftp", ":", "an endpoint such as tcp:2121"),
            ("ftp", "tcp:21:what=1", "an endpoint such as tcp:2121"),
            ("ftp", "tcp:65536", "an endpoint such as tcp:2121:interface=127.0.0.1, with a port"),
            ("ftp", "tcp:-1", "an endpoint such as tcp:2121:interface=127.0.0.1, with a port"),
            ("rfc913", "tcp:x", "an endpoint such as tcp:2121:interface=127.0.0.1, with a port"),
            ("rfc913", "tcp:1:interface=::1", "an endpoint such as tcp:2121:interface=127.0.0.1"
             " (colons in an address are written \\:)"),
            ("rfc913", "ssl:1:privateKey=/none", "an endpoint such as tcp:2121"),
            ("tftp", "tcp:69", "udp:PORT, udp:PORT:interface=ADDRESS or systemd:..."),
            ("tftp", "udp:", "udp:PORT"),
            ("tftp", "udp:69:interface=::1", "udp:PORT"),
            ("tftp", "udp:70000", "udp:PORT, udp:PORT:interface=ADDRESS or systemd:..., with a"),
        ):  # fmt: skip
            (line,) = self.complaints(f"[{key}]\nlisten = ['{text}']\n")
            start = f"2: {key}.listen[1]: found {text!r}, expected {expected}"
            self.assertTrue(line.startswith(start), f"{line} for {text}")

    def test_goodEndpoints(self) -> None:
        """
        Those of Twisted, behind HAProxy too; what systemd hands over is not looked at, and
        a port that is chosen by the system is no contradiction.
        """
        self.load(
            "[ftp]\nlisten = ['tcp:21', 'tcp6:21', 'tcp:0', 'tcp:0', 'haproxy:tcp:22',"
            " 'systemd:domain=INET:index=0', 'unix:/run/ftp']\n"
            "[tftp]\nlisten = ['udp:69:interface=\\:\\:1', 'udp:0', 'systemd:name=tftp']\n"
        )

    def test_home(self) -> None:
        """A home where nothing is mounted is no home; one above a mount is one."""
        text = LISTEN + f'[[mount]]\npath = "/srv/pub"\nsource = "{self.folder.as_uri()}"\n'
        account = '[[user]]\nname = "a"\nhome = "%s"\n[anonymous]\nhome = "%s"\n'
        self.load(text + account % ("/srv", "/srv/pub/x"), base=False)
        self.assertEqual(
            self.complaints(text + account % ("/home", "/pub"), base=False),
            [
                "8: user[1].home: found /home, expected a path at or below that of a [[mount]]",
                "10: anonymous.home: found /pub, expected a path at or below that of a [[mount]]",
            ],
        )

    def test_suggestion(self) -> None:
        """An unknown key is answered with those that the table has."""
        (line,) = self.complaints(LISTEN + '[[user]]\nname = "a"\nhoem = "/"')
        self.assertIn("expected name, password, account, one_time_secret, groups, home,", line)
        self.assertTrue(line.endswith("(did you mean home?)"), line)
        (line,) = self.complaints(LISTEN + "[quota]")
        self.assertIn("expected server, log, tls, ftp, ", line)

    def test_locked(self) -> None:
        """Empty and locked passwords are no mistakes."""
        for stored in ("", "!", "*"):
            self.load(LISTEN + f'[[user]]\nname = "a"\npassword = "{stored}"\n')

    def test_hashes(self) -> None:
        """A hash is a hash."""
        self.load(LISTEN + f'[[user]]\nname = "a"\npassword = "{CHEAP.hash(b"x")}"\n')

    def test_foldersElsewhere(self) -> None:
        """Under chroot folders are not looked for here."""
        self.path.write_text(LISTEN + '[[mount]]\npath = "/"\nsource = "file:///none/such"\n')
        loaded = loadConfiguration(self.path, checkFolders=False)
        self.assertEqual(loaded.values.mount[0].source, Path("/none/such"))
