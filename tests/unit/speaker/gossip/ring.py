"""A ring of state machines on virtual time and a small network in memory."""

import heapq
import itertools
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from random import Random
from typing import TypeVar

import attrs

from speaker.gossip.config import LAN, GossipConfig
from speaker.gossip.outputs import (
    Endpoint,
    Event,
    ExchangeState,
    MemberJoined,
    MemberLeft,
    Output,
    PingOverStream,
    SendPacket,
)
from speaker.gossip.state import Swim

E = TypeVar("E")

PORT = 7946
DELAY_S = 0.001
Cut = tuple[str, str]
"""From and to, node names; packets that way are lost."""


def endpoint(name: str) -> Endpoint:
    """Where node "n7" is: 192.0.2.7."""
    return f"192.0.2.{name.removeprefix('n')}", PORT


def make_swim(place: str, config: GossipConfig = LAN, **more: object) -> Swim:
    """A node at the place "nN", by that name unless another is given, with its own seed."""
    host, port = endpoint(place)
    number = int(place.removeprefix("n"))
    arguments: dict[str, object] = {"name": place, "rng": Random(number), **more}
    return Swim(address=ip_address(host), port=port, config=config, **arguments)  # type: ignore[arg-type]  # a table of keywords


@attrs.define(eq=False)
class Ring:
    """Nodes, what each was told, and a network with cuts, in which `down` nodes hear nothing."""

    now: float = 100.0
    nodes: dict[str, Swim] = attrs.field(factory=dict)
    told: list[tuple[float, str, Event]] = attrs.field(factory=list)
    sent: list[tuple[float, str, SendPacket]] = attrs.field(factory=list)
    down: set[str] = attrs.field(factory=set)
    cuts: set[Cut] = attrs.field(factory=set)
    udp_cuts: set[Cut] = attrs.field(factory=set)
    loss: float = 0.0
    rng: Random = attrs.field(factory=lambda: Random(0))
    _queue: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    _serial: "itertools.count[int]" = attrs.field(factory=itertools.count)

    @classmethod
    def of(cls, size: int, config: GossipConfig = LAN) -> "Ring":
        """A ring of `size` nodes, n1 to nN, that have all heard of each other."""
        ring = cls()
        for number in range(1, size + 1):
            ring.add(make_swim(f"n{number}", config), join=["n1"] if number > 1 else [])
        ring.run_for(5 * config.gossip_interval_s + 1)
        assert {len(swim.up) for swim in ring.nodes.values()} == {size}
        return ring

    def add(self, swim: Swim, join: Iterable[str] = ()) -> Swim:
        """Start a node, and let it join others."""
        self.nodes[swim.name] = swim
        self.down.discard(swim.name)
        self.carry_out(swim, swim.start(self.now))
        self.carry_out(swim, swim.join([endpoint(name) for name in join], self.now))
        return swim

    def isolate(self, name: str) -> None:
        """Lose all that goes to or comes from a node."""
        self.cuts |= {cut for other in self.nodes for cut in ((name, other), (other, name))}

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, done: Callable[[], bool], within_s: float) -> None:
        """Let time pass until `done()`, at most `within_s`."""
        end = self.now + within_s
        while not done():
            up = [swim for name, swim in self.nodes.items() if name not in self.down]
            wakeups = [(swim.next_wakeup(), swim) for swim in up]
            due, swim = min(wakeups, key=lambda item: item[0])
            arrival = self._queue[0][0] if self._queue else end + 1
            if min(due, arrival) > end:
                self.now = end
                return
            self.now = max(self.now, min(due, arrival))
            if arrival <= due:
                heapq.heappop(self._queue)[2]()
            else:
                self.carry_out(swim, swim.tick(self.now))
                assert swim.next_wakeup() > self.now, "a tick leaves nothing that is due"

    def carry_out(self, swim: Swim, outputs: Iterable[Output]) -> None:
        """Carry out actions and note events."""
        for output in outputs:
            match output:
                case SendPacket():
                    self.sent.append((self.now, swim.name, output))
                    self._deliver(swim.name, output)
                case ExchangeState():
                    self._later(lambda action=output: self._exchange(swim, action))  # type: ignore[misc]  # bound now
                case PingOverStream():
                    self._later(lambda action=output: self._ping(swim, action))  # type: ignore[misc]  # bound now
                case _:
                    self.told.append((self.now, swim.name, output))

    def events(self, kind: type[E], node: str | None = None) -> list[E]:
        """What `node`, or any, was told of one kind."""
        return [
            event
            for _, name, event in self.told
            if isinstance(event, kind) and node in {None, name}
        ]

    def when(self, kind: type[MemberJoined] | type[MemberLeft], about: str) -> dict[str, float]:
        """When each node was first told that about a member."""
        times: dict[str, float] = {}
        for at, name, event in self.told:
            if isinstance(event, kind) and event.member.name == about:
                times.setdefault(name, at)
        return times

    def _later(self, work: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + DELAY_S, next(self._serial), work))

    def _at(self, to: Endpoint) -> Swim | None:
        for name, swim in self.nodes.items():
            if swim.endpoint == to and name not in self.down:
                return swim
        return None

    def _deliver(self, sender: str, packet: SendPacket) -> None:
        source = self.nodes[sender].endpoint

        def arrive() -> None:
            swim = self._at(packet.to)
            if swim is None or (sender, swim.name) in self.cuts | self.udp_cuts:
                return
            if sender in self.down or self.rng.random() < self.loss:
                return
            self.carry_out(swim, swim.receive(packet.messages, source, self.now))

        self._later(arrive)

    def _reaches(self, swim: Swim, to: Endpoint) -> Swim | None:
        """The node at the other end of a stream, if the stream can be opened."""
        other = self._at(to)
        if other is None or swim.name in self.down:
            return None
        both_ways = {(swim.name, other.name), (other.name, swim.name)}
        return None if both_ways & self.cuts else other

    def _exchange(self, swim: Swim, action: ExchangeState) -> None:
        other = self._reaches(swim, action.to)
        if other is None:
            self.carry_out(swim, swim.push_pull_failed(action.exchange, "unreachable", self.now))
            return
        host, _ = swim.endpoint
        reply, outputs = other.push_pull_requested(action.request, (host, 50_000), self.now)
        self.carry_out(other, outputs)
        self.carry_out(swim, swim.push_pull_answered(action.exchange, reply, self.now))

    def _ping(self, swim: Swim, action: PingOverStream) -> None:
        other = self._reaches(swim, action.to)
        ack = other.stream_pinged(action.ping) if other is not None else None
        if ack is not None:
            self.carry_out(swim, swim.stream_acked(ack.seq_no, self.now))
