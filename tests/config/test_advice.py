"""
What works but is worth a thought.
"""

from __future__ import annotations

import resource
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from filehub.config.advice import adviceOn
from filehub.config.loading import LoadedConfiguration, loadConfiguration
from filehub.config.schema import Configuration
from tests.accounts.doubles import CHEAP

USER = f"[[user]]\nname = 'ann'\npassword = '{CHEAP.hash(b'x')}'\n"


class AdviceTests(SynchronousTestCase):
    """L{adviceOn}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.root = self.folder / "root"
        self.root.mkdir(parents=True)
        self.path = self.folder / "filehub.toml"
        self.patch(resource, "getrlimit", lambda which: (1024, 20_000))

    def advice(self, text: str = "", ftp: str = "", mode: int = 0o640) -> list[str]:
        self.path.write_text(
            f"[ftp]\nlisten = ['tcp:21']\n{ftp}\n{text}\n"
            f"[[mount]]\npath = '/srv'\nsource = '{self.root.as_uri()}'\n"
        )
        self.path.chmod(mode)
        return adviceOn(loadConfiguration(self.path))

    def test_nothing(self) -> None:
        """A sound file needs none, and the built-in values need none."""
        self.assertEqual(self.advice(USER), [])
        self.assertEqual(adviceOn(LoadedConfiguration(Configuration(), "command line")), [])

    def test_secrets(self) -> None:
        """Hashes that strangers may read, or a group may change."""
        for mode in (0o644, 0o604, 0o660, 0o642):
            (line,) = self.advice(USER, mode=mode)
            self.assertIn(f"{self.path} holds password hashes and is open to others", line)
        for mode in (0o600, 0o640, 0o400):
            self.assertEqual(self.advice(USER, mode=mode), [])
        self.assertEqual(self.advice("[[user]]\nname = 'ann'", mode=0o644), [])

    def test_ports(self) -> None:
        """Fewer passive ports than sessions; an outer address without known ports."""
        (line,) = self.advice(ftp="passive_ports = '50000-50998'")
        self.assertIn("has 999 ports for limits.sessions = 1000", line)
        self.assertEqual(self.advice(ftp="passive_ports = '50000-50999'"), [])
        (line,) = self.advice(ftp="external_address = '203.0.113.7'")
        self.assertIn("external_address without ftp.passive_ports", line)

    def test_sources(self) -> None:
        """Passwords in the clear, servers that nobody verifies, a service of PAM that is none."""
        head = "[[source]]\nbase = 'dc=x'\ntype = 'ldap'\nurl = 'ldap://"
        (line,) = self.advice(f"{head}ldap.example.org'")
        self.assertIn("filehub.toml:4: ldap: passwords go to ldap://ldap.example.org in the", line)
        self.assertEqual(self.advice(f"{head}ldap.example.org'\nstart_tls = true"), [])
        self.assertEqual(self.advice(f"{head}127.0.0.1'"), [])
        (line,) = self.advice("[[source]]\ntype = 'postgresql'\nurl = 'postgresql://x/y'")
        self.assertIn("add ?sslmode=verify-full", line)
        (line,) = self.advice("[[source]]\ntype = 'pam'\nservice = 'filehub-none-such'")
        self.assertIn("found no /etc/pam.d/filehub-none-such", line)

    def test_secretsOfSources(self) -> None:
        """What sources log in with is nobody else's."""
        ldap = "[[source]]\ntype = 'ldap'\nurl = 'ldaps://x'\nbase = 'dc=x'\n"
        web = "[[source]]\ntype = 'http'\nurl = 'https://x'\n"
        for text in (f"{ldap}bind_password = 'x'", f"{web}headers = {{ Authorization = 'x' }}"):
            (line,) = self.advice(text, mode=0o644)
            self.assertIn("and is open to others", line)
            self.assertEqual(self.advice(text, mode=0o640), [])
        self.assertEqual(self.advice(ldap, mode=0o644), [])

    def test_proxies(self) -> None:
        """Proxied data connections where no control connection is."""
        (line,) = self.advice(ftp="data_proxy_protocol = true")
        self.assertIn("ftp.data_proxy_protocol: no listener of it is one with haproxy:", line)
        one = "[[ftp.listener]]\nlisten = ['haproxy:tcp:2121']\ndata_proxy_protocol = true"
        self.assertEqual(self.advice(one), [])

    def test_descriptors(self) -> None:
        """More sessions than the system lets us have files."""
        self.assertEqual(self.advice("[limits]\nsessions = 5000"), [])
        (line,) = self.advice("[limits]\nsessions = 5001")
        self.assertIn("need 20004 open files, the system allows this process 20000", line)
        self.patch(resource, "getrlimit", lambda which: (1024, resource.RLIM_INFINITY))
        self.assertEqual(self.advice("[limits]\nsessions = 5001"), [])

    def test_exposed(self) -> None:
        """What is the server's own lies in what it serves."""
        state, log = self.root / "state", self.root / "a" / "xferlog"
        lines = self.advice(f"[server]\nstate = '{state}'\n[log]\nxferlog = '{log}'")
        self.assertEqual(
            lines, [f"{each} lies in {self.root}, which is served as /srv" for each in (state, log)]
        )
        self.path = self.root / "filehub.toml"
        (line,) = self.advice()
        self.assertIn(f"{self.path} lies in", line)

    def test_writingStrangers(self) -> None:
        """T-A10: anonymous clients that may do more than read, with the line that says so."""
        rule = "[[anonymous.rule]]\npath = '/srv/%s'\nallow = '%s'\n"
        rules = rule % ("pub", "elr") + rule % ("incoming", "elw")
        (line,) = self.advice(f"[anonymous]\nenabled = true\n{rules}")
        self.assertEqual(
            line.removeprefix(str(self.path)),
            ":9: anonymous clients may change what is in /srv/incoming",
        )
        self.assertEqual(self.advice(f"[anonymous]\n{rules}"), [])

    def test_rules(self) -> None:
        """Rules for places that do not exist, with their lines; those above a mount do."""
        rule = "[[%s.rule]]\npath = '%s'\nallow = 'r'\n"
        lines = self.advice(
            "[[user]]\nname = 'a'\n"
            + rule % ("user", "/srv/x")
            + rule % ("user", "/home")
            + rule % ("user", "/")
            + "[[group]]\nname = 'g'\n"
            + rule % ("group", "/srvx")
            + "[anonymous]\n"
            + rule % ("anonymous", "/pub")
        )
        self.assertEqual(
            [line.removeprefix(str(self.path)) for line in lines],
            [
                ":17: a rule for /srvx, where nothing is mounted",
                ":9: a rule for /home, where nothing is mounted",
                ":21: a rule for /pub, where nothing is mounted",
            ],
        )
