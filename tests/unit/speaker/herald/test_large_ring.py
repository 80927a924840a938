"""What a ring of hundreds must not cost, and that sparing it changes no decision."""

from ipaddress import ip_address
from itertools import product
from random import Random

from speaker.herald.actions import Broadcast, SendAll
from speaker.herald.core import CoreConfig, HeraldCore
from speaker.herald.facts import Flag, Hello, encode
from speaker.herald.peers import HELLO_S, Peer, Silent
from speaker.herald.teller import OwnFacts
from speaker.herald.world import World

MEMBERS = 200
HELLO = Hello("n1", bytes(16), 1, 0, Flag.STARTED | Flag.LINKED, "", 0, 0, 0)


def core_of(members: int) -> HeraldCore:
    """A core in a ring of so many others."""
    core = HeraldCore(CoreConfig("me", bytes(16)), Random(1), 0.0)
    for i in range(members):
        core.member_joined(f"n{i}", ip_address(f"192.0.2.{i}"), 0.0, stentor=True)
    core.take_actions()
    return core


def test_hello_to_all_is_one_action() -> None:
    core = core_of(MEMBERS)

    while core.next_wakeup() <= HELLO_S:
        core.tick(core.next_wakeup())

    [hello] = [action for action in core.take_actions() if isinstance(action, SendAll)]
    assert len(hello.nodes) == MEMBERS


def passed_on(members: int) -> int:
    """How many of so many hellos that say something new a node gossips on."""
    core = core_of(members)
    for i in range(members):
        hello = Hello(f"n{i}", bytes(16), 1, 0, 0, "", 0, 0, 0, relay=True)
        core.received(f"192.0.2.{i}", encode(hello), 1.0)
    return sum(isinstance(action, Broadcast) for action in core.take_actions())


def test_in_a_small_ring_everybody_passes_hellos_on() -> None:
    assert passed_on(20) == 20


def test_in_a_large_ring_about_a_quarter_does() -> None:
    assert 30 <= passed_on(MEMBERS) <= 70


def test_looking_at_one_peer_finds_what_looking_at_all_does() -> None:
    states = list(product((True, False), (True, False), (None, HELLO), (None, "192.0.2.7")))
    world = World(OwnFacts("me", bytes(16), "", 0.0), {}, 100.0)
    peer = world.peers["n1"] = Peer("n1")
    world.peers["n2"] = Peer("n2", is_alive=True, address=ip_address("192.0.2.9"))

    world.refresh_peers()
    world.refresh_untouchable()

    for alive, silenced, hello, address in states + states[::-1]:
        peer.is_alive = peer.is_member = alive
        peer.silent = {"eth0": Silent(0.0, weak=False)} if silenced else {}
        peer.hello = hello
        peer.address = ip_address(address) if address else None
        peer.hosts = frozenset({b"host"}) if hello else frozenset()
        world.refresh_peer(peer)
        world.refresh_untouchable_of(peer)
        found = world.listed, world.alive, world.able, world.foreigners, world.untouchable
        world.refresh_peers()
        world.refresh_untouchable()

        assert found[1:] == (world.alive, world.able, world.foreigners, world.untouchable)
