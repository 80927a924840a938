"""Gossip nodes on loopback sockets, and what they said."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TypeVar

import attrs

from speaker.gossip.config import LAN, VERSIONS_METALLB, GossipConfig
from speaker.gossip.keyring import Keyring
from speaker.gossip.outputs import Event
from speaker.gossip.state import Swim
from speaker.gossip.transport import Gossip, overhead_bytes
from speaker.gossip.wire import Wire
from stentor.logging import Level, Log

T = TypeVar("T")
POLL_S = 0.02
# Small enough for tests, large enough for a busy machine.
FAST = attrs.evolve(
    LAN,
    probe_interval_s=0.2,
    probe_timeout_s=0.08,
    gossip_interval_s=0.05,
    push_pull_interval_s=1.0,
    tcp_timeout_s=2.0,
)


@attrs.define
class Lines:
    """A log kept in memory."""

    lines: list[bytes] = attrs.field(factory=list)

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def naming(self, event: str) -> list[str]:
        """The lines of one event."""
        return [line.decode() for line in self.lines if f'"{event}"'.encode() in line]


@attrs.define(eq=False)
class Node:
    """A running node with what it told and logged."""

    gossip: Gossip
    events: list[Event]
    log: Lines

    @property
    def up(self) -> list[str]:
        """Names of the members that it believes to be up."""
        return [member.name for member in self.gossip.swim.up]

    def heard(self, kind: type[T]) -> list[T]:
        """Events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free for UDP and TCP at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with (
            socket.socket(family, socket.SOCK_DGRAM) as udp,
            socket.socket(family, socket.SOCK_STREAM) as tcp,
        ):
            udp.bind((host, 0))
            port: int = udp.getsockname()[1]
            try:
                tcp.bind((host, port))
            except OSError:  # taken for TCP
                continue
            return port


def make_node(
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    key: bytes | None = None,
    config: GossipConfig = FAST,
    versions: bytes = VERSIONS_METALLB,
    on_event: Callable[[Event], None] | None = None,
    wire: Wire | None = None,
    local_state: bytes = b"",
) -> Node:
    """A node that is not running yet."""
    port = port or free_port(host)
    events: list[Event] = []
    lines = Lines()
    wire = wire or Wire(keyring=Keyring.of(key) if key else None)
    swim = Swim(
        name=name,
        address=ip_address(host),
        port=port,
        config=config,
        rng=random.Random(name),
        versions=versions,
        local_state=lambda is_join: local_state,
        overhead_bytes=overhead_bytes(wire),
    )
    log = Log(lines, time.time, Level.DEBUG)
    return Node(
        Gossip(swim, wire, config, host, port, on_event or events.append, log), events, lines
    )


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """Run nodes for as long as the block lasts."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(node.gossip.run()) for node in nodes]
        for node in nodes:
            await node.gossip.started()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def reached(
    probe: Callable[[], T], until: Callable[[T], bool] = bool, within_s: float = 20.0
) -> T:
    """Wait in the loop for a condition; AssertionError with the last value at the deadline."""
    deadline = time.monotonic() + within_s
    while not until(value := probe()):
        assert time.monotonic() < deadline, f"not within {within_s} s; last value {value!r}"
        await asyncio.sleep(POLL_S)
    return value
