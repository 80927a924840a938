"""
Rings of Stentor nodes and Go nodes on the memberlist that MetalLB pins (0.5.1).

Timers are memberlist's LAN profile run twice as fast, on both sides.
"""

from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

import attrs
import pytest

from speaker.gossip.config import LAN
from speaker.gossip.keyring import Keyring, derive_metallb_key
from speaker.gossip.messages import NodeState
from speaker.gossip.outputs import (
    MemberCleared,
    MemberLeft,
    MemberUpdated,
    StateReceived,
    UserReceived,
)
from speaker.gossip.wire import Wire
from tests.interop.go_node import GoNode, find_program, go_node
from tests.unit.speaker.gossip.loopback import Node, make_node, reached, running

CONFIG = attrs.evolve(
    LAN, probe_interval_s=0.5, probe_timeout_s=0.2, gossip_interval_s=0.1, push_pull_interval_s=2.0
)
FLAGS = (
    *("-probe-interval", "500ms", "-probe-timeout", "200ms"),
    *("-gossip-interval", "100ms", "-push-pull-interval", "2s"),
)
PATIENT = ("-probe-timeout", "900ms")  # no ping is lost to a busy machine
SECRET = "Zm9yIHRlc3RzIG9ubHkh"  # 22 characters, as MetalLB's controller makes them, or fewer
HOUR_OF_PINGS = 3600  # a LAN node pings once a second
HOUR_OF_PUSH_PULLS = 120  # and exchanges state every 30 s


@pytest.fixture(scope="module")
def program() -> Path:
    return find_program()


@attrs.frozen
class Secrets:
    """The same ring's secrets, for either side."""

    wire: Wire
    flags: tuple[str, ...] = ()


def secrets(key: bytes | None = None, *flags: str, label: str = "") -> Secrets:
    keyring = Keyring.of(key) if key else None
    return Secrets(Wire(keyring=keyring, label=label.encode()), flags)


RINGS = [
    pytest.param(secrets(), id="clear"),
    pytest.param(secrets(bytes(range(16)), "-key", bytes(range(16)).hex()), id="aes_128"),
    pytest.param(
        secrets(derive_metallb_key(SECRET.encode()), "-metallb-secret", SECRET), id="metallb_key"
    ),
    pytest.param(
        secrets(bytes(range(32)), "-key", bytes(range(32)).hex(), "-label", "blue", label="blue"),
        id="label_and_aes_256",
    ),
]


def stentor(name: str, ring: Secrets, local_state: bytes = b"") -> Node:
    return make_node(name, config=CONFIG, wire=ring.wire, local_state=local_state)


def refused(*nodes: Node) -> list[str]:
    return [
        f"{node.gossip.swim.name}: {name}"
        for node in nodes
        for name in node.gossip.counts
        if name.startswith("gossip_refused")
    ]


def states(node: Node) -> dict[str, NodeState]:
    return {member.name: member.state for member in node.gossip.swim.members}


async def agree(names: list[str], stentors: list[Node], goes: list[GoNode]) -> None:
    """Wait until every node believes in exactly these members."""
    for node in stentors:
        await reached(lambda node=node: node.up, lambda up: up == names, within_s=30.0)  # type: ignore[misc]  # bound
    for go in goes:
        await go.sees(names)


@pytest.mark.parametrize("ring", RINGS)
async def test_a_mixed_ring_agrees_through_joins_a_death_and_goodbyes(
    program: Path, ring: Secrets
) -> None:
    """Joined both ways: we dial Go, Go dials us. One Go node dies, one of each kind leaves."""
    one, two = stentor("st1", ring), stentor("st2", ring)
    async with AsyncExitStack() as stack:
        go1 = await stack.enter_async_context(go_node(program, "go1", *FLAGS, *ring.flags))
        await stack.enter_async_context(running(one, two))
        assert await one.gossip.join(*go1.target) is None
        here = "{}:{}".format(*one.gossip.swim.endpoint)
        go2 = await stack.enter_async_context(
            go_node(program, "go2", *FLAGS, *ring.flags, "-join", here)
        )
        assert await two.gossip.join(*go2.target) is None
        await agree(["go1", "go2", "st1", "st2"], [one, two], [go1, go2])

        await go1.kill()
        await agree(["go2", "st1", "st2"], [one, two], [go2])
        assert [states(node)["go1"] for node in (one, two)] == [NodeState.DEAD] * 2

        assert await two.gossip.leave(within_s=5.0)
        await agree(["go2", "st1"], [one], [go2])

        await go2.ask("leave", "leave_done")
        await agree(["st1"], [one], [])
        assert states(one)["go2"] == NodeState.LEFT

    assert refused(one, two) == []
    assert [
        text for text in go2.complaints() if "go1" not in text and "push/pull" not in text
    ] == []


async def test_a_stentor_node_that_dies_is_given_up_by_go_nodes(program: Path) -> None:
    ring = secrets()
    one, two = stentor("st1", ring), stentor("st2", ring)
    async with go_node(program, "go1", *FLAGS) as go, running(one):
        await one.gossip.join(*go.target)
        async with running(two):
            await two.gossip.join(*go.target)
            await agree(["go1", "st1", "st2"], [one, two], [go])

        await agree(["go1", "st1"], [one], [go])

        assert go.told("leave") == ["st2"]
        assert [event.member.state for event in one.heard(MemberLeft)] == [NodeState.DEAD]


async def test_go_nodes_follow_a_death_that_beats_have_found(program: Path) -> None:
    """Nobody pings here: what st1 says is all that the Go nodes can learn."""
    deaf = attrs.evolve(CONFIG, probe_interval_s=600.0)
    nodes = [make_node(name, config=deaf) for name in ("st1", "st2")]
    one, two = nodes
    flags = (*FLAGS, "-probe-interval", "600s")
    async with (
        go_node(program, "go1", *flags) as go1,
        go_node(program, "go2", *flags) as go2,
        running(one),
    ):
        async with running(two):
            for node in nodes:
                await node.gossip.join(*go1.target)
            await one.gossip.join(*go2.target)
            await agree(["go1", "go2", "st1", "st2"], nodes, [go1, go2])
        one.gossip.accuse("st2")

        await agree(["go1", "go2", "st1"], [one], [go1, go2])


async def test_a_stentor_node_that_is_accused_and_lives_refutes(program: Path) -> None:
    one, two = stentor("st1", secrets()), stentor("st2", secrets())
    async with go_node(program, "go1", *FLAGS) as go, running(one, two):
        for node in (one, two):
            await node.gossip.join(*go.target)
        await agree(["go1", "st1", "st2"], [one, two], [go])

        one.gossip.accuse("st2")

        await reached(lambda: one.heard(MemberCleared))
        await agree(["go1", "st1", "st2"], [one, two], [go])
        assert one.heard(MemberLeft) == []


async def test_a_stentor_node_that_restarts_is_taken_in_again(program: Path) -> None:
    """It begins at incarnation 1 and has to outbid what the ring remembers of it."""
    ring = secrets()
    first = stentor("st1", ring)
    async with go_node(program, "go1", *FLAGS) as go:
        async with running(first):
            await first.gossip.join(*go.target)
            await go.sees(["go1", "st1"])
        await go.sees(["go1"])
        again = make_node("st1", port=first.gossip.port, config=CONFIG, wire=ring.wire)
        async with running(again):
            await again.gossip.join(*go.target)
            await agree(["go1", "st1"], [again], [go])


async def test_user_messages_and_user_state_cross_over(program: Path) -> None:
    node = stentor("st1", secrets(), local_state=b"facts of st1")
    async with go_node(program, "go1", *FLAGS, "-state", "state of go1") as go, running(node):
        await node.gossip.join(*go.target)
        await agree(["go1", "st1"], [node], [go])

        node.gossip.send_user("go1", b"to go")
        [line] = await reached(lambda: go.printed("user"))
        await go.ask("send st1 from go", "sent")
        [datagram] = await reached(lambda: node.heard(UserReceived))
        await go.ask(f"reliable st1 {'x' * 3000}", "sent")
        by_stream = (await reached(lambda: node.heard(UserReceived), lambda got: len(got) == 2))[1]

    assert bytes.fromhex(line["payload"]) == b"to go"
    assert (datagram.payload, datagram.node) == (b"from go", "go1")
    assert by_stream.payload == b"x" * 3000
    assert node.heard(StateReceived)[0].payload == b"state of go1"
    assert bytes.fromhex(go.printed("state")[0]["payload"]) == b"facts of st1"


async def test_a_go_node_without_a_delegate_does_not_mind_our_extras(program: Path) -> None:
    """That is MetalLB: user state, user messages and gossiped ones pass it by."""
    node = stentor("st1", secrets(), local_state=b"facts of st1")
    async with go_node(program, "go1", *PATIENT) as go, running(node):
        await node.gossip.join(*go.target)
        await agree(["go1", "st1"], [node], [go])
        node.gossip.send_user("go1", b"direct")
        node.gossip.broadcast_user(b"gossiped", "key")

        answer = await go.ask("pings st1 20", "pinged")

        assert answer["answered"] == 20
        assert go.complaints() == []
        assert await go.members() == ["go1", "st1"]


@pytest.mark.parametrize(
    ("own", "flags", "why"),
    [
        pytest.param(
            bytes(range(32)),
            ("-key", bytes(range(1, 33)).hex()),
            "it has another gossip key",
            id="another_key",
        ),
        pytest.param(
            bytes(range(32)), (), "we have a gossip key and it has none", id="only_we_have_one"
        ),
        pytest.param(
            None,
            ("-key", bytes(32).hex()),
            "it has a gossip key and we have none",
            id="only_it_has_one",
        ),
    ],
)
async def test_a_go_ring_with_another_key_is_not_joined_and_the_reason_told(
    program: Path, own: bytes | None, flags: tuple[str, ...], why: str
) -> None:
    node = stentor("st1", secrets(own))
    async with go_node(program, "go1", *FLAGS, *flags) as go, running(node):
        assert await node.gossip.join(*go.target) == why
        assert await go.members() == ["go1"]
    assert node.up == ["st1"]


async def test_the_go_node_elects_as_metallb_does(program: Path) -> None:
    """Least SHA-256 of node "#" address; what the tests of mixed rings compare owners with."""
    vips = [f"192.0.2.{number}" for number in range(1, 9)]
    node = stentor("st1", secrets())
    flags = [word for vip in vips for word in ("-vip", vip)]
    async with go_node(program, "go1", *FLAGS, *flags) as go, running(node):
        await node.gossip.join(*go.target)
        await agree(["go1", "st1"], [node], [go])

        owners = (await go.ask("owners", "owners"))["owners"]

    def rank(name: str, vip: str) -> bytes:
        return sha256(f"{name}#{vip}".encode()).digest()

    assert owners == {vip: min(node.up, key=lambda name, vip=vip: rank(name, vip)) for vip in vips}  # type: ignore[misc]  # bound
    assert set(owners.values()) == {"go1", "st1"}


async def test_an_hour_of_go_messages_passes_without_an_error(program: Path) -> None:
    """
    By count, not by waiting: what a Go node sends a peer in an hour of memberlist's LAN profile.

    It pings 3600 times and exchanges state 120 times through its own API, one after the other as
    fast as we answer, with compression and AES as it comes; and it changes its meta data 50
    times, each gossiped. Everything is answered, nothing refused, ignored or suspected.
    """
    ring = secrets(bytes(range(32)), "-key", bytes(range(32)).hex())
    node = stentor("st1", ring, local_state=b"facts of st1")
    flags = (*PATIENT, *ring.flags, "-state", "of go1", "-gossip-interval", "10ms")
    async with (
        go_node(program, "go1", *flags) as go,
        running(node),
    ):
        await node.gossip.join(*go.target)
        await agree(["go1", "st1"], [node], [go])
        here = "{}:{}".format(*node.gossip.swim.endpoint)

        pinged = await go.ask(f"pings st1 {HOUR_OF_PINGS}", "pinged", within_s=120.0)
        exchanged = await go.ask(
            f"pushpulls {here} {HOUR_OF_PUSH_PULLS}", "exchanged", within_s=120.0
        )
        updated = await go.ask("updates 50", "updated", within_s=120.0)
        await reached(
            lambda: node.heard(MemberUpdated),
            lambda heard: bool(heard) and heard[-1].member.meta == b"meta 50",
        )

    assert (pinged["answered"], pinged["failed"]) == (HOUR_OF_PINGS, 0)
    assert (exchanged["answered"], exchanged["failed"]) == (HOUR_OF_PUSH_PULLS, 0)
    assert (updated["answered"], updated["failed"]) == (50, 0)
    assert node.gossip.counts["gossip_rx_datagrams"] >= HOUR_OF_PINGS
    assert node.gossip.counts["gossip_streams_accepted"] >= HOUR_OF_PUSH_PULLS
    assert refused(node) == []
    assert node.gossip.swim.ignored == {}
    assert node.heard(MemberLeft) == []
    assert go.complaints() == []
