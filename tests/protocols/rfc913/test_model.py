"""
The server against a model of it, along random walks.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import FileHubError
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.rfc913.settings import RFC913Settings
from tests.protocols.rfc913.doubles import Peer

names = st.sampled_from(["a", "b", "sub/a", "x y"]) | st.sampled_from(
    ["sub", "/a", "../b", "sub/..", "none/a", ""]
)
contents = st.sampled_from([b"", b"x", b"one\ntwo\r\n", b"KILL a\0DONE\0", bytes(range(256))])
#: What cancels whatever is pending, and changes nothing else.
OTHERS = ["TYPE B", "CDIR .", "LIST F", "KILL none", "NAME none", "RETR none", "STOR XXX", "NOPE"]
chunks = st.integers(1, 7)


def netascii(data: bytes) -> bytes:
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


class Model(RuleBasedStateMachine):
    """
    What should be: files, directories, who is logged in, and what is pending.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peer = Peer(RFC913Settings(hostName="mit", failureDelay=0.0, maximumAttempts=1 << 30))
        self.peer.tree.putDirectory("sub")
        self.files: dict[str, bytes] = {}
        self.directories = {"/", "/sub"}
        self.user = self.password = False
        self.loggedIn = False
        self.here = ROOT
        self.type = "B"
        self.pending: tuple[str, ...] = ()
        self.fragment = 1 << 20
        self.logIn()

    # --- both ends

    def say(self, command: str) -> bytes:
        data = command.encode() + b"\0"
        for start in range(0, len(data), self.fragment):
            self.peer.send(data[start : start + self.fragment])
        self.peer.clock.advance(0)
        return self.peer.received()

    def expect(self, command: str, code: bytes) -> bytes:
        reply = self.say(command)
        assert reply[:1] == code, (command, reply, code)
        assert reply.count(b"\0") == 1 and reply.endswith(b"\0"), (command, reply)
        return reply[1:-1]

    def opened(self, command: str, *pending: str) -> tuple[str, ...]:
        """What was pending and is not any more."""
        before, self.pending = self.pending, pending
        return before

    def place(self, name: str) -> VirtualPath | None:
        try:
            return self.here.join(name) if name else None
        except FileHubError:
            return None

    def isFile(self, name: str) -> bool:
        place = self.place(name)
        return self.loggedIn and place is not None and str(place) in self.files

    def isFree(self, name: str) -> bool:
        place = self.place(name)
        return (
            self.loggedIn
            and place is not None
            and str(place.parent) in self.directories
            and str(place) not in self.directories
            and str(place) not in self.files
        )

    # --- rules

    @rule(size=chunks | st.just(1 << 20))
    def fragments(self, size: int) -> None:
        self.fragment = size

    @rule()
    def strayNul(self) -> None:
        assert self.say("") == b""

    @precondition(lambda self: self.pending)
    @rule(verb=st.sampled_from(["HELO", "NOOP x", "US", "1234"]))
    def unknown(self, verb: str) -> None:
        self.opened(verb)
        self.expect(verb, b"-")

    @rule()
    def logIn(self) -> None:
        self.opened("USER")
        self.expect("USER mkl", b"+")
        self.expect("PASS foo", b"!")
        self.loggedIn, self.here, self.type = True, ROOT, "B"

    @precondition(lambda self: self.pending)
    @rule(
        command=st.sampled_from(
            [*OTHERS, "TOBE b", "SEND", "STOP", "SIZE 1", "RETR a", "NAME a", "KILL a"]
        )
    )
    def outOfTurn(self, command: str) -> None:
        self.opened("USER")
        self.expect("USER mkl", b"+")
        self.expect("PASS bar", b"-")
        self.expect(command, b"-")
        self.logIn()

    @rule(letter=st.sampled_from("ABCabcXZ"))
    def changeType(self, letter: str) -> None:
        self.opened("TYPE")
        known = self.loggedIn and letter.upper() in "ABC"
        self.expect(f"TYPE {letter}", b"+" if known else b"-")
        if known:
            self.type = letter.upper()

    @rule(name=names)
    def changeDirectory(self, name: str) -> None:
        self.opened("CDIR")
        place = self.place(name)
        good = self.loggedIn and place is not None and str(place) in self.directories
        text = self.expect(f"CDIR {name}", b"!" if good else b"-")
        if good and place is not None:
            self.here = place
            assert text.decode().endswith(f" {place}")

    @rule()
    def listNames(self) -> None:
        self.opened("LIST")
        if not self.loggedIn:
            self.expect("LIST F", b"-")
            return
        lines = self.expect("LIST F", b"+").decode().split("\r\n")
        everything = [*self.files, *self.directories - {"/"}]
        inside = [VirtualPath(each.strip("/").split("/")) for each in everything]
        expected = sorted(each.name for each in inside if each.parent == self.here)
        assert lines == [str(self.here), *expected, ""], (lines, expected)

    @rule(name=names)
    def kill(self, name: str) -> None:
        self.opened("KILL")
        good = self.isFile(name)
        self.expect(f"KILL {name}", b"+" if good else b"-")
        if good:
            del self.files[str(self.place(name))]

    @rule(name=names)
    def nameIt(self, name: str) -> None:
        place = self.place(name)
        good = (
            self.loggedIn and place is not None and str(place) in {*self.files, *self.directories}
        )
        self.opened("NAME", *(("TOBE", str(place)) if good else ()))
        self.expect(f"NAME {name}", b"+" if good else b"-")

    @precondition(lambda self: self.pending[:1] in (("TOBE",), ("SIZE",)))
    @rule(name=names)
    def toBe(self, name: str) -> None:
        before = self.opened("TOBE")
        place = self.place(name)
        if before[:1] != ("TOBE",) or before[1] in self.directories or not self.isFree(name):
            if before[:1] == ("TOBE",) and before[1] in self.directories:
                # Moving directories is the storage's test; here they stay.
                name = ""
            self.expect(f"TOBE {name}", b"-")
            return
        self.expect(f"TOBE {name}", b"+")
        self.files[str(place)] = self.files.pop(before[1])

    @rule(name=names)
    def retrieve(self, name: str) -> None:
        good = self.isFile(name)
        data = self.files[str(self.place(name))] if good else b""
        self.opened("RETR", *(("SEND", str(self.place(name)), self.type) if good else ()))
        number = self.expect(f"RETR {name}", b" " if good else b"-")
        if good:
            assert int(number) == len(netascii(data) if self.type == "A" else data)
            self.content = data

    @precondition(lambda self: self.pending)
    @rule()
    def sendIt(self) -> None:
        before = self.opened("SEND")
        if before[:1] != ("SEND",):
            self.expect("SEND", b"-")
            return
        data = netascii(self.content) if before[2] == "A" else self.content
        assert self.say("SEND") == data

    @precondition(lambda self: self.pending)
    @rule()
    def stopIt(self) -> None:
        before = self.opened("STOP")
        self.expect("STOP", b"+" if before[:1] == ("SEND",) else b"-")

    @rule(name=names, mode=st.sampled_from(["NEW", "OLD", "APP", "new", "XXX", ""]))
    def store(self, name: str, mode: str) -> None:
        free, there = self.isFree(name), self.isFile(name)
        good = free or (there and mode in ("OLD", "APP"))
        good = good and mode.upper() in ("NEW", "OLD", "APP")
        place = str(self.place(name))
        self.opened("STOR", *(("SIZE", mode.upper(), place, self.type) if good else ()))
        self.expect(f"STOR {mode} {name}", b"+" if good else b"-")

    @precondition(lambda self: self.pending[:1] in (("SIZE",), ("TOBE",)))
    @rule(data=contents, step=chunks | st.just(1 << 20))
    def size(self, data: bytes, step: int) -> None:
        before = self.opened("SIZE")
        if before[:1] != ("SIZE",):
            self.expect("SIZE 1", b"-")
            return
        _, mode, place, type = before
        wire = netascii(data) if type == "A" else data
        if wire:
            self.expect(f"SIZE {len(wire)}", b"+")
            for start in range(0, len(wire), step):
                assert self.peer.received() == b""
                assert self.visible(place) == self.files.get(place)
                self.peer.send(wire[start : start + step])
            assert self.peer.received()[:6] == b"+Saved"
        else:
            assert self.say("SIZE 0").count(b"\0") == 2
        self.files[place] = self.files.get(place, b"") + data if mode == "APP" else data

    @rule(
        name=st.sampled_from(["a", "b", "sub/a", "x y"]),
        mode=st.sampled_from(["NEW", "OLD", "APP"]),
        data=contents,
        step=chunks | st.just(1 << 20),
    )
    def upload(self, name: str, mode: str, data: bytes, step: int) -> None:
        self.store(name, mode)
        self.size(data, step)

    @rule(name=st.sampled_from(["a", "b", "sub/a", "x y"]))
    def download(self, name: str) -> None:
        self.retrieve(name)
        self.sendIt()

    @rule(
        source=st.sampled_from(["a", "b", "sub/a", "x y"]),
        new=st.sampled_from(["a", "b", "sub/b", "x y"]),
    )
    def rename(self, source: str, new: str) -> None:
        self.nameIt(source)
        self.toBe(new)

    @precondition(lambda self: self.pending)
    @rule(text=st.sampled_from(["", "-1", "1x", "9" * 30]))
    def badSize(self, text: str) -> None:
        self.opened("SIZE")
        self.expect(f"SIZE {text}", b"-")

    @rule(
        open=st.sampled_from(["NAME", "RETR", "STOR OLD", "STOR APP"]),
        name=st.sampled_from(["a", "b"]),
        other=st.sampled_from(OTHERS),
    )
    def cancelled(self, open: str, name: str, other: str) -> None:
        if open == "NAME":
            self.nameIt(name)
        elif open == "RETR":
            self.retrieve(name)
        else:
            self.store(name, open[5:])
        pending = self.opened(other)
        if other == "TYPE B":
            self.type = "B"
        assert self.say(other)[:1] in (b"+", b"-", b"!")
        self.expect(f"{pending[0] if pending else 'STOP'} 1", b"-")

    @precondition(lambda self: self.pending)
    @rule()
    def superfluous(self) -> None:
        self.opened("ACCT")
        self.expect("ACCT x", b"!")
        self.expect("PASS x", b"!")

    # --- what always holds

    def visible(self, place: str) -> bytes | None:
        return self.peer.stored(place)

    @invariant()
    def sameFiles(self) -> None:
        for place in ("/a", "/b", "/sub/a", "/sub/b", "/x y", "/sub/x y"):
            assert self.visible(place) == self.files.get(place), place

    @invariant()
    def stillOpen(self) -> None:
        assert not self.peer.isClosed

    def teardown(self) -> None:
        self.peer.transport.lose()
        assert self.peer.clock.getDelayedCalls() == []
        assert self.peer.tree.continued == set()


class ModelTests(SynchronousTestCase):
    def test_randomWalks(self) -> None:
        """Along any walk the server does what the model says, byte for byte."""
        run_state_machine_as_test(
            Model,
            settings=settings(
                max_examples=100,
                stateful_step_count=60,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
