"""Who answers for a VIP: the ownership core of a herald. Pure: events and `now` in, actions out."""

import random
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import attrs

from speaker.beats.cell import Cell
from speaker.beats.messages import is_ours
from speaker.herald.actions import Action, Note, Rejoin, Vip, Voice
from speaker.herald.agenda import Agenda
from speaker.herald.claims import Claims
from speaker.herald.docket import Docket
from speaker.herald.exchange import Exchange
from speaker.herald.facts import Claim, Flag, Hello, LinkFact, Message, State
from speaker.herald.hands import Hands
from speaker.herald.hearsay import Hearsay
from speaker.herald.holding import HoldRefusal
from speaker.herald.ledger import Ledger
from speaker.herald.namesake import Namesakes
from speaker.herald.peers import HELLO_S
from speaker.herald.reentry import Entry, Reentries
from speaker.herald.requests import asks_of, declines_of
from speaker.herald.rules import Rules
from speaker.herald.saved import Saved, decode_saved, encode_saved
from speaker.herald.seats import PlannedSeat, Seat, SeatReason, serving
from speaker.herald.sentries import Sentries
from speaker.herald.sentry import Reflection
from speaker.herald.teller import OwnFacts, Teller
from speaker.herald.world import AGENT_SILENT_S, Link, World

START_S: Final = 0.5  # at least so long a herald without seats looks before it takes (OWNERSHIP 8)
LATE_S: Final = 0.05  # a tick later than this first lets the queued messages be read
CATCH_UP_S: Final = 0.03


@attrs.frozen
class CoreConfig:
    """What a core is told once, at its start."""

    node: str  # our name in the ring
    instance: bytes  # 16 octets: machine-id, boot-id and start, hashed; new at every process start
    version: str = ""
    beats: bool = False  # judge peers by beats too, not by memberlist alone


@attrs.frozen
class AdoptedRow:
    """A row of the table as the last herald left it, under a lease that is still valid."""

    vip: Vip
    voice: Voice
    lladdr: bytes | None = None


@attrs.frozen
class SeatView:
    """One seat as status shows it."""

    vip: Vip
    holder: str | None  # a node name, ours when we hold it
    reason: SeatReason
    counter: int
    foreign: bytes | None = None  # with held_elsewhere: the LLADDR that answered our probe


class HeraldCore:
    """
    Every input takes `now` (monotonic seconds) and leaves its actions in `take_actions()`.

    Order at a start: restore(), adopt() (only under a valid lease), set_interfaces(), then the
    ring; join_settled() once every join target was merged or has failed twice. After a stall the
    lease comes first: lease_expired() before any message, and messages before tick().
    """

    def __init__(self, config: CoreConfig, rng: random.Random, now: float) -> None:
        """`now` is when the process started."""
        self._born_at = now
        actions = self._actions = list[Action]()
        tasks = self._tasks = Agenda[str]()
        ledger = self._ledger = Ledger()
        own = self._own = OwnFacts(config.node, config.instance, config.version, now)
        world = self._world = World(own, {}, now)
        claims = Claims()
        teller = self._teller = Teller(own, world.peers, tasks, actions, rng, ledger.count)
        docket = self._docket = Docket()
        hands = Hands(world, teller, actions, ledger)
        rules = self._rules = Rules(world, claims, hands, docket.due, rng)
        names = Namesakes(config.node, config.instance)
        self._hearsay = Hearsay(world, claims, docket, rules, tasks, actions, ledger, names, now)
        self._hearsay.exchange = Exchange(
            own, world.peers, claims, teller, tasks, actions, rng, ledger.count, self._hearsay
        )
        self.sentries = Sentries(
            world, claims, docket, hands, actions, ledger,
            self._hearsay.refresh, self._hearsay.exchange.meet, is_on=config.beats,
        )  # fmt: skip
        self._hearsay.is_beating = self.sentries.is_beating
        self._hearsay.may_beat = self.sentries.may_beat
        self._reentry = Reentries(self.sentries.heard_by_any)
        self._is_joined = False
        self._catch_up_at: float | None = None
        self._saved: dict[bytes, tuple[int, str]] = {}
        self._weak: dict[bytes, tuple[Cell, int]] = {}
        self.version = 0  # grows when view() or snapshot() may have changed
        tasks.set("hello", now + HELLO_S)
        tasks.set("start", now + START_S)

    # --- what the herald before left

    def restore(self, saved: bytes) -> None:
        """Take back fences, and for adopt() counters and moves; raises DecodeError."""
        value = decode_saved(saved)
        self.sentries.fences.restore(value.fences)
        self._saved = {key: (count, to) for key, count, _, to in value.seats}
        self._weak = {key: (Cell(*cell), epoch) for key, *cell, epoch in value.weak}

    def snapshot(self) -> bytes:
        """What restore() of the next herald needs; to be written whenever `version` has grown."""
        words = self._own.words.by_seat
        seats = tuple((k, w.counter, w.claim, w.to) for k, w in words.items() if w.claim)
        weak = tuple(
            (key, *cell, epoch)
            for key, seat in self._docket.seats.items()
            if seat.weak_of and seat.mine
            for cell, epoch in self.sentries.weak_of(seat)
        )
        return encode_saved(Saved(seats, self.sentries.fences.records(), weak))

    def adopt(self, rows: Iterable[AdoptedRow], now: float) -> None:
        """Go on with the seats of the table, without a word to the clients."""
        adopted = 0
        for row in rows:
            if row.voice not in {Voice.HELD, Voice.GIVEN, Voice.WEAK}:
                continue
            key = row.vip.packed
            counter, to = self._saved.get(key, (0, ""))
            seat = self._docket.seats.setdefault(key, Seat(key, row.vip))
            is_given = row.voice is Voice.GIVEN and bool(to)
            seat.mine = Claim.GIVING if is_given else Claim.HELD
            seat.to = to if is_given else ""
            seat.my_counter = seat.counter = counter
            if row.voice is Voice.WEAK and key in self._weak:
                cell, epoch = self._weak[key]
                seat.weak_of = cell.node
                self.sentries.resume_weak(cell, epoch)
            seat.since = now
            seat.said = (row.voice, row.lladdr if row.voice is Voice.GIVEN else None)
            self._teller.say(key, seat.mine, counter, seat.to)
            self._docket.urge_one(key)
            adopted += 1
        if adopted:
            self._actions.append(Note("seats_adopted", {"count": adopted}))
        self._settle(now)

    # --- the plan and this node

    def set_plan(self, seats: Iterable[PlannedSeat], now: float) -> None:
        """Replace the whole plan; the agent has spoken with it."""
        self._hear_agent(now)
        docket = self._docket
        is_first, self._world.has_plan = not self._world.has_plan, True
        gone = dict.fromkeys(docket.seats)
        for plan in seats:
            key = plan.vip.packed
            gone.pop(key, None)
            seat = docket.seats.get(key)
            if seat is None:
                seat = docket.seats[key] = Seat(key, plan.vip)
            if seat.plan != plan or is_first:
                seat.plan = plan
                docket.queue((key,))
        for key in gone:
            docket.seats[key].plan = None
        plans = [seat.plan for seat in docket.seats.values() if seat.plan is not None]
        self._world.serving = serving(plans)
        if self.sentries.fences.cells():
            self.sentries.fences.prune({name for plan in plans for name in plan.candidates})
        docket.urge(gone)
        self._settle(now)
        for key in gone:
            docket.forget(key)

    def agent_heard(self, now: float) -> None:
        """The agent spoke (any frame on its socket)."""
        self._hear_agent(now)
        self._settle(now)

    def _hear_agent(self, now: float) -> None:
        world = self._world
        world.now = max(world.now, now)
        if not world.agent_is_fresh:
            self._docket.queue(self._docket.seats)
        world.agent_at = now
        self._tasks.set("agent", now + AGENT_SILENT_S)

    def set_interfaces(
        self,
        links: Iterable[Link],
        host_addresses: Iterable[Vip],
        next_hops: Iterable[Vip],
        now: float,
    ) -> None:
        """Replace attached interfaces and the addresses of this host (without lo, kube-ipvs0)."""
        world, own = self._world, self._own
        had_none, world.has_links = world.has_links and not world.links, True
        world.links = tuple(sorted((ln for ln in links if ln.carrier), key=lambda ln: ln.name))
        own.links = tuple(LinkFact(ln.name[:15], ln.lladdr, ln.epoch) for ln in world.links)
        own.hosts = frozenset(address.packed for address in host_addresses)
        world.next_hops = frozenset(address.packed for address in next_hops)
        if had_none and world.links:  # whatever became of the ring meanwhile passed us by
            self._actions.append(Rejoin("", ""))
        self._hearsay.hosts_changed()
        self._docket.urge(self._docket.seats)
        self.sentries.survey(now)
        self._settle(now)

    def join_settled(self, now: float) -> None:
        """Every join target was merged or has failed twice."""
        self._is_joined = True
        self._tasks.set("start", max(now, self._born_at + START_S))
        self._settle(now)

    def lease_expired(self, now: float, interfaces: Collection[str] | None = None) -> None:
        """
        The data plane found deadlines passed, or was fenced: the seats of these cells are dropped.

        `interfaces` are those of the cells; None = all.
        """
        self._world.now = now
        self._docket.forgo()
        names = {ln.name for ln in self._world.links} if interfaces is None else interfaces
        self._world.waiting |= frozenset(names)
        for name in names:
            self._reentry.lost(name, now)
        for seat in self._docket.seats.values():
            if interfaces is None or any(seat.is_served_by(name) for name in interfaces):
                self._rules.hands.expire(seat)
        self._docket.urge(self._docket.seats)
        self._settle(now)

    def may_enter(self, now: float, interface: str) -> Entry | None:
        """After lease_expired(): how its cell is to be entered now, None = not yet."""
        return self._reentry.due(interface, now)

    def entered(self, now: float, interface: str) -> None:
        """A cell answers again: back to its seats by the rule for empty ones."""
        self._world.now = max(self._world.now, now)
        self._reentry.entered(interface)
        self._world.waiting -= {interface}
        self._docket.urge(self._docket.seats)
        self._settle(now)

    def probe_answered(self, vip: Vip, lladdr: bytes, now: float, interface: str = "") -> None:
        """
        Somebody with a foreign LLADDR answered for `vip`, or a conflict event named it.

        `interface` is ours that heard it, "" if that is not known.
        """
        self._world.now = now
        self.sentries.segment_answered(vip, lladdr, now, interface)
        if (seat := self._docket.seats.get(vip.packed)) is not None:
            self._rules.answered(seat, lladdr)
            self._docket.urge_one(seat.key)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Hand every seat over; is_empty_handed says when nothing is left to give."""
        self._world.is_leaving = True
        self._docket.urge(self._docket.seats)
        self._settle(now)

    def hold_refusal(self) -> HoldRefusal | None:
        """Why hold() would not be safe now; None when it is."""
        world, node = self._world, self._own.node
        if not self.sentries.is_on:
            return HoldRefusal.NO_BEATS
        for seat in self._docket.seats.values() if world.foreigners else ():
            rivals = world.foreigners if seat.plan is None else seat.plan.candidates
            if seat.mine and not world.foreigners.isdisjoint(rivals):
                return HoldRefusal.MIXED_RING
        if world.alive and not self.sentries.is_vouched(node, world.now):
            return HoldRefusal.UNPROVEN
        return None

    def hold(self, now: float) -> None:
        """Keep every seat as it is from now on, and tell the others to give us none."""
        self._world.is_holding = True
        self._settle(now)

    @property
    def is_empty_handed(self) -> bool:
        """Whether we hold nothing and give nothing any more, and everybody knows."""
        has_news = any(peer.unacked for peer in self._world.peers.values())
        return not self._own.words.active and not has_news

    @property
    def is_leaving(self) -> bool:
        """Whether leave() was called."""
        return self._world.is_leaving

    @property
    def is_started(self) -> bool:
        """Whether the start rules (OWNERSHIP.md 8) are done."""
        return self._world.is_started

    @property
    def agent_is_silent(self) -> bool:
        """Whether the agent has not spoken for 5 s."""
        return not self._world.agent_is_fresh

    # --- the ring

    def member_joined(self, node: str, address: Vip, now: float, *, stentor: bool | None) -> None:
        """A member is alive (again); `stentor`: its Meta has our marker; None = unknown."""
        self._world.now = max(self._world.now, now)
        self._hearsay.joined(node, address, now, stentor=stentor)
        self._settle(now)

    def member_updated(self, node: str, address: Vip, now: float, *, stentor: bool | None) -> None:
        """Address or Meta of a live member changed."""
        self._world.now = max(self._world.now, now)
        self._hearsay.updated(node, address, stentor=stentor)
        self._settle(now)

    def member_left(self, node: str, now: float, *, dead: bool) -> None:
        """A member was declared dead, or left."""
        self._world.now = max(self._world.now, now)
        self._hearsay.left(node, now, dead=dead)
        self.sentries.survey(now)
        self._settle(now)

    def name_conflict(self, node: str, address: str, now: float) -> None:
        """The ring saw `node` at a second address."""
        self._hearsay.conflicted(node, address)
        self._settle(now)

    def received(self, sender: str, payload: bytes, now: float) -> None:
        """A user message came; `sender` is its source address as text. Hostile bytes count."""
        if is_ours(payload):
            self.sentries.message(payload, now)
            self._settle(now)
            return
        if (message := self._hearsay.decode(payload)) is not None and not isinstance(
            message, State
        ):
            self._hear(message, payload, sender, now)

    def remote_state(self, sender: str, payload: bytes, now: float) -> None:
        """User state of a push/pull came; `sender` as in received()."""
        if isinstance(message := self._hearsay.decode(payload), State):
            self._hear(message, payload, sender, now)

    def local_state(self, now: float) -> bytes:
        """User state for a push/pull: node facts and every seat held."""
        return self._teller.state(now)

    def _hear(self, message: Message, payload: bytes, sender: str, now: float) -> None:
        self._world.now = max(self._world.now, now)
        self._hearsay.hear(message, payload, sender, now)
        hello = message.hello if isinstance(message, State) else message
        if isinstance(hello, Hello) and hello.fences:
            self.sentries.heard_fences(hello.fences, now)
        self._settle(now)

    # --- beats

    def reflected(self, reflection: Reflection, now: float) -> None:
        """A node's program has sent our beat back; verified."""
        self.sentries.reflected(reflection, now)
        self._settle(now)

    def beat_heard(self, cell: Cell, now: float, *, has_witness: bool) -> None:
        """A verified beat from a cell of a node has reached our program."""
        self.sentries.request_heard(cell, now, has_witness=has_witness)
        self._settle(now)

    def beat_refused(self, cell: Cell, now: float) -> None:
        """The host of a cell refused a beat by UDP (ICMP port unreachable)."""
        self.sentries.refused(cell, now)
        self._settle(now)

    def watch(self, now: float) -> None:
        """Send beats and judge silence; due at sentries.next_wakeup(), reflections read before."""
        self.sentries.tick(now)
        self._settle(now)

    def instance_of(self, node: str) -> int:
        """The 64-bit instance id of a peer's herald, as cells and beats have it; 0 = unknown."""
        peer = self._world.peers.get(node)
        return int.from_bytes(peer.instance[:8], "little") if peer is not None else 0

    # --- native XDP on trial

    def set_trial(self, now: float, *, is_on: bool) -> None:
        """Tell everybody that our reflections may be missing for a while, or no more."""
        self._world.is_on_trial = is_on
        self._settle(now)

    def on_trial(self) -> frozenset[str]:
        """Live peers that say so of themselves."""
        peers = self._world.peers.values()
        return frozenset(p.name for p in peers if p.is_alive and p.has(Flag.TRIAL))

    def instances(self) -> list[int]:
        """Live peers' heralds, as cells and beats name them."""
        alive = [p.name for p in self._world.peers.values() if p.is_alive and p.instance]
        return [self.instance_of(name) for name in alive]

    # --- time

    def tick(self, now: float) -> None:
        """Do what has fallen due; after a stall only once the queued messages could be read."""
        due = self.next_wakeup()
        if now < due:
            return
        self._world.now = max(self._world.now, now)
        if now - due > LATE_S and self._catch_up_at is None:
            self._catch_up_at = now + CATCH_UP_S
            self._ledger.count("ticks_late")
            return
        self._catch_up_at = None
        for task in self._tasks.pop(now):
            self._run(task, now)
        self._docket.urge_due(now)
        self._settle(now)

    def _run(self, task: str, now: float) -> None:
        what, _, name = task.partition(":")
        if (peer := self._world.peers.get(name)) is not None:
            self._hearsay.run(what, peer, now)
            return
        match what:
            case "hello":
                self._teller.greet(now)
            case "haunt":
                self._teller.greet_dead(now)
            case "start":
                self._start(now)
            case "agent":
                self._docket.queue(self._docket.seats)
            case _:
                pass  # "sweep": settling is all it asks for

    def _start(self, now: float) -> None:
        world = self._world
        if self._is_joined and not world.is_started and now >= self._born_at + START_S - 1e-6:
            world.is_started = True
            self._actions.append(Note("herald_started", {"members": len(world.alive) + 1}))
            self._docket.queue(self._docket.seats)

    def _settle(self, now: float) -> None:
        """Judge what is to be judged, then say what follows to the others."""
        world, judge = self._world, self._rules.judge
        world.now = max(world.now, now)
        if not world.is_holding:  # then the next herald goes on, with moves under way too
            for seat in self._docket.bereft():
                self._rules.let_go(seat)
            for seat in self._docket.cases():
                judge(seat)
        self.sentries.acted(now)
        if self._docket.has_idle:
            self._tasks.set("sweep", now)
        if self._rules.asks:
            self._actions.extend(asks_of(self._own, self._rules.asks))
        if self._rules.declines:
            self._actions.extend(declines_of(self._own, self._rules.declines))
        self._teller.flush(now)
        self._hearsay.rebut(now)
        if (flags := world.flags()) != self._own.flags:
            self._own.flags = flags
            self._teller.greet(now)
        if notes := self._ledger.close():
            self._actions.extend(notes)
            self.version += 1

    def next_wakeup(self) -> float:
        """When tick() is due, monotonic seconds; may be in the past."""
        if self._catch_up_at is not None:
            return self._catch_up_at
        return min(self._docket.due.next(), self._tasks.next())

    def take_actions(self) -> list[Action]:
        """Actions since the last call, in the order to carry them out."""
        actions = self._actions[:]
        self._actions.clear()
        return actions

    # --- what is known

    def view(self) -> list[SeatView]:
        """Every seat with holder, reason and counter, IPv4 first, by address."""
        seats = sorted(self._docket.seats.values(), key=lambda seat: (len(seat.key), seat.key))
        return [SeatView(s.vip, s.holder, s.reason, s.counter, s.foreign) for s in seats]

    def holder(self, vip: Vip) -> str | None:
        """Who answers for one VIP, as far as we know."""
        seat = self._docket.seats.get(vip.packed)
        return seat.holder if seat is not None else None

    def is_alive(self, node: str) -> bool:
        """Whether a member lives, as far as we know; doubted deaths count as life."""
        return node in self._world.alive

    def counters(self) -> Mapping[str, int]:
        """Counts by name: seats taken, given, yielded ..., messages dropped by cause."""
        return self._ledger.counts


__all__ = ["AdoptedRow", "CoreConfig", "HeraldCore", "Link", "PlannedSeat", "SeatView"]
