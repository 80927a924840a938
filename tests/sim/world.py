"""A simulated cluster: hosts on one segment, and the faults that befall them."""

import random
from collections.abc import Callable
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING

from speaker.beats.cell import Cell
from speaker.beats.vigil import BEAT_S, WATCHED
from speaker.gossip.outputs import Endpoint, ExchangeState, PingOverStream, SendPacket
from speaker.herald.actions import SendAll, SendBeat, Vip
from speaker.herald.core import PlannedSeat
from speaker.herald.holding import HOLD_S
from speaker.herald.sentry import Reflection
from tests.sim.engine import Engine
from tests.sim.faults import NEVER, Fault, Kind
from tests.sim.host import PORT, Host, address_of
from tests.sim.segment import Segment
from tests.sim.shape import ONE, Shape
from tests.sim.table import LEASE_S, Table

if TYPE_CHECKING:
    from tests.sim.judge import Judge

PLANNED = {Kind.AGENT, Kind.PLAN, Kind.SHRINK, Kind.WITHDRAW}
Steps = tuple[Callable[[], None], Callable[[], None]]
CALM_S = 1.0  # after a disturbance
DELAY_S = 0.0004
JOIN_WITHIN_S = 2.0  # as the herald process
REFUSED_S = 0.001


def _lladdr(network: int, index: int) -> bytes:
    return bytes((2, 0, 0, 0, network, index + 1))


def _nothing() -> None:
    """End of what needs no end."""


class World:
    """Nodes n1, n2 ... with the same VIPs, started within `spread_s` of one another."""

    def __init__(
        self,
        nodes: int,
        vips: int,
        seed: int,
        trace: bool = False,
        *,
        beats: bool = True,
        shape: Shape = ONE,
    ) -> None:
        """`seed` decides everything that chance does."""
        self.rng = random.Random(seed)
        self.engine = Engine()
        self.trace = trace
        self.lines: list[str] = []
        self.names = tuple(f"n{i + 1}" for i in range(nodes))
        self.shape = shape
        self.segment = Segment(self.names, random.Random(self.rng.getrandbits(64)))
        further = (name for name in shape.networks if name != "eth0")
        self.networks = {
            "eth0": self.segment,
            **{n: Segment(self.names, random.Random(f"{seed}/{n}")) for n in further},
        }
        self.ring = self.networks[shape.ring]  # what carries the gossip
        self.vips: tuple[Vip, ...] = tuple(
            ip_address(f"192.0.2.{i + 1}") if i % 2 else ip_address(f"2001:db8::{i + 1}")
            for i in range(vips)
        )
        self.hosts = {
            name: Host(
                name,
                address_of(index),
                self,
                random.Random(self.rng.getrandbits(64)),
                self.names,
                Table(_lladdr(0, index)),
                {n: Table(_lladdr(k, index)) for k, n in enumerate(shape.networks) if k},
                shape,
                shape.addresses(index),
                beats=beats,
            )
            for index, name in enumerate(self.names)
        }
        self._by_address = {str(address_of(i)): self.hosts[n] for i, n in enumerate(self.names)}
        self._by_lladdr = {
            table.lladdr: host for host in self.hosts.values() for table in host.tables.values()
        }
        self.serving = {vip: shape.serving(i) for i, vip in enumerate(self.vips)}
        self._endpoints: dict[str, Endpoint] = {
            name: (str(host.address), PORT) for name, host in self.hosts.items()
        }
        self.rankings = {vip: self._ranking(self.rng) for vip in self.vips}
        self.excluded: dict[str, int] = {}
        self.withdrawn: dict[Vip, int] = {}
        self._plans = 0
        self.judge: Judge | None = None
        self.beats = beats
        self.sleeps = False  # whether all is well, so that beats tell nothing
        self._looked_at = -inf
        self.disturbed_at = 0.0
        self.quiet_at = 0.0  # when the last fault is over
        self.torn_at = -inf  # when one that cuts, stalls, delays or kills last began or ended
        self.torn_until = -inf  # when the last of those is over

    # --- the run

    def begin(self) -> None:
        """Start every herald: all at once, or within two seconds."""
        spread = self.rng.choice((0.0, 0.0, 0.3, 2.0))
        plan = self._plan()
        for host in self.hosts.values():
            host.plan = plan
            self.engine.at(self.rng.random() * spread, host.start)
            self.engine.at(self.rng.random(), self._beat, host)
        self.disturb(spread)

    def _beat(self, host: Host) -> None:
        host.agent_beat()
        self.engine.at(self.engine.now + 1.0, self._beat, host)

    def disturb(self, until: float = 0.0) -> None:
        """Something was done to the cluster, or will be until then."""
        self.disturbed_at = max(self.disturbed_at, self.engine.now)
        self.quiet_at = max(self.quiet_at, self.disturbed_at, until)
        if self.judge is not None:
            self.judge.look_at_all()
        self._wake()

    # --- beats

    def refresh(self, host: Host) -> None:
        """Nothing is left out but beats, and all wake at once."""

    def beats_matter(self, host: Host) -> bool:
        """Whether anything is or was lately amiss; else beats are left out, as they would be."""
        now = self.engine.now
        if not self.beats or self.sleeps:
            return False
        if now - self._looked_at >= 0.25:
            self._looked_at = now
            self.sleeps = now - self.disturbed_at > CALM_S and self._is_well()
        return not self.sleeps

    def _is_well(self) -> bool:
        for segment in self.networks.values():
            if not segment.is_whole or segment.loss or segment.delay_s > DELAY_S:
                return False
            if segment.drops_frames_of_beats:
                return False
        most = min(WATCHED, len(self.hosts) - 1)  # before they have met, calm means nothing
        return all(
            host.runs
            and host.carrier
            and not host.is_waiting
            and host.herald is not None
            and host.herald.core.sentries.is_calm
            and host.herald.core.sentries.least_watched >= most
            for host in self.hosts.values()
        )

    def _wake(self) -> None:
        if self.beats:
            self.sleeps = False
            for host in self.hosts.values():
                host.resume_beats()

    def beat(self, source: str, beat: SendBeat) -> None:
        """Carry a beat to a data plane, and its reflection back."""
        target, segment = self._by_lladdr.get(beat.lladdr), self.networks[beat.interface]
        if beat.address is None and segment.drops_frames_of_beats:
            return
        there = segment.flight(source, target.name) if target is not None else None
        if there is not None and target is not None:
            self.engine.at(self.engine.now + there, self._reflect, source, target, beat)

    def _reflect(self, source: str, target: Host, beat: SendBeat) -> None:
        name, segment = beat.interface, self.networks[beat.interface]
        table = target.tables[name]
        if not target.is_up or name in target.down or table.lladdr != beat.lladdr:
            return
        now = self.engine.now
        was_suspended = table.is_suspended
        state, epoch = table.reflect(beat.claimed, now)
        if table.is_suspended and not was_suspended:
            self.log(target.name, f"suspended by {source} with {beat.claimed}")
            if target.herald is not None:
                later = now + self.rng.random() * BEAT_S
                self.engine.at(later, target.suspended, target.herald)
            if self.judge is not None:
                self.judge.look_at_all()
        back = segment.flight(target.name, source)
        if back is not None:
            reflection = Reflection(
                Cell(beat.node, beat.segment),
                name,
                beat.seq,
                state,
                epoch,
                beat_age_ms=table.beat_age_ms(now),
                by_udp=beat.address is not None,
            )
            self.engine.at(now + back, self._reflected, self.hosts[source], reflection)

    @staticmethod
    def _reflected(host: Host, reflection: Reflection) -> None:
        host.deliver("reflected", reflection)

    def log(self, host: str, text: str) -> None:
        """Add a line to the trace."""
        if self.trace:
            self.lines.append(f"{self.engine.now:8.4f} {host:<4} {text}")
        if self.judge is not None and text.startswith("member_"):
            self.judge.member_gone(host, text)

    # --- wires

    def send_packet(self, source: str, output: SendPacket) -> None:
        """Carry a datagram."""
        target = self._by_address[output.to[0]]
        flight = self.ring.flight(source, target.name)
        if flight is not None:
            self.engine.at(
                self.engine.now + flight, target.receive, output.messages, self._endpoints[source]
            )

    def send_all(self, host: Host, action: SendAll) -> None:
        """Carry one user message to several members."""
        herald = host.herald
        assert herald is not None
        for node in action.nodes:
            host.do(herald.swim.send_user(node, action.payload))

    def exchange(self, source: str, output: ExchangeState) -> None:
        """Carry a push/pull: there, and the answer back."""
        host, target = self.hosts[source], self._by_address[output.to[0]]
        now = self.engine.now
        herald = host.herald
        timeout_s = JOIN_WITHIN_S if output.request.join else output.timeout_s

        def fail(why: str) -> None:
            if host.herald is herald:
                host.deliver("failed", output.exchange, why)

        def arrive() -> None:
            back = self.ring.stream(target.name, source)
            origin = self._endpoints[source]
            reply = target.push_pull(output.request, origin) if back is not None else None
            if reply is None or back is None:
                self.engine.at(now + timeout_s, fail, "timeout")
            else:
                self.engine.at(self.engine.now + back, answer, reply)

        def answer(reply: object) -> None:
            if host.herald is herald:
                host.deliver("answer", output.exchange, reply)

        flight = self.ring.stream(source, target.name)
        if flight is None or not target.is_up:
            self.engine.at(now + timeout_s, fail, "timeout")
        elif target.herald is None:
            self.engine.at(now + flight + REFUSED_S, fail, "refused")
        else:
            self.engine.at(now + flight, arrive)

    def stream_ping(self, source: str, output: PingOverStream) -> None:
        """Carry a ping by stream; the kernel of a frozen herald accepts, nobody answers."""
        host, target = self.hosts[source], self._by_address[output.to[0]]
        flight = self.ring.stream(source, target.name)
        herald = host.herald

        def arrive() -> None:
            if target.runs and target.herald is not None and host.herald is herald:
                ack = target.herald.swim.stream_pinged(output.ping)
                if ack is not None:
                    host.deliver("stream_ack", ack.seq_no)

        if flight is not None:
            self.engine.at(self.engine.now + 2 * flight, arrive)

    def networks_of(self, vip: Vip) -> tuple[str, ...]:
        """Where a VIP is served."""
        serving = self.serving.get(vip)
        return tuple(n for n in self.shape.segments if serving is None or n in serving)

    def probe(self, source: str, vip: Vip) -> None:
        """Ask everybody for a VIP; answers come from tables, not from heralds."""
        for network in self.networks_of(vip):
            for name in self.names:
                if name != source:
                    there = self.networks[network].flight(source, name)
                    if there is not None:
                        at = self.engine.now + there
                        self.engine.at(at, self._answer, name, source, vip, network)

    def _answer(self, name: str, source: str, vip: Vip, network: str) -> None:
        host, own = self.hosts[name], self.hosts[source].tables[network].lladdr
        is_there = host.is_up and network not in host.down
        lladdr = host.tables[network].question(vip, self.engine.now) if is_there else None
        back = self.networks[network].flight(name, source)
        if lladdr is not None and back is not None and lladdr != own:
            herald = self.hosts[source].herald
            at = self.engine.now + back
            self.engine.at(at, self._answered, source, herald, vip, lladdr, network)

    def _answered(self, source: str, herald: object, vip: Vip, lladdr: bytes, network: str) -> None:
        host = self.hosts[source]
        if herald is host.herald:
            host.deliver("probed", vip, lladdr, network)

    def announced(self, source: str, vip: Vip) -> None:
        """A GARP or unsolicited NA: whoever answers with another LLADDR sees a conflict."""
        for network in self.networks_of(vip):
            lladdr = self.hosts[source].tables[network].lladdr
            for name, host in self.hosts.items():
                segment = self.networks[network]
                flight = segment.flight(source, name) if name != source else None
                if flight is not None:
                    at = self.engine.now + flight
                    self.engine.at(at, self._announced, host, vip, lladdr, network)

    def _announced(self, host: Host, vip: Vip, lladdr: bytes, network: str) -> None:
        answer = host.tables[network].question(vip, self.engine.now)
        if host.is_up and network not in host.down and answer not in {None, lladdr}:
            host.deliver("conflict", vip, lladdr, network)

    def spoken(self, host: Host, vip: Vip, why: str) -> None:
        """The table of a host has changed."""
        if self.trace:
            self.log(host.name, f"{vip} {why}")
        if self.judge is not None:
            self.judge.spoken(host, vip, why)

    # --- plans

    def _ranking(self, rng: random.Random) -> tuple[str, ...]:
        return tuple(rng.sample(self.names, len(self.names)))

    def _plan(self) -> tuple[PlannedSeat, ...]:
        return tuple(
            PlannedSeat(
                vip,
                tuple(n for n in self.rankings[vip] if not self.excluded.get(n)),
                self.serving[vip],
            )
            for vip in self.vips
            if not self.withdrawn.get(vip)
        )

    def _replan(self, skew_s: float, rng: random.Random) -> None:
        """Every node gets the new plan, one after another in random order."""
        plan = self._plan()
        self._plans += 1
        order = rng.sample(self.names, len(self.names))
        for place, name in enumerate(order):
            at = self.engine.now + 0.001 + skew_s * place / len(order)
            self.engine.at(at, self._set_plan, self.hosts[name], plan, self._plans)
        self.disturb(self.engine.now + skew_s)

    def _set_plan(self, host: Host, plan: tuple[PlannedSeat, ...], version: int) -> None:
        if version < host.plan_version:
            return  # overtaken: an agent never goes back
        host.plan, host.plan_version = plan, version
        host.plan_sent(host.herald)
        self.disturb()

    # --- faults

    def befall(self, fault: Fault) -> None:
        """Begin a fault, and plan its end."""
        self.log("", f"-- {fault}")
        start, end = self._steps(fault)
        start()
        self._tear(fault, fault.duration if fault.duration < NEVER else 0.0)
        self.disturb()
        if fault.duration < NEVER:
            self.quiet_at = max(self.quiet_at, self.engine.now + fault.duration)
            self.engine.at(self.engine.now + fault.duration, self._end, fault, end)

    def _end(self, fault: Fault, end: Callable[[], None]) -> None:
        self.log("", f"-- end of {fault.kind} {','.join(fault.nodes)}")
        end()
        self._tear(fault, 0.0)
        self.disturb()

    def _tear(self, fault: Fault, lasting: float) -> None:
        if fault.kind not in PLANNED:
            self.torn_at = self.engine.now
            self.torn_until = max(self.torn_until, self.engine.now + lasting)

    def _steps(self, fault: Fault) -> Steps:
        """How a fault begins and how it ends."""
        host, name = self.hosts[fault.nodes[0]], fault.nodes[0]
        skew_s, rng = fault.amount, random.Random(fault.seed)
        vip = self.vips[fault.seed % len(self.vips)]
        paths = self._paths(fault)
        network = fault.network or "eth0"
        segment = self.networks[network]
        if fault.kind in {Kind.KILL, Kind.FREEZE}:
            self._look_later(LEASE_S)
        if fault.kind is Kind.HOLD:
            self._look_later(HOLD_S)
            if fault.duration > HOLD_S:
                self.quiet_at = max(self.quiet_at, self.engine.now + HOLD_S)
        table: dict[Kind, Steps] = {
            Kind.CRASH: (self._each(fault, Host.power_off), self._each(fault, Host.power_on)),
            Kind.KILL: (self._each(fault, Host.kill), self._each(fault, Host.start)),
            Kind.FREEZE: (self._each(fault, lambda h: h.freeze(fault.duration)), _nothing),
            Kind.CARRIER: (
                lambda: self._carrier(host, network, paths, up=False),
                lambda: self._carrier(host, network, paths, up=True),
            ),
            Kind.LOSS: (
                lambda: self._weather(segment, loss=fault.amount),
                lambda: self._weather(segment),
            ),
            Kind.SLOW: (
                lambda: self._weather(segment, slow=fault.amount),
                lambda: self._weather(segment),
            ),
            Kind.ETHERTYPE: (
                lambda: setattr(segment, "drops_frames_of_beats", True),
                lambda: setattr(segment, "drops_frames_of_beats", False),
            ),
            Kind.AGENT: (
                lambda: self._hush(host, silent=True),
                lambda: self._hush(host, silent=False),
            ),
            Kind.LEAVE: (lambda: self._leave(host), host.start),
            Kind.HOLD: (self._each(fault, self._hold), self._each(fault, Host.start)),
            Kind.PLAN: (lambda: self._rerank(skew_s, rng), _nothing),
            Kind.SHRINK: (
                lambda: self._exclude(name, 1, skew_s, rng),
                lambda: self._exclude(name, -1, skew_s, rng),
            ),
            Kind.WITHDRAW: (
                lambda: self._withdraw(vip, 1, skew_s, rng),
                lambda: self._withdraw(vip, -1, skew_s, rng),
            ),
        }
        cut: Steps = (lambda: segment.cut(paths), lambda: segment.heal(paths))
        return table.get(fault.kind, cut)

    def _each(self, fault: Fault, method: Callable[[Host], None]) -> Callable[[], None]:
        def do() -> None:
            for name in fault.nodes:
                method(self.hosts[name])

        return do

    def _paths(self, fault: Fault) -> list[tuple[str, str]]:
        inside = set(fault.nodes)
        outside = [name for name in self.names if name not in inside]
        out = [(a, b) for a in fault.nodes for b in outside]
        into = [(b, a) for a, b in out]
        match fault.kind:
            case Kind.ONE_WAY:
                return [(fault.nodes[0], fault.nodes[1])]
            case Kind.DEAF:
                return into
            case Kind.MUTE:
                return out
            case _:
                return out + into

    def _look_later(self, delay: float) -> None:
        def look() -> None:
            if self.judge is not None:
                self.judge.look_at_all()

        self.engine.at(self.engine.now + delay + 1e-6, look)

    def _carrier(self, host: Host, network: str, paths: list[tuple[str, str]], *, up: bool) -> None:
        segment = self.networks[network]
        (segment.heal if up else segment.cut)(paths)
        if up is (network in host.down):
            host.set_carrier(network, up=up)

    @staticmethod
    def _weather(segment: Segment, loss: float = 0.0, slow: float = 0.0) -> None:
        segment.loss = loss
        segment.delay_s = 0.0004 + slow
        segment.jitter_s = 0.0004 + slow / 2

    def _hush(self, host: Host, *, silent: bool) -> None:
        host.agent_silent = silent
        if not silent:
            host.plan_sent(host.herald)

    def _hold(self, host: Host) -> None:
        if not host.hold():
            self._leave(host)

    def _leave(self, host: Host) -> None:
        """SIGTERM: hand over, say goodbye, end after 2.5 s at the latest."""
        herald = host.herald
        if herald is None:
            return
        host.leave()
        deadline = self.engine.now + 2.0
        self.quiet_at = max(self.quiet_at, deadline + 0.6)

        def watch() -> None:
            if host.herald is not herald:
                return
            if herald.core.is_empty_handed or self.engine.now >= deadline:
                host.deliver("left")
                self.engine.at(self.engine.now + 0.5, end)
            else:
                self.engine.at(self.engine.now + 0.02, watch)

        def end() -> None:
            if host.herald is herald:
                host.kill()
                for table in host.tables.values():
                    table.rows.clear()
                self.disturb()

        watch()

    def _rerank(self, skew_s: float, rng: random.Random) -> None:
        self.rankings = {vip: self._ranking(rng) for vip in self.vips}
        self._replan(skew_s, rng)

    def _exclude(self, name: str, change: int, skew_s: float, rng: random.Random) -> None:
        self.excluded[name] = self.excluded.get(name, 0) + change
        self._replan(skew_s, rng)

    def _withdraw(self, vip: Vip, change: int, skew_s: float, rng: random.Random) -> None:
        self.withdrawn[vip] = self.withdrawn.get(vip, 0) + change
        self._replan(skew_s, rng)
