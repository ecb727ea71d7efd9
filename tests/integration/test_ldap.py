"""
Accounts in a real OpenLDAP.
"""

import contextlib
import socket
import threading
from dataclasses import replace

from filehub.accounts.directory import LDAPCheck
from filehub.accounts.sources import SourceFailed
from tests.certauthority import Authority
from tests.integration.harness import ACCOUNTS, Site, sharedSite
from tests.integration.rawftp import RawFTP
from tests.integration.services import AccountsTestCase, Directory

PEOPLE = f"ou=people,{Directory.suffix}"
STAFF = f"cn=staff,{Directory.suffix}"

#: C{dora} is one of the staff, C{emil} is not, C{twin} is there twice.
ENTRIES = f"""
dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: uid=dora,{PEOPLE}
objectClass: inetOrgPerson
uid: dora
cn: Dora
sn: D
userPassword: sesame

dn: uid=emil,{PEOPLE}
objectClass: inetOrgPerson
uid: emil
cn: Emil
sn: E
userPassword: apple

dn: uid=twin,{PEOPLE}
objectClass: inetOrgPerson
uid: twin
cn: One
sn: T
userPassword: pear

dn: uid=gil,{PEOPLE}
objectClass: inetOrgPerson
objectClass: posixAccount
uid: gil
cn: Gil
sn: G
userPassword: plum
uidNumber: 54321
gidNumber: 0
homeDirectory: /nowhere

dn: cn=Other,{PEOPLE}
objectClass: inetOrgPerson
uid: twin
cn: Other
sn: T
userPassword: pear

dn: uid=ada,{PEOPLE}
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: A
userPassword: not lovelace

dn: {STAFF}
objectClass: groupOfNames
cn: staff
member: uid=dora,{PEOPLE}

dn: ou=elsewhere,{Directory.suffix}
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://127.0.0.1:1/ou=elsewhere,{Directory.suffix}
"""

GROUPS = """
[[group]]
name = "all"
[[group.rule]]
path = "/"
allow = "el"
[[group]]
name = "writers"
[[group.rule]]
path = "/"
allow = "elradfmwMT"
"""

_running: list[Directory] = []


class LDAPTests(AccountsTestCase):
    """C{type = "ldap"}"""

    def makeSite(self) -> Site:
        if not _running:
            directory = Directory(self.requireClient("slapd", "/usr/sbin/slapd"), ENTRIES)
            _running.append(directory)
        self.directory = _running[0]
        source = f"""
[[source]]
type = "ldap"
url = "ldap://localhost:{self.directory.port}"
base = "{Directory.suffix}"
bind_name = "{Directory.administrator}"
bind_password = "admin secret"
start_tls = true
authority = "{self.directory.authority}"
groups = ["all"]
group_names = {{ "CN=staff, {Directory.suffix}" = "writers" }}
"""
        return sharedSite("ldap", accounts=ACCOUNTS + GROUPS + source, ban="delay = 0")

    def setUp(self) -> None:
        super().setUp()
        self.check = LDAPCheck(
            f"ldap://localhost:{self.directory.port}",
            PEOPLE,
            bindName=Directory.administrator,
            bindPassword="admin secret",
            authority=str(self.directory.authority),
        )
        self.ldaps = replace(self.check, address=f"ldaps://localhost:{self.directory.secure}")
        self.startTLS = replace(self.check, startTLS=True)

    def failure(self, check: LDAPCheck) -> str:
        """Why nobody could be asked."""
        with self.assertRaises(SourceFailed) as caught:
            check("dora", b"sesame", None)
        return str(caught.exception)

    def test_login(self) -> None:
        """Right, wrong, empty and unknown; those of the file go on."""
        self.assertLetIn("dora", "sesame")
        self.assertLetIn("emil", "apple")
        self.assertRefused(("dora", "wrong"), ("dora", ""), ("dora", "apple"), ("eve", "sesame"))
        self.assertLetIn("ada", "lovelace")
        self.assertRefused(("ada", "not lovelace"))

    def test_injection(self) -> None:
        """What is special in a filter or a name is a letter like others."""
        names = ("*", "do*", "*)(uid=*", "dora)(cn=*", "dora)(|(uid=*", "\\64ora", "uid=dora", " ")
        self.assertRefused(*((name, "sesame") for name in names))

    def test_twice(self) -> None:
        """A name that two entries have is nobody's."""
        self.assertRefused(("twin", "pear"))

    def test_spelling(self) -> None:
        """
        The account has the name that the entry has, however it was written; and is not
        somebody else's whom the file knows by it.
        """
        found = self.check("DORA", b"sesame", None)
        assert found is not None
        self.assertEqual(found.name, "dora")
        self.assertLetIn("Dora", "sesame")
        self.assertRefused(("ADA", "not lovelace"), ("ADA", "lovelace"))

    def test_groups(self) -> None:
        """Groups of the entry become groups here, however their names are spelt."""
        for name, password, code in (("dora", "sesame", 257), ("emil", "apple", 550)):
            with self.subTest(name), RawFTP(self.site.ftp).login(name, password) as client:
                self.assertEqual(client.command(f"MKD {self.virtual}/{name}").code, code)

    def test_posix(self) -> None:
        """Files can belong to whom the entry says, unless that is root."""
        found = replace(self.check, posixOwner=True)("gil", b"plum", None)
        assert found is not None
        self.assertEqual(found.settings, {"owner": 54321})
        for check, name, word in (
            (self.check, "gil", b"plum"),
            (replace(self.check, posixOwner=True), "emil", b"apple"),
        ):
            found = check(name, word, None)
            assert found is not None
            self.assertEqual(found.settings, {})

    def test_changes(self) -> None:
        """Who is removed, or has another password, is so at the next login."""
        name = f"uid=fred,{PEOPLE}"
        self.directory.add(
            f"dn: {name}\nobjectClass: inetOrgPerson\nuid: fred\ncn: F\nsn: F\nuserPassword: one"
        )
        with self.directory.connection() as connection:
            self.assertLetIn("fred", "one")
            connection.modify(name, {"userPassword": [("MODIFY_REPLACE", ["two"])]})
            self.assertRefused(("fred", "one"))
            self.assertLetIn("fred", "two")
            connection.delete(name)
        self.assertRefused(("fred", "two"))

    def test_gone(self) -> None:
        """While it is gone its users get 530 and the log says why; then they are back."""
        self.assertLetIn("dora", "sesame")
        self.directory.stop()
        try:
            self.assertRefused(("dora", "sesame"))
            self.assertLogged("ldap ldap://localhost", "refused")
            self.assertLetIn("ada", "lovelace")
        finally:
            self.directory.start()
        self.assertLetIn("dora", "sesame")

    def test_encryption(self) -> None:
        """In the clear, by StartTLS and by ldaps, the answers are the same."""
        for check in (self.check, self.startTLS, self.ldaps):
            self.assertIsNotNone(check("dora", b"sesame", None))
            self.assertIsNone(check("dora", b"wrong", None))

    def test_verification(self) -> None:
        """A certificate of another authority or of another host is not accepted."""
        other = str(Authority("Another").write(self.local / "other.pem"))
        for check in (self.startTLS, self.ldaps):
            for authority in (other, None):
                said = self.failure(replace(check, authority=authority))
                self.assertIn("certificate verify failed", said)
            address = check.address.replace("localhost", "127.0.0.1")
            self.assertIn("doesn't match", self.failure(replace(check, address=address)))
        self.failure(replace(self.check, authority="/none/such"))

    def test_searcher(self) -> None:
        """If the one who searches is refused or sees nothing, that is no wrong password."""
        self.assertIn("invalidCredentials", self.failure(replace(self.check, bindPassword="no")))
        self.assertIn("noSuchObject", self.failure(replace(self.check, base="dc=none")))
        # Nobody sees no entries here, and who is not seen is not let in.
        with contextlib.suppress(SourceFailed):
            anonymous = replace(self.check, bindName="", bindPassword="")
            self.assertIsNone(anonymous("dora", b"sesame", None))

    def test_referrals(self) -> None:
        """Other servers that this one speaks of are not asked."""
        wide = replace(self.check, base=Directory.suffix)
        self.assertIsNotNone(wide("dora", b"sesame", None))
        away = replace(self.check, base=f"ou=elsewhere,{Directory.suffix}")
        self.assertIsNone(away("dora", b"sesame", None))

    def test_noLDAP(self) -> None:
        """Who answers with something else is no directory."""
        for answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"0\x84\x00\x00\x00\x05\x02\x01"):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                listener.settimeout(5)
                address = f"ldap://127.0.0.1:{listener.getsockname()[1]}"
                self.assertTrue(
                    self.answered(replace(self.check, address=address), listener, answer)
                )

    def answered(self, check: LDAPCheck, listener: socket.socket, answer: bytes) -> str:
        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            return self.failure(check)
        finally:
            thread.join(5)
