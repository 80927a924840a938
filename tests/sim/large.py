"""
A simulated cluster of hundreds: what tells nobody anything new is left out, host by host.

Of 200 nodes each says hello to 199 others every second and beats three of them 40 times a second:
64,000 frames a second, nearly all of which change nothing. Left out are, and a test compares the
outcome with playing everything:

    beats   of a host that dozes: it runs, all that it watches reflect, or are cut off or dead and
            found so, and it has no open case. Before it acts on anything, what it watches counts
            as heard just now. It wakes when a fault touches it or whom it watches, or when a
            message opens a case or changes whom it watches
    hellos  that differ from the last one in nothing that the receiver does not know: number and
            moment are noted, as reading it would do
    probes  and announcements are carried to those alone that have an answer to them
"""

import random
from collections.abc import Iterable
from math import inf

from speaker.beats import BeatState
from speaker.beats.cell import Cell
from speaker.beats.fence import Fences
from speaker.beats.vigil import BEAT_S, PROOF, WATCHED, Standing, Watchee
from speaker.herald.actions import SendAll, Vip
from speaker.herald.core import PlannedSeat
from speaker.herald.facts import Fence, Hello, decode
from speaker.herald.teller import _lasting
from tests.sim.faults import Fault, Kind
from tests.sim.host import Host
from tests.sim.world import DELAY_S, World

AWAKE_S = 0.6  # after a touch: the half second in which a silence is looked into, and a little
LOOK_S = 0.1  # between two looks whether a host may doze
HEARD_AGO_S = 0.01  # half a beat and the way: how long ago a dozing host heard what it watches
_UNTOUCHING = {Kind.AGENT, Kind.PLAN, Kind.SHRINK, Kind.WITHDRAW}
_WEATHER = {Kind.LOSS, Kind.SLOW}


class LargeWorld(World):
    """See above. `leaves_out` False plays every beat and hello, for the test that compares."""

    def __init__(
        self, nodes: int, vips: int, seed: int, *, trace: bool = False, leaves_out: bool = True
    ) -> None:
        """`seed` decides everything that chance does."""
        super().__init__(nodes, vips, seed, trace)
        self.leaves_out = leaves_out
        self.dozing: dict[str, frozenset[str]] = {}  # and whom they watch
        self._alive: dict[str, frozenset[str]] = {}  # members as they were when last surveyed
        self._roused_at: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._told: dict[str, Hello] = {}  # the last hello of each node
        self._is_look_due = False

    # --- what touches whom

    def disturb(self, until: float = 0.0) -> None:
        """Something was done to the cluster, or will be until then."""
        now = self.engine.now
        self.disturbed_at = max(self.disturbed_at, now)
        self.quiet_at = max(self.quiet_at, now, until)
        if not self._is_look_due:
            self._is_look_due = True
            self.engine.at(now, self._look)

    def _look(self) -> None:
        self._is_look_due = False
        if self.judge is not None:
            self.judge.look_at_all()

    def befall(self, fault: Fault) -> None:
        """Begin a fault, and plan its end."""
        self.rouse(self._touched(fault))
        super().befall(fault)

    def _end(self, fault: Fault, end: object) -> None:
        self.rouse(self._touched(fault))
        super()._end(fault, end)  # type: ignore[arg-type]  # as befall() of the base hands it on

    def _touched(self, fault: Fault) -> set[str]:
        if fault.kind in _UNTOUCHING:
            return set()
        if fault.kind in _WEATHER:
            return set(self.names)
        hit = set(fault.nodes)
        watching = {
            name
            for name, host in self.hosts.items()
            if host.herald is not None
            and not hit.isdisjoint(host.herald.core.sentries.on("eth0").vigil.watchees)
        }
        return hit | watching

    def rouse(self, names: Iterable[str]) -> None:
        """Let these beat again, at any moment of their schedule."""
        for name in sorted(names):
            self._roused_at[name] = self.engine.now
            host = self.hosts[name]
            if self.dozing.pop(name, None) is not None:
                self._resume(host)
                if host.runs:
                    host._after()

    def _resume(self, host: Host) -> None:
        if host.herald is not None:
            self._reassure(host)
            vigil, now = host.herald.core.sentries.on("eth0").vigil, self.engine.now
            vigil._send_at, vigil._check_at = now + host.rng.random() * BEAT_S, inf
            host.beats_from = now

    # --- beats

    def beats_matter(self, host: Host) -> bool:
        """Whether beats of this host could tell anybody anything new."""
        name, now = host.name, self.engine.now
        herald = host.herald
        assert herald is not None
        sentries = herald.core.sentries
        sentry = sentries.on("eth0")
        if (watched := self.dozing.get(name)) is not None:
            alive = herald.core._world.alive
            if alive is not self._alive[name]:  # a beating herald would see it within the second
                self._alive[name] = alive
                sentries.survey(now)
            is_quiet = sentry.silence.next_wakeup() == inf and not host.is_waiting
            is_quiet = is_quiet and not sentries.paths.is_seeking()
            is_quiet = is_quiet and _fenced(sentries.fences) <= watched  # told of a fence meanwhile
            if is_quiet and sentry.vigil.watchees.keys() == watched:
                return False
            del self.dozing[name]
            self._roused_at[name] = now
            self._resume(host)
            return True
        if now - self._looked.get(name, -inf) < LOOK_S:
            return True
        self._looked[name] = now
        if now - self._roused_at.get(name, -inf) > AWAKE_S and self._may_doze(host):
            self.dozing[name] = frozenset(sentry.vigil.watchees)
            self._alive[name] = frozenset()
            return False
        return True

    def _may_doze(self, host: Host) -> bool:
        herald, segment = host.herald, self.segment
        if not self.leaves_out or segment.loss or segment.delay_s > DELAY_S:
            return False
        if herald is None or not host.runs or host.is_waiting:
            return False
        sentries = herald.core.sentries
        sentry = sentries.on("eth0")
        watchees = sentry.vigil.watchees
        is_open = sentry.silence.next_wakeup() < inf or sentries.paths.is_seeking()
        if is_open or not watchees:
            return False
        kept = {*_fenced(sentries.fences), *sentry.silence.accused()}
        if len(watchees) > WATCHED + len(kept) or not kept <= watchees.keys():
            return False  # it looks wider for a while, or has not begun with somebody
        return all(self._is_steady(host, watchee) for watchee in watchees.values())

    def _is_steady(self, host: Host, watchee: Watchee) -> bool:
        """Whether another beat to it would tell what the last one did."""
        assert host.herald is not None
        sentry, target = host.herald.core.sentries.on("eth0"), self.hosts[watchee.node]
        table = target.table
        is_answered = (
            target.is_up
            and target.carrier
            and host.carrier
            and self.segment.reaches(host.name, target.name)
        )
        if not is_answered:
            is_strange = watchee.standing is Standing.UNPROVEN and not watchee.in_a_row
            return is_strange or sentry.silence.is_sentenced(watchee.node)
        if target.runs:
            is_heard = watchee.standing is Standing.HEARD and watchee.in_a_row >= PROOF
            return (
                is_heard
                and not target.is_waiting
                and sentry.fences.claimed(sentry.cell(watchee.node)) is None
            )
        peer = host.herald.core._world.peers.get(watchee.node)
        is_over = table.reflect(None, self.engine.now)[0] in {
            BeatState.EXPIRED,
            BeatState.SUSPENDED,
            BeatState.RELEASED,
        }
        is_known = sentry.silence.is_sentenced(watchee.node) or not (peer and peer.words.active)
        return is_over and is_known and sentry.fences.claimed(sentry.cell(watchee.node)) is None

    def refresh(self, host: Host) -> None:
        """Its herald is about to act: what it watches was heard just now."""
        if host.name in self.dozing:
            self._reassure(host)

    def _reassure(self, host: Host) -> None:
        if host.herald is None:
            return
        for watchee in host.herald.core.sentries.on("eth0").vigil.watchees.values():
            if watchee.standing is Standing.HEARD:
                watchee.heard_at = max(watchee.heard_at, self.engine.now - HEARD_AGO_S)

    # --- hellos

    def send_all(self, host: Host, action: SendAll) -> None:
        """Carry one user message to several members; a hello is read where it says something."""
        herald, source = host.herald, host.name
        assert herald is not None
        hello = decode(action.payload)
        is_calm = self.leaves_out and not self.segment.loss and self.segment.delay_s <= DELAY_S
        repeated = self._repeated(source, hello) if isinstance(hello, Hello) else None
        for node in action.nodes:
            target = self.hosts[node]
            if self.leaves_out and not (target.is_up and self.segment.is_open(source, node)):
                continue
            if is_calm and isinstance(hello, Hello) and self._is_known(hello, target, repeated):
                continue
            host.do(herald.swim.send_user(node, action.payload))

    def _repeated(self, source: str, hello: Hello) -> Hello | None:
        """The hello before, where this one says the same."""
        before = self._told.get(source)
        self._told[source] = hello
        if before is None or before.instance != hello.instance or before.seq >= hello.seq:
            return None
        is_same = before.fences == hello.fences and _lasting(before) == _lasting(hello)
        return before if is_same else None

    def _is_known(self, hello: Hello, target: Host, repeated: Hello | None) -> bool:
        """
        Note that a hello came that says nothing new; False when it has to be read.

        `repeated` is the one before where it said the same: who has heard that need not compare.
        """
        if target.herald is None or not target.runs:
            return False
        core = target.herald.core
        peer = core._world.peers.get(hello.node)
        if peer is None or (before := peer.hello) is None:
            return False
        if not (peer.is_member and peer.is_alive and peer.differs_since is None):
            return False
        if before is not repeated and (
            before.seq >= hello.seq
            or peer.instance != hello.instance
            or _lasting(before) != _lasting(hello)
            or (hello.fences != before.fences and not _knows(core.sentries.fences, hello.fences))
        ):
            return False
        peer.hello, peer.heard_at = hello, self.engine.now
        return True

    # --- the segment

    def probe(self, source: str, vip: Vip) -> None:
        """Ask everybody for a VIP: whoever would answer, hears it."""
        for name in self._answering(vip):
            flight = self.segment.flight(source, name) if name != source else None
            if flight is not None:
                at = self.engine.now + flight
                self.engine.at(at, self._answer, name, source, vip, "eth0")

    def announced(self, source: str, vip: Vip) -> None:
        """A GARP or unsolicited NA: whoever answers for the VIP itself looks at it."""
        lladdr = self.hosts[source].table.lladdr
        for name in self._answering(vip):
            flight = self.segment.flight(source, name) if name != source else None
            if flight is not None:
                host = self.hosts[name]
                at = self.engine.now + flight
                self.engine.at(at, self._announced, host, vip, lladdr, "eth0")

    def _answering(self, vip: Vip) -> list[str]:
        now = self.engine.now
        hosts = self.hosts.items()
        return [name for name, host in hosts if host.is_up and host.table.question(vip, now)]

    # --- plans

    def _set_plan(self, host: Host, plan: tuple[PlannedSeat, ...], version: int) -> None:
        if version < host.plan_version:
            return
        host.plan, host.plan_version = plan, version
        host.plan_sent(host.herald)
        self.disturb()

    # --- calm

    @property
    def is_calm(self) -> bool:
        """Whether nothing is amiss: time may as well stand still until the next fault."""
        if self.engine.now <= self.quiet_at or len(self.dozing) < len(self.hosts):
            return False
        if not self.segment.is_whole or self.engine.now < self.torn_until:
            return False
        return all(self._is_at_rest(host) for host in self.hosts.values())

    def _is_at_rest(self, host: Host) -> bool:
        herald = host.herald
        if herald is None or not host.runs or not host.carrier or host.is_waiting:
            return False
        core, membership = herald.core, herald.swim._membership
        others = len(self.hosts) - 1
        if membership.suspicions or herald.swim._gossiper._has_news or herald.swim.health:
            return False
        if len(core._world.able) < others or core.sentries.fences.cells():
            return False
        if len(core.sentries.on("eth0").vigil.watchees) != min(WATCHED, others):
            return False
        return not any(
            peer.differs_since is not None or peer.unacked or peer.died_at is not None
            for peer in core._world.peers.values()
        )

    def restless(self) -> list[str]:
        """Who is not at rest."""
        return [name for name, host in self.hosts.items() if not self._is_at_rest(host)]

    def reseed(self, rng: random.Random) -> None:
        """Let chance take another course from now on."""
        self.rng.seed(rng.getrandbits(64))
        self.segment.rng.seed(rng.getrandbits(64))
        for host in self.hosts.values():
            host.rng.seed(rng.getrandbits(64))

    def holders(self) -> set[str]:
        """Who answers for anything."""
        now = self.engine.now
        return {
            name
            for name, host in self.hosts.items()
            if any(host.table.question(vip, now) for vip in self.vips)
        }


def _fenced(fences: Fences) -> set[str]:
    return {cell.node for cell in fences.cells()}


def _knows(fences: Fences, told: tuple[Fence, ...]) -> bool:
    """Whether none of these records is news."""
    for fence in told:
        cell = Cell(fence.node, fence.segment)
        claimed = fences.claimed(cell)
        is_recorded = claimed is not None and fence.epoch <= claimed
        if not is_recorded and fence.epoch >= fences.epoch_of(cell):
            return False
    return True
