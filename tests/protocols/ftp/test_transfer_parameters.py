"""
PORT, EPRT, PASV, EPSV, TYPE, STRU, MODE, OPTS.
"""

from __future__ import annotations

import ipaddress
import socket

from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import ConnectFailed, OperationNotSupported
from filehub.events import PassivePortsExhausted, ProtocolViolation
from filehub.protocols.ftp.passive import NoPortFree
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import Client


class ActiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client().logIn()

    def test_port(self) -> None:
        """The client's own address is remembered."""
        self.assertEqual(self.client.code("PORT 192,0,2,1,4,1"), 200)
        self.assertEqual(self.client.data.arranged, ("active", "192.0.2.1", 1025))
        self.assertEqual(self.client.code("EPRT |1|192.0.2.1|2000|"), 200)
        self.assertEqual(self.client.data.arranged, ("active", "192.0.2.1", 2000))

    def test_bounce(self) -> None:
        """T-D1: another's address is refused, reported, and voids what was arranged."""
        for line in ("PORT 192,0,2,9,4,1", "EPRT |1|192.0.2.9|1025|", "EPRT |2|::1|1025|"):
            self.client.code("PASV")
            self.assertEqual(self.client.code(line), 501)
            self.assertFalse(self.client.data.isArmed)
        self.assertEqual({each.kind for each in self.client.events(ProtocolViolation)}, {"bounce"})

    def test_mapped(self) -> None:
        """An IPv4 address in IPv6 clothes is that address."""
        self.assertEqual(self.client.code("EPRT |2|::ffff:192.0.2.1|2000|"), 200)

    def test_privileged(self) -> None:
        """T-D2: ports below 1024 are refused with 504."""
        lines = ["PORT 192,0,2,1,0,25", "PORT 192,0,2,1,3,255", "EPRT |1|192.0.2.1|80|"]
        self.assertEqual(self.client.codes(lines), [504, 504, 504])
        self.assertFalse(self.client.data.isArmed)

    def test_malformed(self) -> None:
        """T-D3: nonsense is 501 and voids what was arranged; LIST is then 425."""
        for line in ("PORT 1,2,3", "PORT x", "PORT", "EPRT", "EPRT |1|x|y|", "EPRT x"):
            self.client.code("PASV")
            self.assertEqual(self.client.codes([line, "LIST"]), [501, 425], line)

    def test_family(self) -> None:
        """Families that nobody has are 522 with the usable one."""
        self.assertIn(b"522 ", self.client.say("EPRT |3|x|2000|"))

    def test_off(self) -> None:
        """Active mode can be switched off: 502, and not in FEAT."""
        client = Client(FTPSettings(active=False)).logIn()
        self.assertEqual(
            client.codes(["PORT 192,0,2,1,4,1", "EPRT |1|192.0.2.1|2000|"]), [502, 502]
        )
        self.assertNotIn(b"EPRT", client.say("FEAT"))

    def test_foreignAllowed(self) -> None:
        """With FXP allowed another address is taken; a privileged port still is not."""
        client = Client(FTPSettings(allowFXP=True)).logIn()
        self.assertEqual(client.codes(["PORT 10,0,0,9,4,1", "PORT 10,0,0,9,0,25"]), [200, 504])
        # What only this machine can reach is not anybody's server.
        self.assertEqual(client.codes(["PORT 127,0,0,1,4,1", "EPRT |2|fe80::1|2000|"]), [501, 501])

    def test_foreignNetworks(self) -> None:
        """Or only those of some networks."""
        networks = (ipaddress.ip_network("203.0.113.0/24"),)
        client = Client(FTPSettings(allowFXP=networks)).logIn()
        lines = ["PORT 203,0,113,9,4,1", "PORT 203,0,114,9,4,1", "EPRT |1|203.0.113.9|2000|"]
        self.assertEqual(client.codes(lines), [200, 501, 200])

    def test_unspecified(self) -> None:
        """An address that says nothing is the client's own."""
        for line in ("PORT 0,0,0,0,4,1", "EPRT |1|0.0.0.0|2000|", "EPRT |2|::|2000|"):
            self.assertEqual(self.client.code(line), 200)
        six = Client(peer="2001:db8::1", local="2001:db8::2").logIn()
        self.assertEqual(six.code("EPRT |2|::|2000|"), 200)


class PassiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client().logIn()

    def test_pasv(self) -> None:
        """227 to the byte: clients take it apart."""
        self.assertEqual(
            self.client.say("PASV"), b"227 Entering Passive Mode (192,0,2,254,195,81).\r\n"
        )

    def test_epsv(self) -> None:
        """229 to the byte: without a full stop."""
        self.assertEqual(
            self.client.say("EPSV"), b"229 Entering Extended Passive Mode (|||50001|)\r\n"
        )
        self.client.code("EPSV 1")
        self.assertEqual(self.client.data.arranged, ("passive", socket.AF_INET))

    def test_external(self) -> None:
        """Clients from outside hear the external address, those from inside the local one."""
        settings = FTPSettings(externalAddress="198.51.100.7")
        outside = Client(settings, peer="203.0.113.5", local="10.0.0.1").logIn()
        inside = Client(settings, peer="10.0.0.5", local="10.0.0.1").logIn()
        self.assertIn(b"(198,51,100,7,", outside.say("PASV"))
        self.assertIn(b"(10,0,0,1,", inside.say("PASV"))

    def test_ipv6(self) -> None:
        """On IPv6 PASV is refused with a hint."""
        client = Client(peer="2001:db8::1", local="2001:db8::2").logIn()
        self.assertEqual(client.say("PASV"), b"501 PASV is for IPv4 only; use EPSV.\r\n")
        self.assertEqual(client.codes(["EPSV", "EPSV 2"]), [229, 229])

    def test_throughProxy(self) -> None:
        """Behind a proxy the client's family counts, and the address that it knows."""
        session = self.client.protocol._session
        assert session is not None
        session.reachedAt = "2001:db8::21"
        self.assertEqual(self.client.codes(["PASV", "EPSV", "EPSV 2"]), [501, 229, 229])
        self.assertEqual(self.client.data.arranged, ("passive", None))
        self.assertIn(b"use (2)", self.client.say("EPSV 1"))
        session.reachedAt = "198.51.100.7"
        self.assertIn(b"(198,51,100,7,", self.client.say("PASV"))
        self.assertEqual(self.client.codes(["EPSV 1", "EPSV 2"]), [229, 522])

    def test_wrongFamily(self) -> None:
        """522 names the family that can be used."""
        self.client.data.problem = OperationNotSupported()
        reply = b"522 Network protocol not supported, use (1)\r\n"
        self.assertEqual(self.client.say("EPSV 2"), reply)
        self.assertEqual(self.client.say("EPSV 3"), reply)
        self.assertEqual(self.client.codes(["EPSV x", "EPSV \u0661"]), [501, 501])

    def test_exhausted(self) -> None:
        """T-D6: no free port is 425, and the session goes on."""
        self.client.data.problem = NoPortFree()
        self.assertEqual(self.client.codes(["PASV", "EPSV", "NOOP"]), [425, 425, 200])
        self.assertEqual(len(self.client.events(PassivePortsExhausted)), 2)
        self.client.data.problem = ConnectFailed("no descriptor")
        self.assertEqual(self.client.code("PASV"), 425)
        self.assertEqual(len(self.client.events(PassivePortsExhausted)), 2)

    def test_all(self) -> None:
        """T-D7: after EPSV ALL only EPSV works, also after a transfer."""
        lines = ["PASV", "PORT 192,0,2,1,4,1", "EPRT |1|192.0.2.1|2000|"]
        self.assertEqual(self.client.codes(["EPSV ALL", *lines]), [200, 503, 503, 503])
        self.client.code("EPSV")
        self.assertIn(b"226", self.client.say("NLST"))
        self.assertEqual(self.client.codes([*lines, "EPSV", "EPSV all"]), [503, 503, 503, 229, 200])


class RepresentationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client().logIn()

    def test_types(self) -> None:
        """Every legal spelling; what exists but not here is 504, the rest 501."""
        for spelling in ("A", "a", "A N", "AN", "a n", "A  N"):
            self.assertEqual(
                self.client.say(f"TYPE {spelling}"), b"200 Type set to A.\r\n", spelling
            )
        for spelling in ("I", "i", "L 8", "L8", "l 8", "L", "I N"):
            self.assertEqual(
                self.client.say(f"TYPE {spelling}"), b"200 Type set to I.\r\n", spelling
            )
        for spelling in ("A T", "A C", "AC", "E", "E N", "e t", "EC", "L 32"):
            answer = f"200 Type set to {spelling[0].upper()}.\r\n".encode()
            self.assertEqual(self.client.say(f"TYPE {spelling}"), answer, spelling)
        for spelling in ("A X", "A 8", "E Q", "L 7", "L 36", "L7", "I 32", "I T"):
            self.assertEqual(self.client.code(f"TYPE {spelling}"), 504, spelling)
        for spelling in ("X", "1", "II I", "AAN", "A N N", " "):
            self.assertEqual(self.client.code(f"TYPE {spelling}"), 501, spelling)

    def test_structureAndMode(self) -> None:
        """All that RFC 959 has; Z only where it is switched on."""
        self.assertEqual(self.client.codes(["STRU F", "STRU f", "STRU R", "STRU P"]), [200] * 4)
        modes = ["MODE S", "MODE B", "MODE c", "MODE Z"]
        self.assertEqual(self.client.codes(modes), [200, 200, 200, 504])
        self.assertEqual(Client(FTPSettings(deflate=True)).logIn().codes(modes), [200] * 4)
        self.assertEqual(self.client.codes(["STRU X", "MODE FF", "STRU"]), [501, 501, 501])


class OptionTests(SynchronousTestCase):
    def test_utf8(self) -> None:
        """OPTS UTF8 ON is 200, also before login."""
        client = Client()
        lines = ["OPTS UTF8 ON", "OPTS utf8 on", "OPTS UTF-8", "OPTS UTF8", "OPTS UTF8 OFF"]
        self.assertEqual(client.codes(lines), [200, 200, 200, 200, 504])

    def test_mlst(self) -> None:
        """OPTS MLST answers with what is chosen, FEAT marks it, MLST gives it."""
        client = Client().logIn()
        client.tree.putFile("/f", b"12345")
        self.assertEqual(client.say("OPTS MLST size;Type;bogus;"), b"200 MLST OPTS type;size;\r\n")
        self.assertIn(b" MLST type*;size*;modify;", client.say("FEAT"))
        self.assertIn(b"\r\n type=file;size=5; /f\r\n", client.say("MLST f"))
        self.assertEqual(client.say("OPTS MLST"), b"200 MLST OPTS\r\n")
        self.assertIn(b"\r\n  /f\r\n", client.say("MLST f"))

    def test_others(self) -> None:
        """Commands without options, and unknown ones, are 501."""
        client = Client().logIn()
        self.assertEqual(client.codes(["OPTS RETR x", "OPTS BLAH", "OPTS"]), [501, 501, 501])
