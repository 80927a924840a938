"""One simulated node: host, data plane, and a herald made of the real Swim and HeraldCore."""

import hashlib
import random
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from math import inf
from typing import Protocol

import attrs

from speaker.beats.vigil import BEAT_S
from speaker.gossip.config import LAN
from speaker.gossip.messages import NodeState, PacketMessage, PushPull
from speaker.gossip.outputs import (
    Endpoint,
    ExchangeState,
    MemberJoined,
    MemberLeft,
    MemberUpdated,
    MergeDone,
    MergeFailed,
    NameConflict,
    Output,
    PingOverStream,
    SendPacket,
    StateReceived,
    UserReceived,
)
from speaker.gossip.state import Swim
from speaker.herald.actions import (
    Action,
    Announce,
    Broadcast,
    Exit,
    Note,
    Probe,
    Rejoin,
    Send,
    SendAll,
    SendBeat,
    Speak,
    SpeakAll,
    Unlist,
    Vip,
)
from speaker.herald.core import AdoptedRow, CoreConfig, HeraldCore, Link, PlannedSeat
from speaker.herald.joins import Joins
from speaker.herald.reentry import Entry
from tests.sim.engine import Engine
from tests.sim.shape import ONE, Shape
from tests.sim.table import Table

PORT = 7946
META = b"stentor"
SAVE_DELAY_S = 0.01  # from a change to the file beside the pins
BACKLOG = 4096  # datagrams that a socket keeps for a herald that does not read


class Wires(Protocol):
    """What a host needs of the world around it."""

    engine: Engine

    def send_packet(self, source: str, output: SendPacket) -> None:
        """Carry a datagram."""

    def exchange(self, source: str, output: ExchangeState) -> None:
        """Carry a push/pull."""

    def send_all(self, host: "Host", action: SendAll) -> None:
        """Carry one user message to several members."""

    def stream_ping(self, source: str, output: PingOverStream) -> None:
        """Carry a ping by stream."""

    def probe(self, source: str, vip: Vip) -> None:
        """Ask the segment for a VIP."""

    def beat(self, source: str, beat: SendBeat) -> None:
        """Carry a beat to a data plane, and its reflection back."""

    def beats_matter(self, host: "Host") -> bool:
        """Whether beats of this host could tell anybody anything new."""

    def refresh(self, host: "Host") -> None:
        """Its herald is about to act: let it know what was left out for brevity."""

    def announced(self, source: str, vip: Vip) -> None:
        """A GARP or unsolicited NA goes out."""

    def spoken(self, host: "Host", vip: Vip, why: str) -> None:
        """The table of a host has changed."""

    def log(self, host: str, text: str) -> None:
        """Add a line to the trace."""


def address_of(index: int) -> IPv4Address:
    """The address of the n-th node."""
    return IPv4Address(f"198.51.100.{index + 1}")


@attrs.define
class Herald:
    """One process: what dies with a SIGKILL."""

    swim: Swim
    core: HeraldCore
    born_at: float
    joins: Joins
    is_settled: bool = False
    may_settle: bool = True  # a member or an attempt to join came since it was looked at
    join_at: float = -inf  # when join targets are looked at next
    why: dict[Vip, str] = attrs.field(factory=dict)
    saved_version: int = -1


@attrs.define
class Host:
    """A machine that may be off, and a herald on it that may be dead or frozen."""

    name: str
    address: IPv4Address
    wires: Wires
    rng: random.Random
    everybody: tuple[str, ...]
    table: Table
    others: dict[str, Table] = attrs.field(factory=dict)  # on further interfaces
    shape: Shape = ONE
    addresses: dict[str, IPv4Address] = attrs.field(factory=dict)  # on them, where they matter
    is_up: bool = True
    down: set[str] = attrs.field(factory=set)  # interfaces without carrier
    herald: Herald | None = None
    frozen_until: float = 0.0  # while in the future, the process does not run
    stalled_at: float = -inf  # when it last did not run for a while
    agent_silent: bool = False
    plan: tuple[PlannedSeat, ...] = ()
    plan_version: int = 0
    saved: bytes | None = None
    backlog: list[tuple[str, tuple[object, ...]]] = attrs.field(factory=list)
    wake_at: float = inf
    starts: int = 0
    beats: bool = True  # --failover=beats
    beats_from: float = 0.0  # where the vigil goes on after it slept

    @property
    def runs(self) -> bool:
        """Whether its herald can do something now."""
        return self.herald is not None and self.frozen_until <= self.wires.engine.now

    @property
    def is_waiting(self) -> bool:
        """Whether a data plane may not speak."""
        return any(table.is_suspended or table.has_expired for table in self.tables.values())

    @property
    def tables(self) -> dict[str, Table]:
        """What answers, by interface."""
        return {"eth0": self.table, **self.others}

    @property
    def carrier(self) -> bool:
        """Whether all interfaces have it."""
        return not self.down

    def rows(self) -> dict[Vip, Speak]:
        """What is said about each VIP, wherever it is served."""
        return {vip: row for table in self.tables.values() for vip, row in table.rows.items()}

    # --- life and death

    def start(self) -> None:
        """Start the herald, as the supervisor does."""
        if not self.is_up or self.herald is not None:
            return
        now = self.wires.engine.now
        self.starts += 1
        seed = self.rng.getrandbits(64)
        config = CoreConfig(
            self.name,
            hashlib.md5(f"{self.name}/{seed}".encode(), usedforsecurity=False).digest(),
            beats=self.beats,
        )
        core = HeraldCore(config, random.Random(seed), now)
        swim = Swim(
            name=self.name,
            address=self.address,
            port=PORT,
            config=LAN,
            rng=random.Random(seed + 1),
            meta=META,
            local_state=lambda is_join: core.local_state(self.wires.engine.now),
        )
        joins = Joins()
        joins.seek(
            (str(address_of(i)), PORT) for i, n in enumerate(self.everybody) if n != self.name
        )
        self.herald = Herald(swim, core, now, joins)
        self.frozen_until = 0.0
        self.backlog = []
        if self.saved is not None:
            core.restore(self.saved)
        lost = [name for name, table in self.tables.items() if not table.push(now)]
        if len(lost) < len(self.tables):
            adopted = [AdoptedRow(r.vip, r.voice, r.lladdr) for r in self.rows().values()]
            core.adopt(adopted, now)
        else:
            for table in self.tables.values():
                table.rows.clear()
                table.enter()
            lost = []
        self._lost(lost)
        self.tell_interfaces()
        self.do(swim.start(now))
        self._join(self.herald)
        if not self.agent_silent:
            self.wires.engine.at(now + 0.05, self.plan_sent, self.herald)
        self._after()

    def _lost(self, interfaces: list[str]) -> None:
        """The herald's push found these cells expired or suspended."""
        if not interfaces:
            return
        herald = self.herald
        assert herald is not None
        herald.core.lease_expired(self.wires.engine.now, interfaces)
        self._act()
        for name in interfaces:
            self._enter_again(herald, name)

    def kill(self) -> None:
        """SIGKILL the herald; the data plane goes on until the lease ends."""
        self.herald = None
        self.backlog = []
        self.wake_at = inf
        for table in self.tables.values():
            table.orphan(self.wires.engine.now)

    def hold(self) -> bool:
        """SIGTERM with --on-stop hold; False when that is not safe now, and nothing was done."""
        herald, now = self.herald, self.wires.engine.now
        if herald is None or not self.runs or herald.core.hold_refusal() is not None:
            return False
        herald.core.hold(now)
        self._act()
        self.saved = herald.core.snapshot()
        for table in self.tables.values():
            if not table.is_suspended:
                table.hold(now)
        self.kill()
        return True

    def power_off(self) -> None:
        """The host dies, its tmpfs and its tables with it."""
        self.kill()
        self.is_up = False
        self.saved = None
        for table in self.tables.values():
            table.burn()

    def power_on(self) -> None:
        """Boot."""
        self.is_up = True
        self.start()

    def freeze(self, duration_s: float) -> None:
        """The process gets no CPU for a while."""
        if self.herald is None:
            return
        now = self.wires.engine.now
        self.stalled_at = now
        self.frozen_until = max(self.frozen_until, now + duration_s)
        for table in self.tables.values():
            table.orphan(now)
        self.wires.engine.at(self.frozen_until, self._thaw, self.herald)

    def _thaw(self, herald: Herald) -> None:
        """The lease first, then what has come in, then what has fallen due."""
        now = self.wires.engine.now
        if herald is not self.herald or now < self.frozen_until:
            return
        self.stalled_at = now
        self._lost([name for name, table in self.tables.items() if not table.push(now)])
        backlog, self.backlog = self.backlog, []
        for what, args in backlog:
            self.deliver(what, *args)
        self._after()

    def suspended(self, herald: Herald) -> None:
        """The herald's next push finds its cell suspended."""
        lost = [name for name, table in self.tables.items() if table.is_suspended]
        if herald is self.herald and self.runs and lost:
            self._lost(lost)
            self._after()

    def _enter_again(self, herald: Herald, interface: str) -> None:
        """The herald looks with every beat whether it may."""
        if herald is not self.herald:
            return
        now = self.wires.engine.now
        entry = herald.core.may_enter(now, interface) if self.runs else None
        if entry is None:
            self.wires.engine.at(now + BEAT_S, self._enter_again, herald, interface)
        else:
            self.wires.log(self.name, f"enters again on {interface}, epoch {entry}")
            self.tables[interface].enter(keep_epoch=entry is Entry.KEPT)
            herald.core.entered(now, interface)
        self._after()

    # --- what comes from this host

    def plan_sent(self, herald: Herald | None) -> None:
        """The agent sends its plan."""
        if herald is None or herald is not self.herald or self.agent_silent:
            return
        self.deliver("plan")

    def agent_beat(self) -> None:
        """The agent's heartbeat, once a second."""
        if not self.agent_silent and self.herald is not None:
            self.deliver("agent")

    def set_carrier(self, interface: str, *, up: bool) -> None:
        """An interface loses or gets carrier."""
        (self.down.discard if up else self.down.add)(interface)
        self.deliver("interfaces")

    def leave(self) -> None:
        """SIGTERM."""
        self.deliver("leave")

    def tell_interfaces(self) -> None:
        """What netlink says."""
        assert self.herald is not None
        links = [
            Link(
                name,
                table.lladdr,
                carrier=name not in self.down,
                networks=self.shape.on_link(name),
            )
            for name, table in self.tables.items()
        ]
        gateway = ip_address("198.51.100.254")
        own = {self.address, *self.addresses.values()}
        self.herald.core.set_interfaces(links, own, [gateway], self.wires.engine.now)

    # --- what comes in

    def deliver(self, what: str, *args: object) -> None:
        """Hand something to the herald, or to the socket of a frozen one."""
        herald = self.herald
        if herald is None:
            return
        if not self.runs:
            if len(self.backlog) < BACKLOG:
                self.backlog.append((what, args))
            return
        self.wires.refresh(self)
        _INPUTS[what](self, herald, *args)
        self._after()

    def push_pull(self, request: PushPull, source: Endpoint) -> PushPull | None:
        """Answer a push/pull; None when nobody reads."""
        if not self.runs or self.herald is None:
            return None
        reply, outputs = self.herald.swim.push_pull_requested(
            request, source, self.wires.engine.now
        )
        self.do(outputs)
        self._after()
        return reply

    def receive(self, messages: tuple[PacketMessage, ...], source: Endpoint) -> None:
        """A datagram."""
        self.deliver("packet", messages, source)

    # --- carrying out

    def do(self, outputs: list[Output]) -> None:
        """Carry out what Swim asks for, and tell the core what Swim tells."""
        herald = self.herald
        assert herald is not None
        core, now = herald.core, self.wires.engine.now
        for output in outputs:
            match output:
                case SendPacket():
                    self.wires.send_packet(self.name, output)
                case UserReceived():
                    core.received(output.source[0], output.payload, now)
                case ExchangeState():
                    self.wires.exchange(self.name, output)
                case PingOverStream():
                    self.wires.stream_ping(self.name, output)
                case StateReceived():
                    core.remote_state(output.source[0], output.payload, now)
                case MergeDone() | MergeFailed() if output.is_join:
                    self._joined(herald, output)
                case _:
                    self._member(core, output, now)
                    herald.may_settle = True
        if herald.may_settle and not herald.is_settled:
            herald.may_settle = False
            herald.is_settled = herald.joins.is_settled(self._up(herald))
            if herald.is_settled:
                core.join_settled(now)

    @staticmethod
    def _member(core: HeraldCore, output: Output, now: float) -> None:
        match output:
            case MemberJoined(member):
                core.member_joined(member.name, member.address, now, stentor=member.meta == META)
            case MemberUpdated(member):
                core.member_updated(member.name, member.address, now, stentor=member.meta == META)
            case MemberLeft(member):
                core.member_left(member.name, now, dead=member.state == NodeState.DEAD)
            case NameConflict(member, claimed):
                core.name_conflict(member.name, claimed[0], now)
            case _:
                pass

    def _joined(self, herald: Herald, output: MergeDone | MergeFailed) -> None:
        merged, now = isinstance(output, MergeDone), self.wires.engine.now
        herald.joins.note(output.to, merged=merged, now=now)
        herald.may_settle = True
        self._join_later(herald)

    @staticmethod
    def _up(herald: Herald) -> frozenset[Endpoint]:
        return herald.swim.endpoints_up

    def _join(self, herald: Herald) -> None:
        """Try the join targets that are due; a frozen herald does so when it runs again."""
        if herald is not self.herald:
            return
        if self.runs and (targets := herald.joins.due(self.wires.engine.now, self._up(herald))):
            self.do(herald.swim.join(targets, self.wires.engine.now))
            self._after()
        self._join_later(herald)

    def _rejoin(self, herald: Herald, action: Rejoin) -> None:
        now = self.wires.engine.now
        if action.node:
            self.do(herald.swim.join([(action.sender, PORT)], now))
        else:
            herald.joins.hurry(now)
            self._join(herald)

    def _join_later(self, herald: Herald) -> None:
        now = self.wires.engine.now
        at = max(min(herald.joins.next_due(self._up(herald)), now + 2.0), now + 0.1)
        if not now < herald.join_at <= at:
            herald.join_at = at
            self.wires.engine.at(at, self._join, herald)

    def _act(self) -> None:
        """Carry out what the core asks for, until it asks for nothing."""
        herald = self.herald
        assert herald is not None
        while actions := herald.core.take_actions():
            for action in actions:
                self._carry_out(herald, action)
            if herald is not self.herald:
                return

    def _carry_out(  # noqa: C901, PLR0912 - a case for each
        self, herald: Herald, action: Action
    ) -> None:
        now, swim = self.wires.engine.now, herald.swim
        match action:
            case Speak():
                self._say(action)
                self.wires.spoken(self, action.vip, action.voice.name)
            case SpeakAll(_, vips, voice):
                for vip in vips:
                    self._say(Speak(vip, voice))
                    self.wires.spoken(self, vip, voice.name)
            case Unlist():
                self._unlist(action.vip)
                self.wires.spoken(self, action.vip, "unlisted")
            case Announce():
                herald.why[action.vip] = action.why
                self.wires.spoken(self, action.vip, action.why)
                self.wires.announced(self.name, action.vip)
            case Probe():
                self.wires.probe(self.name, action.vip)
            case Send():
                self.do(swim.send_user(action.node, action.payload))
            case SendAll():
                self.wires.send_all(self, action)
            case SendBeat():
                self.wires.beat(self.name, action)
            case Broadcast():
                swim.broadcast_user(action.payload, action.key, now)
            case Rejoin():
                self._rejoin(herald, action)
            case Note():
                self.wires.log(self.name, f"{action.event} {action.fields}")
            case Exit():
                self.wires.log(self.name, f"exit: {action.message}")
                self.kill()
            case _:
                pass

    def _say(self, speak: Speak) -> None:
        """Put a row where the plan serves its VIP."""
        seat = next((seat for seat in self.plan if seat.vip == speak.vip), None)
        names = None if seat is None else seat.interfaces
        for name, table in self.tables.items():
            if names is None or name in names:
                table.rows[speak.vip] = speak

    def _unlist(self, vip: Vip) -> None:
        for table in self.tables.values():
            table.rows.pop(vip, None)

    def _after(self) -> None:
        """Carry out, save, and set the alarm."""
        self._act()
        herald = self.herald
        if herald is None:
            return
        now = self.wires.engine.now
        if herald.core.version != herald.saved_version:
            herald.saved_version = herald.core.version
            self.wires.engine.at(now + SAVE_DELAY_S, self._save, herald)
        at = min(herald.swim.next_wakeup(), herald.core.next_wakeup(), self._next_beat(herald))
        if at < self.wake_at or self.wake_at <= now:
            self.wake_at = max(at, now)
            self.wires.engine.at(self.wake_at, self._wake, herald, self.wake_at)

    def _next_beat(self, herald: Herald) -> float:
        if not self.beats or not self.wires.beats_matter(self):
            return inf
        return max(herald.core.sentries.next_wakeup(), self.beats_from)

    def resume_beats(self) -> None:
        """Something has happened: go on with beats, at any moment of their schedule."""
        self.beats_from = self.wires.engine.now + self.rng.random() * BEAT_S
        if self.runs:
            self._after()

    def _save(self, herald: Herald) -> None:
        if herald is self.herald and self.is_up:
            self.saved = herald.core.snapshot()

    def _wake(self, herald: Herald, at: float) -> None:
        if herald is not self.herald or at != self.wake_at:
            return
        self.wake_at = inf
        now = self.wires.engine.now
        if not self.runs:
            return  # _thaw looks again
        self.wires.refresh(self)
        herald.core.tick(now)
        self._act()
        if self.herald is herald and now >= self._next_beat(herald):
            herald.core.watch(now)
            self._act()
        if herald is self.herald:
            self.do(herald.swim.tick(now))
            self._after()


def _now(host: Host) -> float:
    return host.wires.engine.now


# What can come to a herald, in the words of `deliver`.
_INPUTS: dict[str, Callable[..., None]] = {
    "packet": lambda host, herald, messages, source: host.do(
        herald.swim.receive(messages, source, _now(host))
    ),
    "answer": lambda host, herald, exchange, reply: host.do(
        herald.swim.push_pull_answered(exchange, reply, _now(host))
    ),
    "failed": lambda host, herald, exchange, why: host.do(
        herald.swim.push_pull_failed(exchange, why, _now(host))
    ),
    "stream_ack": lambda host, herald, seq_no: host.do(
        herald.swim.stream_acked(seq_no, _now(host))
    ),
    "probed": lambda host, herald, vip, lladdr, interface: herald.core.probe_answered(
        vip, lladdr, _now(host), interface
    ),
    "conflict": lambda host, herald, vip, lladdr, interface: herald.core.probe_answered(
        vip, lladdr, _now(host), interface
    ),
    "reflected": lambda host, herald, reflection: herald.core.reflected(reflection, _now(host)),
    "plan": lambda host, herald: herald.core.set_plan(host.plan, _now(host)),
    "agent": lambda host, herald: herald.core.agent_heard(_now(host)),
    "interfaces": lambda host, herald: host.tell_interfaces(),
    "leave": lambda host, herald: herald.core.leave(_now(host)),
    "left": lambda host, herald: host.do(herald.swim.leave(_now(host))),
}
