"""
The probe of one member after the other, and the pings we pass on for others.

    ping ──ack──────────────────────────────────────────────> heard
      │ probe_timeout
      └─> indirect pings, stream ping ──ack or relayed ack──> heard
            │ deadline = probe_interval * (health + 1)
            ├── the stream ping was answered ───────────────> heard
            └── else: health worsens by the nacks missing ──> suspected
"""

from collections.abc import Callable

import attrs

from speaker.gossip.addresses import parse_endpoint
from speaker.gossip.members import Node
from speaker.gossip.membership import Ignored, Membership
from speaker.gossip.messages import (
    AckResp,
    IndirectPing,
    NackResp,
    NodeState,
    PacketMessage,
    Ping,
    Suspect,
)
from speaker.gossip.outputs import Endpoint, PingOverStream, SendPacket

RELAYS_MAX = 1024  # pings passed on at one time: bounds what forged requests can make us keep
PMAX_TCP_PING, PMAX_NACK, PMAX_CRC = 3, 4, 5  # protocol_max from which a member understands it
SEQ_NO_MASK = 0xFFFF_FFFF  # uint32

Piggyback = Callable[[PacketMessage], tuple[PacketMessage, ...]]
"""Adds to a message what gossip fits into the same datagram."""


@attrs.define
class Probe:
    """The probe under way."""

    target: Node
    seq_no: int
    timeout_at: float
    deadline: float
    is_indirect: bool = False  # the direct ping was not answered in time
    nacks_expected: int = 0
    nacks: int = 0
    is_stream_acked: bool = False


@attrs.define
class Relay:
    """A ping that another member asked us to make."""

    asker: Endpoint
    seq_no: int  # the asker's
    nack_at: float | None
    expires: float


@attrs.define
class Prober:
    """Probes one member at a time; answers pings; passes on those of others."""

    membership: Membership
    piggyback: Piggyback
    next_tick: float = 0.0
    probe: Probe | None = None
    _is_tick_kept: bool = False
    _relays: dict[int, Relay] = attrs.field(factory=dict)
    _seq_no: int = 0

    def next_wakeup(self) -> float:
        """When `tick` is due."""
        due = self.next_tick
        if self.probe is not None:
            due = min(due, self.probe.deadline)
            if not self.probe.is_indirect:
                due = min(due, self.probe.timeout_at)
        for relay in self._relays.values():
            due = min(due, relay.expires if relay.nack_at is None else relay.nack_at)
        return due

    def tick(self, now: float) -> None:
        """Do what is due: turn to indirect pings, judge, start the next probe, send nacks."""
        self._tick_relays(now)
        self._tick_probe(now)
        if now >= self.next_tick:
            interval_s = self.membership.config.probe_interval_s
            lost = int((now - self.next_tick) / interval_s)
            self.next_tick += (lost + 1) * interval_s
            self._is_tick_kept = True
        self._start_next(now)

    def forgive(self, late_s: float) -> None:
        """Shift the probe under way: we were not there to hear an answer."""
        if self.probe is not None:
            self.probe.timeout_at += late_s
            self.probe.deadline += late_s

    def ping_of(self, name: str) -> Ping:
        """A ping whose ack nobody waits for: it is sent for what comes along with the ack."""
        return self._ping(name, self._next_seq_no())

    # --- what comes in

    def ping(self, message: Ping, source: Endpoint) -> None:
        """Answer a ping for us, or for nobody in particular."""
        member = self.membership
        if message.node not in {"", member.me.name}:
            member.ignored[Ignored.NOT_FOR_US] += 1
            return
        to = parse_endpoint(message.source_addr, message.source_port) or source
        member.out.append(SendPacket(to, self.piggyback(AckResp(message.seq_no))))

    def indirect_ping(self, message: IndirectPing, source: Endpoint, now: float) -> None:
        """Ping the target for another member."""
        member = self.membership
        target = parse_endpoint(message.target, message.port or member.me.port)
        if target is None:
            member.ignored[Ignored.BAD_ADDRESS] += 1
            return
        if len(self._relays) >= RELAYS_MAX:
            member.ignored[Ignored.TOO_MANY] += 1
            return
        asker = parse_endpoint(message.source_addr, message.source_port) or source
        timeout_s = member.config.probe_timeout_s
        nack_at = now + member.config.nack_after * timeout_s if message.nack else None
        seq_no = self._next_seq_no()
        self._relays[seq_no] = Relay(asker, message.seq_no, nack_at, now + timeout_s)
        member.out.append(SendPacket(target, self.piggyback(self._ping(message.node, seq_no))))

    def ack(self, message: AckResp, now: float) -> None:
        """Take an ack, for our own probe or for one that we pass on."""
        probe = self.probe
        if probe is not None and message.seq_no == probe.seq_no:
            self._heard(now)
            return
        relay = self._relays.pop(message.seq_no, None)
        if relay is None:
            self.membership.ignored[Ignored.UNEXPECTED] += 1
            return
        ack = self.piggyback(AckResp(relay.seq_no))
        self.membership.out.append(SendPacket(relay.asker, ack))

    def nack(self, message: NackResp) -> None:
        """Count a helper that is well itself."""
        if self.probe is not None and message.seq_no == self.probe.seq_no:
            self.probe.nacks += 1
        else:
            self.membership.ignored[Ignored.UNEXPECTED] += 1

    def stream_acked(self, seq_no: int) -> None:
        """Note that the target answers on a stream; looked at when the deadline has come."""
        if self.probe is not None and seq_no == self.probe.seq_no:
            self.probe.is_stream_acked = True

    # --- the probe

    def _start_next(self, now: float) -> None:
        if self.probe is not None or not self._is_tick_kept:
            return
        self._is_tick_kept = False
        member = self.membership
        target = member.nodes.next_to_probe(
            skip=lambda node: node is member.me or node.is_gone,
            is_expired=lambda node: member.is_expired(node, now),
        )
        if target is None:
            return
        config = member.config
        self.probe = Probe(
            target,
            self._next_seq_no(),
            timeout_at=now + config.probe_timeout_s,
            deadline=now + member.awareness.stretch(config.probe_interval_s),
        )
        ping = self._ping(target.name, self.probe.seq_no)
        if target.state == NodeState.ALIVE:
            member.out.append(SendPacket(target.endpoint, self.piggyback(ping)))
            return
        # The buddy system: whom we suspect hears it with the ping, and can refute at once.
        accusation = Suspect(target.incarnation, target.name, member.me.name)
        with_crc = target.protocol_max >= PMAX_CRC
        member.out.append(SendPacket(target.endpoint, (ping, accusation), with_crc))

    def _tick_probe(self, now: float) -> None:
        probe = self.probe
        if probe is None:
            return
        if not probe.is_indirect and now >= probe.timeout_at:
            probe.is_indirect = True
            self._ask_others(probe, now)
        if now >= probe.deadline:
            self._judge(probe, now)

    def _ask_others(self, probe: Probe, now: float) -> None:
        member, target = self.membership, probe.target
        helpers = member.nodes.pick(
            member.config.indirect_checks,
            lambda node: node.state == NodeState.ALIVE and node is not member.me and node != target,
        )
        for helper in helpers:
            can_nack = helper.protocol_max >= PMAX_NACK
            probe.nacks_expected += can_nack
            request = IndirectPing(
                seq_no=probe.seq_no,
                target=target.raw_address,
                port=target.port,
                node=target.name,
                nack=can_nack,
                source_addr=member.me.raw_address,
                source_port=member.me.port,
                source_node=member.me.name,
            )
            member.out.append(SendPacket(helper.endpoint, self.piggyback(request)))
        if not member.config.disable_tcp_pings and target.protocol_max >= PMAX_TCP_PING:
            ping = self._ping(target.name, probe.seq_no)
            timeout_s = max(0.0, probe.deadline - now)
            member.out.append(PingOverStream(target.endpoint, ping, timeout_s))

    def _heard(self, now: float) -> None:
        self.probe = None
        self.membership.awareness.apply(-1)
        self._start_next(now)

    def _judge(self, probe: Probe, now: float) -> None:
        if probe.is_stream_acked:
            self._heard(now)
            return
        self.probe = None
        member, target = self.membership, probe.target
        if probe.nacks_expected:
            member.awareness.apply(max(0, probe.nacks_expected - probe.nacks))
        else:
            member.awareness.apply(1)
        member.suspect(Suspect(target.incarnation, target.name, member.me.name), now)

    # --- relays

    def _tick_relays(self, now: float) -> None:
        for seq_no, relay in list(self._relays.items()):
            if relay.nack_at is not None and now >= relay.nack_at:
                relay.nack_at = None
                nack = self.piggyback(NackResp(relay.seq_no))
                self.membership.out.append(SendPacket(relay.asker, nack))
            if now >= relay.expires:
                del self._relays[seq_no]

    def _ping(self, node: str, seq_no: int) -> Ping:
        me = self.membership.me
        return Ping(
            seq_no=seq_no,
            node=node,
            source_addr=me.raw_address,
            source_port=me.port,
            source_node=me.name,
        )

    def _next_seq_no(self) -> int:
        self._seq_no = (self._seq_no + 1) & SEQ_NO_MASK
        return self._seq_no
