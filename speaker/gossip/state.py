"""
SWIM with Lifeguard, as memberlist speaks it: packets, streams and time in, actions and events out.

Pure: no socket, no clock, no thread. All times are monotonic seconds handed in as `now`. Methods
return a list of outputs (speaker/gossip/outputs.py), in the order in which they are to be carried
out and told.

    swim = Swim(name="n1", address=ip_address("192.0.2.1"), port=7946, config=LAN, rng=Random(1))
    outputs = swim.start(now)
    ... carry out; at swim.next_wakeup(): outputs = swim.tick(now)
    ... datagram: outputs = swim.receive(messages, source, now)

After a stall feed what has arrived in the meantime before calling `tick`.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import assert_never

from speaker.gossip.accusation import Accusations
from speaker.gossip.awareness import Awareness
from speaker.gossip.broadcast import BroadcastQueue
from speaker.gossip.config import VERSIONS_METALLB, GossipConfig
from speaker.gossip.errors import ConfigError, MessageTooLargeError
from speaker.gossip.exchange import Exchanges, push_pull_interval_s
from speaker.gossip.gossiper import Gossiper
from speaker.gossip.members import Node, NodeList
from speaker.gossip.membership import META_MAX_BYTES, Ignored, Membership
from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    IndirectPing,
    NackResp,
    NodeState,
    PacketMessage,
    Ping,
    PushPull,
    Suspect,
    User,
)
from speaker.gossip.outputs import (
    Address,
    Endpoint,
    Member,
    Output,
    SendPacket,
    UserReceived,
)
from speaker.gossip.probe import PMAX_CRC, Prober
from speaker.gossip.sizes import COMPOUND_HEADER_BYTES, COMPOUND_PART_BYTES
from speaker.gossip.versions import is_sane


class Swim:
    """One node of a ring. Events tell of the other nodes, never of this one but NameConflict."""

    def __init__(
        self,
        *,
        name: str,
        address: Address,
        port: int,
        config: GossipConfig,
        rng: Random,
        meta: bytes = b"",
        versions: bytes = VERSIONS_METALLB,
        local_state: Callable[[bool], bytes] = lambda is_join: b"",
        overhead_bytes: int = 0,
    ) -> None:
        """
        Store what is given; `start` begins.

        `local_state(is_join)` gives the user state for a push/pull (opaque, b"" = none).
        `overhead_bytes` is what label and encryption add to a datagram (0; 29 with a key).
        """
        me = Node(
            name=name,
            raw_address=address.packed,
            address=address,
            port=port,
            meta=meta[:META_MAX_BYTES],
            versions=versions,
            incarnation=1,
            state=NodeState.ALIVE,
            since=0.0,
        )
        self._config = config
        self._rng = rng
        self._out: list[Output] = []
        nodes = NodeList(rng)
        awareness = Awareness(config.awareness_max_multiplier)
        room_bytes = config.udp_buffer_size_bytes - COMPOUND_HEADER_BYTES - overhead_bytes
        largest_bytes = room_bytes - COMPOUND_PART_BYTES
        news = BroadcastQueue(largest_bytes)
        self._membership = Membership(config, me, nodes, self._out, awareness, news)
        self._gossiper = Gossiper(self._membership, room_bytes, BroadcastQueue(largest_bytes))
        self._prober = Prober(self._membership, self._gossiper.piggyback)
        self._exchanges = Exchanges(self._membership, local_state)
        self._accusations = Accusations(self._membership, self._prober)
        self._started = False
        self._next_push_pull = math.inf

    # --- time

    def start(self, now: float) -> list[Output]:
        """
        List ourselves and set the timers, each at a random place of its interval.

        Raises ConfigError for versions that no other member would accept.
        """
        versions = self._membership.me.versions
        if not is_sane(versions):
            raise ConfigError(f"versions {versions.hex(' ')}, need 6 bytes and 0 < pmin <= pmax")
        config, rng = self._config, self._rng
        self._started = True
        self._membership.me.since = now
        self._membership.begin()
        self._prober.next_tick = now + (1 + rng.random()) * config.probe_interval_s
        self._gossiper.start(now, rng.random())
        if config.push_pull_interval_s:
            self._next_push_pull = now + (1 + rng.random()) * config.push_pull_interval_s
        return self._take()

    def next_wakeup(self) -> float:
        """When `tick` is due, in monotonic seconds; infinity before `start`."""
        if not self._started:
            return math.inf
        due = min(self._prober.next_wakeup(), self._gossiper.next_wakeup(), self._next_push_pull)
        for suspicion in self._membership.suspicions.values():
            due = min(due, suspicion.deadline)
        return min(due, self._accusations.next_wakeup())

    def tick(self, now: float) -> list[Output]:
        """Do what is due. Harmless when nothing is."""
        late_s = now - self.next_wakeup()
        if late_s < 0:
            return self._take()
        if late_s > self._config.probe_timeout_s:
            self._forgive(late_s)
        self._membership.expire(now)
        self._accusations.tick(now)
        self._prober.tick(now)
        self._tick_push_pull(now)
        return self._finish(now)

    # --- datagrams

    def receive(
        self, messages: Sequence[PacketMessage], source: Endpoint, now: float
    ) -> list[Output]:
        """Take the messages of one datagram, or a user message that came by stream."""
        for message in messages:
            self._dispatch(message, source, now)
        return self._finish(now)

    # --- streams

    def join(self, targets: Sequence[Endpoint], now: float) -> list[Output]:
        """
        Exchange state with each target. MergeDone or MergeFailed tells of each how it went.

        Nothing is retried here. MergeDone is no proof that the other side took us in: memberlist
        answers before it checks. What it checks, we check too.
        """
        for target in targets:
            self._exchanges.begin(target, now, is_join=True)
        return self._take()

    def push_pull_requested(
        self, request: PushPull, source: Endpoint, now: float
    ) -> tuple[PushPull, list[Output]]:
        """Answer a push/pull. Write the reply first: our state before the merge, as memberlist."""
        reply = self._exchanges.reply(request)
        self._exchanges.merge(request, source, now)
        return reply, self._finish(now)

    def push_pull_answered(self, exchange: int, reply: PushPull, now: float) -> list[Output]:
        """Merge the answer to an ExchangeState."""
        self._exchanges.answered(exchange, reply, now)
        return self._finish(now)

    def push_pull_failed(self, exchange: int, why: str, now: float) -> list[Output]:
        """Note that an ExchangeState came to nothing."""
        self._exchanges.failed(exchange, why)
        return self._finish(now)

    def stream_pinged(self, ping: Ping) -> AckResp | None:
        """Answer a ping that came by stream; None (close it) when it is for another name."""
        if ping.node in {"", self._membership.me.name}:
            return AckResp(ping.seq_no)
        self._membership.ignored[Ignored.NOT_FOR_US] += 1
        return None

    def stream_acked(self, seq_no: int, now: float) -> list[Output]:
        """Take the answer to a PingOverStream."""
        self._prober.stream_acked(seq_no)
        return self._finish(now)

    # --- the layer above

    @property
    def user_max_bytes(self) -> int:
        """The largest payload of `send_user` and `broadcast_user`."""
        return self._gossiper.room_bytes - COMPOUND_PART_BYTES - 1

    def send_user(self, node: str, payload: bytes) -> list[Output]:
        """
        Send `payload` to a member in one datagram, best effort; nothing for an unknown name.

        Raises MessageTooLargeError over `user_max_bytes`.
        """
        self._check_user(payload)
        target = self._membership.nodes.get(node)
        if target is None:
            return []
        with_crc = target.protocol_max >= PMAX_CRC
        return [SendPacket(target.endpoint, (User(payload),), with_crc)]

    def broadcast_user(self, payload: bytes, key: str, now: float) -> None:
        """
        Gossip `payload` with what is left of datagrams after membership news.

        A newer one with the same `key` replaces what is queued. It goes out at once rather than
        at the next gossip, and as often as any news. A receiver that finds it new has to call
        this too: members pass on membership by themselves, user messages never.
        Raises MessageTooLargeError over `user_max_bytes`.
        """
        self._check_user(payload)
        self._gossiper.put_user(payload, key, now)

    def accuse(self, node: str, now: float) -> list[Output]:
        """
        Tell the ring that a member is dead which was found so by other means than pings.

        It is suspected first, and has accusation.REFUTE_S to refute.
        """
        self._accusations.accuse(node, now)
        return self._finish(now)

    def leave(self, now: float) -> list[Output]:
        """
        Say goodbye to the ring; LeaveFinished comes when that was sent often enough.

        We go on answering, so that the goodbye spreads; the caller ends us after LeaveFinished,
        or when it has waited long enough.
        """
        self._membership.leave(now)
        return self._finish(now)

    # --- what is known

    @property
    def name(self) -> str:
        """Our own name."""
        return self._membership.me.name

    @property
    def members(self) -> tuple[Member, ...]:
        """All that are listed, ourselves, dead and left ones included, by name."""
        nodes = sorted(self._membership.nodes, key=lambda node: node.name)
        return tuple(node.snapshot() for node in nodes)

    @property
    def up(self) -> tuple[Member, ...]:
        """The members that are alive or suspect, ourselves included, by name."""
        return tuple(member for member in self.members if member.is_up)

    @property
    def endpoints_up(self) -> frozenset[Endpoint]:
        """Where those members are: what is asked ten times a second, without their snapshots."""
        return frozenset(node.endpoint for node in self._membership.nodes if not node.is_gone)

    def member(self, name: str) -> Member | None:
        """Find a member by name."""
        node = self._membership.nodes.get(name)
        return None if node is None else node.snapshot()

    def member_at(self, endpoint: Endpoint) -> Member | None:
        """Find the member that is up at an address and port."""
        node = self._membership.nodes.at(endpoint)
        return None if node is None else node.snapshot()

    @property
    def endpoint(self) -> Endpoint:
        """Our own address and port."""
        return self._membership.me.endpoint

    @property
    def health(self) -> int:
        """Lifeguard's local health: 0 is good, awareness_max_multiplier - 1 the worst."""
        return self._membership.awareness.score

    @property
    def ignored(self) -> Mapping[Ignored, int]:
        """How many messages had no effect, by reason."""
        return Counter(self._membership.ignored)

    # --- how

    def _dispatch(self, message: PacketMessage, source: Endpoint, now: float) -> None:
        match message:
            case Ping():
                self._prober.ping(message, source)
            case IndirectPing():
                self._prober.indirect_ping(message, source, now)
            case AckResp():
                self._prober.ack(message, now)
            case NackResp():
                self._prober.nack(message)
            case Suspect():
                self._membership.suspect(message, now)
            case Alive():
                self._membership.alive(message, now)
            case Dead():
                self._membership.dead(message, now)
            case User():
                node = self._membership.nodes.at(source)
                name = None if node is None else node.name
                self._out.append(UserReceived(message.payload, source, name))
            case _:
                assert_never(message)

    def _finish(self, now: float) -> list[Output]:
        self._gossiper.tick(now)
        return self._take()

    def _take(self) -> list[Output]:
        taken = self._out.copy()
        self._out.clear()
        return taken

    def _forgive(self, late_s: float) -> None:
        """Our own loop stood still: nobody else is to blame for what we did not hear."""
        self._prober.forgive(late_s)
        self._accusations.forgive(late_s)
        for suspicion in self._membership.suspicions.values():
            suspicion.started += late_s

    def _check_user(self, payload: bytes) -> None:
        if len(payload) > self.user_max_bytes:
            raise MessageTooLargeError(
                f"user message of {len(payload)} bytes, at most {self.user_max_bytes}"
            )

    # --- push/pull

    def _tick_push_pull(self, now: float) -> None:
        if now < self._next_push_pull:
            return
        member = self._membership
        interval_s = push_pull_interval_s(self._config, len(member.nodes))
        self._next_push_pull = now + interval_s
        self._exchanges.forget(now)
        member.forget(now)
        targets = member.nodes.pick(
            1, lambda node: node is not member.me and node.state == NodeState.ALIVE
        )
        for target in targets:
            self._exchanges.begin(target.endpoint, now, is_join=False)
