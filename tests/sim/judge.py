"""
Watch a simulated cluster from outside, and say where an invariant of the ownership rules breaks.

Judged is what the data planes answer, never what heralds intend. A client stands beside every node
and asks every node it can reach, there and back. The invariants hold within these bounds, with
those of BEATS_ where beats find the dead:

    one voice     two LLADDRs at one client: not for longer than SIMULTANEOUS_S, counted from when
                  both holders can hear each other and both heralds run; HEALED_S when a cut, a
                  stall, a restart or a loss of frames lasts or has ended so lately; STRANGER_S if
                  one was started while cut off and is in no list, so that only a join helps
    some voice    a seat whose holder memberlist has declared dead or left: somebody answers within
                  DETECTED_S, if a candidate can; a seat never held: within EMPTY_S; whatever
                  happened, within LOST_S of the last disturbance
    no false move nobody takes a seat that another one answers for, unless given, while the two
                  have been connected and running for CALM_S
    agreement     AGREED_S after the last disturbance every seat is with its best candidate, and
                  all heralds name the same holder
    unharmed      what must do no harm alone does none: see _HARMLESS; and a fault of one network
                  alone does none to VIPs that are not served there
"""

from math import inf
from typing import TYPE_CHECKING

import attrs

from speaker.herald.actions import Vip
from tests.sim.faults import Fault, Kind

if TYPE_CHECKING:
    from tests.sim.host import Host
    from tests.sim.world import World

SIMULTANEOUS_S = 0.06
HEALED_S = 2.5
STRANGER_S = 4.5  # a join attempt of 2 s that fails, and 2 s until the next one
DETECTED_S = 0.2
EMPTY_S = 1.2  # 0.3 s, two probes, turns, and a member whose first hello is awaited
LOST_S = 14.0  # memberlist's detection with three Lifeguard steps of bad health, and one second
BEATS_HEALED_S = 0.6
BEATS_LOST_S = 5.0  # a lease of 3 s, and a node that booted so lately that it is not judged yet
CALM_S = 4.0
AGREED_S = 26.0


# A schedule of this one fault, up to that duration or amount, silences no VIP and moves none; a
# planned move (True) may move it.
_HARMLESS: dict[Kind, tuple[float, float, bool]] = {
    Kind.KILL: (2.8, 1.0, False),  # restarted within the lease
    Kind.FREEZE: (2.8, 1.0, False),
    Kind.HOLD: (28.0, 1.0, False),  # started again within the hold
    Kind.LOSS: (inf, 0.05, False),
    Kind.SLOW: (inf, 0.03, False),
    Kind.AGENT: (inf, 1.0, False),
    Kind.LEAVE: (inf, 1.0, True),
    Kind.PLAN: (inf, inf, True),
    Kind.SHRINK: (inf, inf, True),
}


@attrs.frozen
class Violation:
    """One broken invariant."""

    at: float
    rule: str
    vip: Vip
    text: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.at:.3f} {self.rule}: {self.vip} {self.text}"


@attrs.define
class Ear:
    """What one client hears of one VIP."""

    view: str
    vip: Vip
    network: str
    voices: tuple[str, ...] = ()  # nodes whose LLADDR is answered
    since: float = 0.0
    excused_at: float = 0.0  # last moment at which two voices were excused
    last: str = ""  # who answered last
    strangers: bool = False  # the two voices are of nodes that did not know each other
    is_eligible: bool = False  # somebody could answer
    eligible_since: float = inf


@attrs.define
class Judge:
    """Told of every change; asks the tables."""

    world: "World"
    violations: list[Violation] = attrs.field(factory=list)
    ears: dict[Vip, list[Ear]] = attrs.field(factory=dict)
    moves: int = 0
    takes: int = 0
    false_moves: int = 0
    worst_silence: float = 0.0
    worst_double: float = 0.0
    watched: Fault | None = None  # the only fault of this run, if it has but one
    gone: dict[tuple[str, str], float] = attrs.field(factory=dict)  # (who knows, node) -> when
    held_at: dict[tuple[str, Vip], float] = attrs.field(factory=dict)
    is_watching: bool = False
    _broken: set[tuple[str, Vip]] = attrs.field(factory=set)

    def open(self) -> None:
        """Take one's place beside every node."""
        for vip in self.world.vips:
            self.ears[vip] = [
                Ear(view, vip, network)
                for network in self.world.networks_of(vip)
                for view in self.world.names
            ]

    def watch(self) -> None:
        """The cluster has started: from now on the one fault of the run is all there is."""
        self.is_watching = True

    # --- what is seen

    def spoken(self, host: "Host", vip: Vip, why: str) -> None:
        """A table has changed."""
        now = self.world.engine.now
        if why in {"HELD", "WEAK"}:
            self.held_at[host.name, vip] = now
        elif why in {"vacant", "let_go"}:
            self.takes += 1
            self._check_false_move(host, vip, why)
        elif why == "given":
            self.moves += 1
        self.look(vip)

    def member_gone(self, host: str, text: str) -> None:
        """A herald was told that a member died or left."""
        for name in self.world.names:
            if f"'name': '{name}'" in text:
                self.gone[host, name] = self.world.engine.now

    def look_at_all(self) -> None:
        """Ask for every VIP."""
        for vip in self.world.vips:
            self.look(vip)

    def look(self, vip: Vip) -> None:
        """Ask for one VIP at every place, and judge what has changed."""
        for network in self.world.networks_of(vip):
            self._look(vip, network)

    def _look(self, vip: Vip, network: str) -> None:
        world = self.world
        now = world.engine.now
        answers = {}
        owners = {t.lladdr: n for n, host in world.hosts.items() for t in host.tables.values()}
        for name, host in world.hosts.items():
            if host.is_up and network not in host.down:
                lladdr = host.tables[network].question(vip, now)
                if lladdr is not None:
                    answers[name] = owners[lladdr]
        able = [n for n, host in world.hosts.items() if self.can_answer(host, vip)]
        reach = world.networks[network].reaches
        for ear in self.ears[vip]:
            if ear.network != network:
                continue
            voices = tuple(sorted({v for n, v in answers.items() if reach(ear.view, n)}))
            speakers = [n for n in answers if reach(ear.view, n)]
            self._judge_ear(ear, voices, speakers, any(reach(ear.view, n) for n in able), now)

    def can_answer(self, host: "Host", vip: Vip) -> bool:
        """Whether a node could answer for the VIP now, by what it was told."""
        herald = host.herald
        if not host.is_up or herald is None or not host.runs:
            return False
        if not host.down.isdisjoint(self.world.networks_of(vip)):
            return False
        if not herald.core.is_started or herald.core.is_leaving:
            return False
        return any(seat.vip == vip and host.name in seat.candidates for seat in host.plan)

    # --- judging

    def _judge_ear(
        self, ear: Ear, voices: tuple[str, ...], speakers: list[str], eligible: bool, now: float
    ) -> None:
        self._close_interval(ear, now)
        if len(voices) > 1 and self._is_excused(speakers, ear.network):
            ear.excused_at = now
        if eligible and not ear.is_eligible:
            ear.eligible_since = now
        ear.is_eligible = eligible
        ear.strangers = len(voices) > 1 and (ear.strangers or self._are_strangers(voices))
        if voices != ear.voices:
            self._check_harm(ear, voices, eligible=eligible)
            ear.voices, ear.since = voices, now
        if voices:
            ear.last = voices[0]

    def _close_interval(self, ear: Ear, now: float) -> None:
        """Judge how it was until now."""
        world = self.world
        if len(ear.voices) > 1:
            since = max(ear.since, ear.excused_at)
            self.worst_double = max(self.worst_double, now - since)
            bound = SIMULTANEOUS_S
            healed_s = BEATS_HEALED_S if world.beats else HEALED_S
            if world.torn_until > since - healed_s:
                since = max(since, min(world.torn_at, now))
                bound = STRANGER_S if ear.strangers else HEALED_S
            if now - since > bound:
                self._broke("one_voice", ear.vip, f"{'+'.join(ear.voices)} for {now - since:.3f} s")
        elif not ear.voices and ear.is_eligible:
            start = max(ear.since, ear.eligible_since)
            self.worst_silence = max(self.worst_silence, now - start)
            lost_s = BEATS_LOST_S if world.beats and self._is_whole(ear) else LOST_S
            if now - max(start, world.disturbed_at) > lost_s:
                self._broke("some_voice", ear.vip, f"silent at {ear.view} for {now - start:.3f} s")
            if not ear.last:
                if now - max(start, world.quiet_at) > EMPTY_S:
                    self._broke("slow_take", ear.vip, f"never held for {now - start:.3f} s")
                return
            late = now - max(start, world.quiet_at, self._known_gone(ear))
            if late > DETECTED_S:
                self._broke("slow_take", ear.vip, f"{ear.last} known gone, silent for {late:.3f} s")

    def _check_harm(self, ear: Ear, voices: tuple[str, ...], *, eligible: bool) -> None:
        fault = self.watched
        if fault is None or not self.is_watching:
            return
        if fault.network and fault.network not in self.world.networks_of(ear.vip):
            what = f"from {ear.voices} to {voices} at {ear.view}"
            self._broke("harmed", ear.vip, f"{fault.kind} on {fault.network} moved it {what}")
        if fault.kind not in _HARMLESS:
            return
        duration, amount, moves = _HARMLESS[fault.kind]
        if fault.duration > duration or fault.amount > amount:
            return
        if eligible and not voices:
            self._broke("harmed", ear.vip, f"{fault.kind} silenced it at {ear.view}")
        elif not moves:
            self._broke("harmed", ear.vip, f"{fault.kind} moved it from {ear.voices} to {voices}")

    def _known_gone(self, ear: Ear) -> float:
        """When the first node that could take over was told that the last voice is gone."""
        known = [
            at
            for (host, node), at in self.gone.items()
            if node == ear.last
            and not self._counts_alive(host, node)
            and self.world.networks[ear.network].reaches(ear.view, host)
            and self.can_answer(self.world.hosts[host], ear.vip)
        ]
        return min(known, default=inf)

    def _counts_alive(self, host: str, node: str) -> bool:
        """Whether a herald takes a node for alive: it may have come back since it was gone."""
        herald = self.world.hosts[host].herald
        return herald is not None and herald.core.is_alive(node)

    def _are_strangers(self, names: tuple[str, ...]) -> bool:
        """Whether one of these nodes is not even a dead member to another."""
        hosts = [self.world.hosts[name] for name in names]
        return any(
            a.herald is not None and a is not b and a.herald.swim.member(b.name) is None
            for a in hosts
            for b in hosts
        )

    def _is_whole(self, ear: Ear) -> bool:
        """Whether nothing is cut that matters to what it hears."""
        return self.world.ring.is_whole and self.world.networks[ear.network].is_whole

    def _is_excused(self, speakers: list[str], network: str) -> bool:
        """Whether the holders cannot know of each other now."""
        hosts, reach = self.world.hosts, self.world.networks[network].reaches
        talks = self.world.ring.reaches  # cut off there, they cannot tell each other their counters
        if any(not talks(a, b) for a in speakers for b in speakers):
            return True
        if any(not hosts[name].runs for name in speakers):
            return True
        return any(not reach(a, b) for a in speakers for b in speakers)

    def _check_false_move(self, host: "Host", vip: Vip, why: str) -> None:
        for network in self.world.networks_of(vip):
            self._check_false_move_on(network, host, vip, why)

    def _check_false_move_on(self, network: str, host: "Host", vip: Vip, why: str) -> None:
        world, now = self.world, self.world.engine.now
        for name, other in world.hosts.items():
            if other is host or not other.is_up or network in other.down:
                continue
            answer = other.tables[network].question(vip, now)
            if answer is None or answer == host.tables[network].lladdr:
                continue
            if now - self.held_at.get((name, vip), -inf) < SIMULTANEOUS_S:
                continue  # both at once, by plans that differ: the rule of two voices judges it
            if world.networks[network].reaches(name, host.name) and now - world.torn_until > CALM_S:
                self.false_moves += 1
                self._broke("false_move", vip, f"{host.name} took it ({why}) from {name}")

    def _broke(self, rule: str, vip: Vip, text: str) -> None:
        if (rule, vip) not in self._broken:
            self._broken.add((rule, vip))
            self.violations.append(Violation(self.world.engine.now, rule, vip, text))
            self.world.log("", f"## {rule} {vip} {text}")

    # --- the end

    def close(self) -> None:
        """Judge how it ends: everything is long over, so all must agree."""
        self.look_at_all()
        world = self.world
        running = [h for h in world.hosts.values() if h.runs and h.herald and h.carrier]
        if not all(network.is_whole for network in world.networks.values()):
            return
        for vip in world.vips:
            able = {h.name for h in world.hosts.values() if self.can_answer(h, vip)}
            holders = {ear.voices for ear in self.ears[vip]}
            if able:
                best = next(n for n in world.rankings[vip] if n in able)
                if holders != {(best,)}:
                    self._broke("agreement", vip, f"voices {sorted(holders)}, best is {best}")
            elif holders != {()}:
                self._broke("agreement", vip, f"voices {sorted(holders)}, nobody may")
            for host in running:
                assert host.herald is not None
                holder = host.herald.core.holder(vip)
                if able and holder != best:
                    self._broke("agreement", vip, f"{host.name} thinks {holder}, not {best}")
