"""A node is judged on each segment by itself (OWNERSHIP.md 4), on a real core with two of them."""

import hashlib
import random
from ipaddress import ip_address, ip_network

import attrs

from speaker.beats import BeatState
from speaker.beats.cell import Cell
from speaker.beats.vigil import Standing
from speaker.herald.actions import Note, SendBeat, Speak, SpeakAll, Vip, Voice
from speaker.herald.claims import Words
from speaker.herald.core import CoreConfig, HeraldCore, Link, PlannedSeat
from speaker.herald.facts import Claim, Flag, Hello, LinkFact, Seats, Word, encode
from speaker.herald.sentry import Reflection

ON_0, ON_1, ON_BOTH = (ip_address(f"192.0.2.{n}") for n in (10, 11, 12))
SERVING = {
    ON_0: frozenset({"eth0"}),
    ON_1: frozenset({"eth1"}),
    ON_BOTH: frozenset({"eth0", "eth1"}),
}
NETWORKS = {"eth0": "203.0.113.0/24", "eth1": "198.18.0.0/24", "mgmt0": "198.51.100.0/24"}
STEP_S = 0.001
ACTING = Flag.STARTED | Flag.LINKED | Flag.AGENT_FRESH


def lladdr(node: str, interface: str) -> bytes:
    return bytes((2, 0, 0, 0, list(NETWORKS).index(interface), int(node[1:])))


@attrs.define
class Watcher:
    """The core of n1 with eth0, eth1 and mgmt0; n2 and n3 gossip, and n3 holds every seat."""

    core: HeraldCore = attrs.field(init=False)
    now: float = 0.0
    names: tuple[str, ...] = ("n2", "n3")
    dark: set[Cell] = attrs.field(factory=set)  # cells that reflect nothing
    beats: list[SendBeat] = attrs.field(factory=list)
    table: dict[Vip, Voice] = attrs.field(factory=dict)
    notes: list[tuple[str, ...]] = attrs.field(factory=list)  # event, node, segment
    seq: int = 0

    def __attrs_post_init__(self) -> None:
        self.core = HeraldCore(CoreConfig("n1", bytes(16), beats=True), random.Random(1), 0.0)
        links = [
            Link(name, lladdr("n1", name), networks=(ip_network(network),))
            for name, network in NETWORKS.items()
        ]
        self.core.set_interfaces(links, [], [], 0.0)
        self.core.join_settled(0.0)
        order = ("n3", "n1", "n2")
        plan = [PlannedSeat(vip, order, interfaces) for vip, interfaces in SERVING.items()]
        self.core.set_plan(plan, 0.0)
        for name in self.names:
            address = ip_address(f"198.51.100.{name[1:]}")
            self.core.member_joined(name, address, 0.0, stentor=True)
            self.greet(name)
        self.run(2.5)

    def greet(self, name: str) -> None:
        """What a peer says every second: that it acts and, if it is n3, what it holds."""
        self.seq += 2
        held = SERVING if name == "n3" else {}
        words = Words()
        for vip in held:
            words.put(vip.packed, Word(Claim.HELD, 1, "", 0))
        links = tuple(LinkFact(each, lladdr(name, each), 1) for each in NETWORKS)
        instance = hashlib.md5(name.encode(), usedforsecurity=False).digest()
        hello = Hello(
            name, instance, self.seq, 9_000, ACTING, "", words.active, words.digest, 0, links
        )
        wire = tuple((vip.packed, 1, Claim.HELD, 0) for vip in held)
        seats = Seats(name, instance, self.seq + 1, name, 0, (), wire)
        for message in (seats, hello) if held else (hello,):
            self.core.received(f"198.51.100.{name[1:]}", encode(message), self.now)

    def run(self, seconds: float) -> None:
        for step in range(round(seconds / STEP_S)):
            if not step % 1000:
                self.core.agent_heard(self.now)
                for name in self.names:
                    self.greet(name)
            self.core.tick(self.now)
            if self.now >= self.core.sentries.next_wakeup():
                self.core.watch(self.now)
            self.carry_out()
            self.now += STEP_S

    def carry_out(self) -> None:
        while actions := self.core.take_actions():
            for action in actions:
                match action:
                    case Speak(vip, voice):
                        self.table[vip] = voice
                    case SpeakAll(_, vips, voice):
                        self.table.update(dict.fromkeys(vips, voice))
                    case Note(event, fields):
                        named = (str(fields.get(key, "")) for key in ("name", "segment"))
                        self.notes.append((event, *named))
                    case SendBeat():
                        self.beats.append(action)
                        self.reflect(action)
                    case _:
                        pass

    def reflect(self, beat: SendBeat) -> None:
        cell = Cell(beat.node, beat.segment)
        if cell not in self.dark and beat.interface == beat.segment:
            reflection = Reflection(cell, beat.interface, beat.seq, BeatState.OWNING, 1)
            self.core.reflected(reflection, self.now)

    def taken(self) -> set[Vip]:
        """What n1 answers for."""
        return {vip for vip, voice in self.table.items() if voice in {Voice.HELD, Voice.WEAK}}


def test_only_segments_that_carry_vips_are_watched() -> None:
    watcher = Watcher()

    assert {beat.interface for beat in watcher.beats} == {"eth0", "eth1"}
    standings = {
        (sentry.interface, node): watchee.standing
        for sentry in watcher.core.sentries.by_interface.values()
        for node, watchee in sentry.vigil.watchees.items()
    }
    assert standings == {
        (interface, node): Standing.HEARD for interface in ("eth0", "eth1") for node in ("n2", "n3")
    }


def test_the_facts_name_cells_by_the_interface_of_the_peer() -> None:
    watcher = Watcher()
    watcher.run(1.0)

    assert watcher.core._world.own.reflects == tuple(
        (node, segment) for node in ("n2", "n3") for segment in ("eth0", "eth1")
    )


def test_a_silent_segment_moves_the_seats_that_it_serves_and_no_other() -> None:
    watcher = Watcher()

    watcher.dark.add(Cell("n3", "eth1"))
    watcher.run(0.2)

    assert watcher.taken() == {ON_1, ON_BOTH}
    assert ("node_silent", "n3", "eth1") in watcher.notes
    assert [fence.segment for fence in watcher.core.sentries.fences.records()] == ["eth1"]
    claimed = {b.segment for b in watcher.beats if b.node == "n3" and b.claimed is not None}
    assert claimed == {"eth1"}


def test_a_segment_that_is_dead_to_all_takes_no_seat_that_another_serves_too() -> None:
    """Without a witness there the holder may well be heard where the VIP is answered as well."""
    watcher = Watcher()

    watcher.dark |= {Cell("n2", "eth1"), Cell("n3", "eth1")}
    watcher.run(0.6)

    assert ("node_silent_without_witness", "n3", "eth1") in watcher.notes
    assert watcher.taken() == {ON_1}


def test_a_node_silent_on_all_segments_is_told_of_as_such() -> None:
    watcher = Watcher()
    watcher.dark.add(Cell("n3", "eth0"))
    watcher.run(0.2)
    sentries = watcher.core.sentries
    assert not sentries.silent_everywhere("n3")

    watcher.dark.add(Cell("n3", "eth1"))
    watcher.run(0.2)

    assert watcher.taken() == set(SERVING)
    assert not watcher.core.is_alive("n3")
    assert not sentries.silent_everywhere("n3")  # its gossip has a network of its own
    watcher.core._world.peers["n3"].address = ip_address("203.0.113.3")
    assert sentries.silent_everywhere("n3")


def test_memberlist_is_doubted_while_a_node_reflects_on_any_segment() -> None:
    watcher = Watcher()
    watcher.dark.add(Cell("n3", "eth1"))
    watcher.run(0.2)
    watcher.names = ("n2",)  # n3 is cut off the management network
    watcher.run(3.0)

    watcher.core.member_left("n3", watcher.now, dead=True)
    watcher.run(2.0)

    assert watcher.core.is_alive("n3")
    assert watcher.taken() == {ON_1, ON_BOTH}


def test_a_cell_that_lost_its_lease_drops_the_seats_of_its_segment_only() -> None:
    watcher = Watcher()
    watcher.dark |= {Cell("n3", "eth0"), Cell("n3", "eth1")}
    watcher.run(0.3)
    assert watcher.taken() == set(SERVING)

    watcher.core.lease_expired(watcher.now, {"eth1"})
    watcher.carry_out()

    assert watcher.taken() == {ON_0}


def test_a_refused_datagram_counts_as_silence_and_is_no_death() -> None:
    """Its host is alive and others hear it on the segment, or it answers frames."""
    watcher = Watcher()
    cell = Cell("n3", "eth0")
    search = watcher.core.sentries.paths._searches[cell]
    search.paths = (*search.paths, attrs.evolve(search.paths[0], address=ip_address("203.0.113.3")))
    search.found = search.paths[-1]

    watcher.core.beat_refused(cell, watcher.now)
    watcher.carry_out()
    assert watcher.core.sentries.by_interface["eth0"].vigil.standing("n3") is Standing.SILENT
    watcher.run(0.2)

    assert ("node_accused", "n3", "eth0") in watcher.notes
    assert watcher.taken() == set()
