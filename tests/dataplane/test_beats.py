"""Beats over a real cable: reflected on every rung, over every carrier, sound to a kernel."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest

from speaker.beats import (
    ETHERTYPE,
    HOP_LIMIT,
    PORT,
    BeatReply,
    BeatRequest,
    BeatState,
    Keys,
    decode,
    encode_request,
)
from speaker.dataplane import XdpMode
from tests.dataplane.conftest import Herald, Start
from tests.dataplane.net import Pair, inside

pytestmark = pytest.mark.root

KEYS = Keys(bytes(range(16)))
NODE_LLADDR = bytes.fromhex("020000000001")
REQUEST = BeatRequest(sender=77, target=0, seq=1, sent_ns=1, has_witness=True)
MODES = [XdpMode.NATIVE, XdpMode.GENERIC, XdpMode.TC, XdpMode.USERSPACE]
TIMEOUT_S = 2.0
TICK_MS = 10  # the program's clock stands still for a tick


@contextmanager
def client_socket(net: Pair, *words: int) -> Iterator[socket.socket]:
    with inside(net.client):
        made = socket.socket(*words)
    made.settimeout(TIMEOUT_S)
    with made:
        yield made


def by_frame(net: Pair, payload: bytes) -> bytes:
    with client_socket(net, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) as client:
        client.bind(("eth0", ETHERTYPE))
        own = client.getsockname()[4]
        client.send(NODE_LLADDR + own + ETHERTYPE.to_bytes(2, "big") + payload)
        frame = client.recv(2048)
    assert (frame[:6], frame[6:12]) == (own, NODE_LLADDR)
    return frame[14:]


def by_ipv4(net: Pair, payload: bytes) -> bytes:
    with client_socket(net, socket.AF_INET, socket.SOCK_DGRAM, 0) as client:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
        client.connect(("192.0.2.2", PORT))
        client.send(payload)
        return client.recv(2048)


def by_ipv6(net: Pair, payload: bytes) -> bytes:
    with client_socket(net, socket.AF_INET6, socket.SOCK_DGRAM, 0) as client:
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
        client.connect(("2001:db8::2", PORT))
        client.send(payload)
        return client.recv(2048)


CARRIERS = [by_frame, by_ipv4, by_ipv6]


def beat(net: Pair, request: BeatRequest, carrier: int = 0) -> BeatReply:
    found = decode(CARRIERS[carrier](net, encode_request(request, KEYS)), KEYS)
    assert isinstance(found, BeatReply)
    return found


def begin(net: Pair, start: Start, mode: XdpMode = XdpMode.NATIVE) -> Herald:
    net.in_node("ip", "addr", "add", "192.0.2.2/24", "dev", "eth0")
    net.in_node("ip", "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
    herald = start(mode)
    herald.plane.set_beat_keys(KEYS.slots, is_open=False)
    return herald


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("carrier", range(3), ids=["frame", "ipv4", "ipv6"])
def test_a_neighbours_beat_comes_back(net: Pair, start: Start, mode: XdpMode, carrier: int) -> None:
    """By UDP the client's kernel has checked the checksum before it hands the reply out."""
    herald = begin(net, start, mode)

    found = beat(net, REQUEST, carrier)

    [attachment] = herald.plane.attachments()
    assert found.asked == REQUEST
    assert (found.state, found.ifindex, found.vlan) == (BeatState.OWNING, attachment.ifindex, 0)
    assert (found.lladdr, found.instance, found.generation) == (NODE_LLADDR, 1, 1)
    assert 0 < found.remaining_ms <= 3_000 + TICK_MS
    assert herald.plane.exits()["beat_reflected"] == 1


def test_a_request_is_noted_for_the_herald(net: Pair, start: Start) -> None:
    herald = begin(net, start)
    assert herald.plane.heard_beats() == []

    beat(net, REQUEST)

    found = herald.plane.heard_beat(REQUEST.sender, cell=0)
    assert found is not None
    assert (found.sender, found.cell, found.has_witness, found.claims) == (77, 0, True, False)
    assert 0 < found.heard_ns <= time.monotonic_ns()
    assert herald.plane.heard_beats() == [found]
    assert herald.plane.heard_beat(REQUEST.sender, cell=1) is None
    assert herald.plane.heard_beat(78, cell=0) is None


def test_a_claim_suspends_and_re_entry_is_beyond_it(net: Pair, start: Start) -> None:
    herald = begin(net, start)

    fenced = beat(net, attrs.evolve(REQUEST, claimed=40))
    [lost] = herald.plane.push_lease(now_ns=time.monotonic_ns())
    herald.plane.enter(now_ns=time.monotonic_ns())
    after = beat(net, attrs.evolve(REQUEST, claimed=40, sent_ns=2))

    assert (fenced.state, fenced.fenced_epoch) == (BeatState.SUSPENDED, 40)
    assert lost.suspended
    assert (after.state, after.epoch) == (BeatState.OWNING, 41)


def test_an_interface_that_comes_later_has_the_keys(net: Pair, start: Start) -> None:
    herald = begin(net, start)
    net.add_link("eth1", "02:00:00:00:00:02")

    herald.sync()

    assert {cell.ifindex for cell in herald.plane.cells()} == {
        attachment.ifindex for attachment in herald.plane.attachments()
    }
    with client_socket(net, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) as client:
        client.bind(("eth1", ETHERTYPE))
        own = client.getsockname()[4]
        dest = bytes.fromhex("020000000002")
        client.send(dest + own + ETHERTYPE.to_bytes(2, "big") + encode_request(REQUEST, KEYS))
        assert isinstance(decode(client.recv(2048)[14:], KEYS), BeatReply)


def test_a_restarted_herald_adopts_cells_with_their_keys(net: Pair, start: Start) -> None:
    """Between its start and the moment it knows the gossip keys nobody misses a beat."""
    begin(net, start)

    start()

    assert beat(net, REQUEST).state is BeatState.OWNING
