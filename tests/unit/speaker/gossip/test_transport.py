"""Nodes on real sockets of the loopback interface."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import attrs
import pytest

from speaker.gossip.acceptor import STREAMS_MAX
from speaker.gossip.errors import BindError, MessageTooLargeError
from speaker.gossip.keyring import Keyring
from speaker.gossip.messages import Err, Ping, PushPull, User
from speaker.gossip.outputs import Event, MemberLeft, StateReceived, UserReceived
from speaker.gossip.stream import StreamReader, encode_stream
from speaker.gossip.wire import Wire
from tests.unit.speaker.gossip.loopback import FAST, Node, free_port, make_node, reached, running

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 17))


async def join(node: Node, other: Node) -> str | None:
    return await node.gossip.join(*other.gossip.swim.endpoint)


def refused(node: Node) -> dict[str, int]:
    counts = node.gossip.counts
    return {name: count for name, count in counts.items() if name.startswith("gossip_refused")}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("key", [None, KEY], ids=["clear", "encrypted"])
async def test_nodes_join_and_leave(host: str, key: bytes | None) -> None:
    one, two = (make_node(name, host=host, key=key) for name in ("one", "two"))

    async with running(one, two):
        assert await join(two, one) is None
        await reached(lambda: (one.up, two.up), lambda up: up == (["one", "two"], ["one", "two"]))
        assert await two.gossip.leave(within_s=5.0)
        await reached(lambda: one.heard(MemberLeft))

    assert refused(one) == refused(two) == {}


async def test_a_node_that_stops_is_given_up() -> None:
    one, two = make_node("one"), make_node("two")

    async with running(one):
        async with running(two):
            await join(two, one)
            await reached(lambda: one.up, lambda up: up == ["one", "two"])
        await reached(lambda: one.heard(MemberLeft))

    assert one.up == ["one"]


async def test_an_ipv6_wildcard_serves_ipv4_too() -> None:
    """Both families on one socket; members of either are reached."""
    port = free_port("::")
    one = make_node("one", host="::1", port=port)
    one.gossip.bind = "::"
    two = make_node("two", host="127.0.0.1")

    async with running(one, two):
        assert await two.gossip.join("127.0.0.1", port) is None
        await reached(lambda: one.up, lambda up: up == ["one", "two"])
        one.gossip.send_user("two", b"hello")
        await reached(lambda: two.heard(UserReceived))


async def test_user_messages_and_state_arrive() -> None:
    one, two = make_node("one", local_state=b"of one"), make_node("two", local_state=b"of two")

    async with running(one, two):
        await join(two, one)
        await reached(lambda: one.up, lambda up: up == ["one", "two"])
        one.gossip.send_user("two", b"direct")
        two.gossip.broadcast_user(b"gossiped", "key")
        [direct, *_] = await reached(lambda: two.heard(UserReceived))
        [gossiped, *_] = await reached(lambda: one.heard(UserReceived))

    assert (direct.payload, direct.node) == (b"direct", "one")
    assert (gossiped.payload, gossiped.node) == (b"gossiped", "two")
    assert one.heard(StateReceived)[0].payload == b"of two"
    assert two.heard(StateReceived)[0].payload == b"of one"


async def test_a_user_message_too_large_for_a_datagram_is_refused_and_the_largest_is_not() -> None:
    one, two = make_node("one", key=KEY), make_node("two", key=KEY)
    largest = one.gossip.swim.user_max_bytes

    async with running(one, two):
        await join(two, one)
        await reached(lambda: one.up, lambda up: up == ["one", "two"])
        one.gossip.send_user("two", os.urandom(largest))
        await reached(lambda: two.heard(UserReceived))
        with pytest.raises(MessageTooLargeError, match=f"{largest + 1} bytes, at most {largest}"):
            one.gossip.send_user("two", bytes(largest + 1))
        with pytest.raises(MessageTooLargeError, match=f"{largest + 1} bytes, at most {largest}"):
            one.gossip.broadcast_user(bytes(largest + 1), "key")


@pytest.mark.parametrize(
    ("own", "theirs", "why", "reason"),
    [
        pytest.param(KEY, OTHER_KEY, "it has another gossip key", "wrong_key", id="another_key"),
        pytest.param(
            KEY, None, "we have a gossip key and it has none", "no_key", id="only_we_have_one"
        ),
        pytest.param(
            None, KEY, "it has a gossip key and we have none", "not_encrypted", id="only_they_have"
        ),
    ],
)
async def test_a_join_with_the_wrong_key_says_so_on_both_sides(
    own: bytes | None, theirs: bytes | None, why: str, reason: str
) -> None:
    one, two = make_node("one", key=own), make_node("two", key=theirs)

    async with running(one, two):
        answers = [await join(one, two) for _ in range(3)]
        await reached(lambda: refused(two), bool)

    assert answers == [why] * 3
    assert refused(two) == {f"gossip_refused_{reason}": 3}
    [line] = two.log.naming("gossip_undecryptable")  # once a minute, not per message
    assert '"127.0.0.1"' in line
    assert reason in line
    assert (one.up, two.up) == (["one"], ["two"])


@pytest.mark.parametrize("own", [KEY, None], ids=["with_a_key", "without"])
async def test_datagrams_that_cannot_be_decrypted_are_counted_and_told_once(
    own: bytes | None,
) -> None:
    node = make_node("one", key=own)
    stranger = Wire(keyring=Keyring.of(OTHER_KEY))
    [datagram] = stranger.encode_packet([Ping(1, "one")])

    async with running(node):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(5):
                sender.sendto(datagram, node.gossip.swim.endpoint)
            await reached(lambda: sum(refused(node).values()), lambda count: count == 5)

    assert refused(node) == {f"gossip_refused_{'wrong_key' if own else 'no_key'}": 5}
    assert len(node.log.naming("gossip_undecryptable")) == 1


async def test_a_key_is_changed_without_losing_anybody() -> None:
    """Add everywhere, use everywhere, remove everywhere."""
    nodes = [make_node(name, key=OTHER_KEY) for name in ("one", "two", "three")]
    keyrings = [node.gossip.wire.keyring for node in nodes]

    async with running(*nodes):
        for node in nodes[1:]:
            await join(node, nodes[0])
        names = sorted(node.gossip.swim.name for node in nodes)
        await reached(lambda: [node.up for node in nodes], lambda up: up == [names] * 3)
        for step in (Keyring.add, Keyring.use):
            for keyring in keyrings:
                assert keyring is not None
                step(keyring, KEY)
                before = sum(node.gossip.counts["gossip_rx_datagrams"] for node in nodes)
                await reached(
                    lambda: sum(node.gossip.counts["gossip_rx_datagrams"] for node in nodes),
                    lambda count, before=before: count > before + 6,  # type: ignore[misc]  # bound
                )
        for keyring in keyrings:
            assert keyring is not None
            keyring.remove(OTHER_KEY)
        assert await join(nodes[0], nodes[1]) is None

    assert [refused(node) for node in nodes] == [{}] * 3
    assert [node.heard(MemberLeft) for node in nodes] == [[]] * 3


@pytest.mark.parametrize(
    ("kind", "transport"), [(socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")]
)
async def test_a_port_in_use_is_told_with_what_to_do(
    kind: socket.SocketKind, transport: str
) -> None:
    node = make_node("one")
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", node.gossip.port))
        if kind == socket.SOCK_STREAM:
            other.listen()

        with pytest.raises(BindError) as raised:
            await node.gossip.run()

    text = str(raised.value)
    assert f"{transport} port {node.gossip.port} of 127.0.0.1: another program has it" in text
    assert "ss -ln" in text


async def test_an_address_that_is_not_ours_is_told() -> None:
    node = make_node("one")
    node.gossip.bind = "192.0.2.1"

    with pytest.raises(BindError, match="this host has no such address"):
        await node.gossip.run()


async def test_a_name_that_does_not_resolve_is_told() -> None:
    node = make_node("one")

    async with running(node):
        why = await node.gossip.join("no-such-host.invalid", 7946)

    assert why is not None
    assert why.startswith("no-such-host.invalid cannot be resolved")


async def test_a_target_where_nobody_listens_is_told_and_ourselves_are_no_failure() -> None:
    node = make_node("one")

    async with running(node):
        assert await node.gossip.join("127.0.0.1", free_port()) == "Connection refused"
        assert await node.gossip.join(*node.gossip.swim.endpoint) is None


@pytest.mark.parametrize("key", [None, KEY], ids=["clear", "encrypted"])
async def test_hostile_bytes_change_nothing(key: bytes | None) -> None:
    """Garbage by datagram and stream: counted, and the ring goes on."""
    one, two = make_node("one", key=key), make_node("two", key=key)
    rubbish = [b"", b"\0", b"\x07\xff", b"\xf4\0", b"\x09\x82", bytes(range(256)), os.urandom(1200)]

    async with running(one, two):
        await join(two, one)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for datagram in rubbish * 5:
                sender.sendto(datagram, one.gossip.swim.endpoint)
        for data in rubbish:
            reader, writer = await asyncio.open_connection(*one.gossip.swim.endpoint)
            writer.write(data)
            writer.write_eof()
            await reader.read()
            writer.close()
        await reached(lambda: sum(refused(one).values()), lambda count: count >= 30)
        two.gossip.send_user("one", b"still here")
        await reached(lambda: one.heard(UserReceived))

    assert one.up == ["one", "two"]


async def test_a_stream_that_makes_no_sense_is_told_why() -> None:
    node = make_node("one")

    async with running(node):
        reader, writer = await asyncio.open_connection(*node.gossip.swim.endpoint)
        writer.write(b"\x63")
        answer = await reader.read()
        writer.close()

    message = StreamReader(Wire(), accepted=False).feed(answer)
    assert isinstance(message, Err)
    assert "0x63" in message.error


async def test_a_slow_stream_is_cut_off() -> None:
    node = make_node("one", config=attrs.evolve(FAST, tcp_timeout_s=0.2))

    async with running(node):
        reader, writer = await asyncio.open_connection(*node.gossip.swim.endpoint)
        writer.write(b"\x06")
        assert await reader.read() == b""
        writer.close()

    assert node.gossip.counts["gossip_streams_cut"] == 1


async def test_streams_beyond_the_limit_are_turned_away_and_later_ones_are_not() -> None:
    node = make_node("one")
    endpoint = node.gossip.swim.endpoint
    ping = encode_stream(Wire(), Ping(5, "one"), dialled=True)

    async with running(node):
        held = [await asyncio.open_connection(*endpoint) for _ in range(STREAMS_MAX)]
        reader, writer = await asyncio.open_connection(*endpoint)
        assert await reader.read() == b""
        writer.close()
        for _, each in held:
            each.close()
        await reached(lambda: node.gossip.counts["gossip_streams_cut"], lambda n: n == len(held))
        reader, writer = await asyncio.open_connection(*endpoint)
        writer.write(ping)
        assert await reader.read() != b""
        writer.close()

    assert node.gossip.counts["gossip_streams_turned_away"] == 1


async def test_a_user_message_may_come_by_stream() -> None:
    node = make_node("one")

    async with running(node):
        _, writer = await asyncio.open_connection(*node.gossip.swim.endpoint)
        writer.write(encode_stream(Wire(), User(b"x" * 5000), dialled=True))
        [event] = await reached(lambda: node.heard(UserReceived))
        writer.close()

    assert event.payload == b"x" * 5000


async def test_an_acceptor_that_answers_with_something_else_is_told() -> None:
    node = make_node("one")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(encode_stream(Wire(), User(b"?"), dialled=False))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with running(node), server:
        why = await node.gossip.join(*server.sockets[0].getsockname())

    assert why == "it answers with another message"


async def test_a_ring_of_other_delegate_versions_is_refused_with_the_reason() -> None:
    node = make_node("one")
    serf = make_node("two", versions=bytes((1, 5, 2, 2, 5, 4)))

    async with running(node, serf):
        why = await join(node, serf)

    assert why is not None
    assert "delegate version" in why
    assert node.up == ["one"]


def fail(event: Event) -> None:
    raise ZeroDivisionError(str(event))


async def by_datagram(node: Node) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"\x08hello", node.gossip.swim.endpoint)


async def by_stream(node: Node) -> None:
    _, writer = await asyncio.open_connection(*node.gossip.swim.endpoint)
    writer.write(encode_stream(Wire(), PushPull(False, (), b"state"), dialled=True))
    await writer.drain()


@pytest.mark.parametrize("provoke", [by_datagram, by_stream])
async def test_a_bug_above_ends_the_run(provoke: Callable[[Node], Awaitable[None]]) -> None:
    """It must not vanish in the loop's exception handler: the supervisor restarts us."""
    node = make_node("one", on_event=fail)

    async def run_provoked() -> None:
        async with running(node):
            await provoke(node)
            await asyncio.get_running_loop().create_future()

    with pytest.raises(ExceptionGroup) as raised:
        await run_provoked()

    assert raised.group_contains(ZeroDivisionError)
