"""Who answers for a VIP: the ownership core of a herald. Pure: events and `now` in, actions out."""

import random
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from speaker.herald.actions import Action, Exit, Note, Vip, Voice
from speaker.herald.agenda import Agenda
from speaker.herald.claims import Claims, to_vip
from speaker.herald.errors import DecodeError
from speaker.herald.exchange import Exchange, OwnFacts
from speaker.herald.facts import (
    Ask,
    Claim,
    Decline,
    Fence,
    Hello,
    LinkFact,
    Message,
    State,
    Want,
    Word,
    decode,
)
from speaker.herald.ledger import Ledger
from speaker.herald.namesake import Namesakes
from speaker.herald.peers import FRESH_S, HAUNT_S, HEARD_S, HELLO_S, MIXED_AFTER_S, Peer
from speaker.herald.requests import asks_of, declines_of
from speaker.herald.rules import Rules
from speaker.herald.saved import Saved, decode_saved, encode_saved
from speaker.herald.seats import PlannedSeat, Seat, SeatReason
from speaker.herald.world import AGENT_SILENT_S, Link, World

START_S: Final = 0.5  # at least so long a herald without seats looks before it takes (OWNERSHIP 8)
LATE_S: Final = 0.05  # a tick later than this first lets the queued messages be read
CATCH_UP_S: Final = 0.03
SLICE: Final = 500  # seats looked at in one turn when nothing is urgent: some 3 ms
MAX_PEERS: Final = 1024


@attrs.frozen
class CoreConfig:
    """What a core is told once, at its start."""

    node: str  # our name in the ring
    instance: bytes  # 16 octets: machine-id, boot-id and start, hashed; new at every process start
    version: str = ""


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
    lease comes first: lease_expired() before any message.
    """

    def __init__(self, config: CoreConfig, rng: random.Random, now: float) -> None:
        """`now` is when the process started."""
        self._born_at = now
        self._actions: list[Action] = []
        self._peers: dict[str, Peer] = {}
        self._claims = Claims()
        self._seats: dict[bytes, Seat] = {}
        self._due: Agenda[bytes] = Agenda()
        self._tasks: Agenda[str] = Agenda()
        self._ledger = Ledger()
        self._own = OwnFacts(config.node, config.instance, config.version, now)
        self._world = World(self._own, self._peers, now)
        self._exchange = Exchange(
            self._own,
            self._peers,
            self._claims,
            self._tasks,
            self._actions,
            rng,
            self._ledger.count,
            self,
        )
        self._rules = Rules(
            self._world, self._claims, self._exchange, self._due, self._actions, self._ledger
        )
        self._namesakes = Namesakes(config.node, config.instance)
        self._urgent: dict[bytes, None] = {}
        self._idle: dict[bytes, None] = {}
        self._is_joined = False
        self._catch_up_at: float | None = None
        self._saved: dict[bytes, tuple[int, Claim, str]] = {}
        self._fences: tuple[Fence, ...] = ()
        self.epoch = 1
        self.version = 0  # grows when view() or snapshot() may have changed
        self._tasks.set("hello", now + HELLO_S)
        self._tasks.set("start", now + START_S)

    # --- what the herald before left

    def restore(self, saved: bytes) -> None:
        """Take back epoch, fences, and for adopt() counters and moves; raises DecodeError."""
        value = decode_saved(saved)
        self.epoch = value.epoch + 1  # seats were dropped, unless adopt() says otherwise
        self._fences = value.fences
        self._saved = {key: (count, claim, to) for key, count, claim, to in value.seats}

    def snapshot(self) -> bytes:
        """What restore() of the next herald needs; to be written whenever `version` has grown."""
        words = self._own.words.by_seat
        seats = tuple((k, w.counter, w.claim, w.to) for k, w in words.items() if w.claim)
        return encode_saved(Saved(self.epoch, seats, self._fences))

    def adopt(self, rows: Iterable[AdoptedRow], now: float) -> None:
        """Go on with the seats of the table, without a word to the clients."""
        self._world.now = now
        adopted = 0
        for row in rows:
            if row.voice not in {Voice.HELD, Voice.GIVEN}:
                continue
            key = row.vip.packed
            counter, _, to = self._saved.get(key, (0, Claim.HELD, ""))
            seat = self._seats.setdefault(key, Seat(key, row.vip))
            is_given = row.voice is Voice.GIVEN and bool(to)
            seat.mine = Claim.GIVING if is_given else Claim.HELD
            seat.to = to if is_given else ""
            seat.my_counter = seat.counter = counter
            seat.since = now
            seat.said = (row.voice, row.lladdr if row.voice is Voice.GIVEN else None)
            self._exchange.say(key, seat.mine, counter, seat.to)
            self._urgent[key] = None
            adopted += 1
        if adopted:
            self.epoch = max(1, self.epoch - 1)  # adoption keeps the epoch
            self._actions.append(Note("seats_adopted", {"count": adopted}))
        self._settle(now)

    # --- the plan and this node

    def set_plan(self, seats: Iterable[PlannedSeat], now: float) -> None:
        """Replace the whole plan; the agent has spoken with it."""
        self._heard_agent(now)
        world = self._world
        is_first, world.has_plan = not world.has_plan, True
        gone = dict.fromkeys(self._seats)
        for plan in seats:
            key = plan.vip.packed
            gone.pop(key, None)
            seat = self._seats.get(key)
            if seat is None:
                seat = self._seats[key] = Seat(key, plan.vip)
            if seat.plan != plan or is_first:
                seat.plan = plan
                self._idle[key] = None
        for key in gone:
            self._seats[key].plan = None
            self._urgent[key] = None
        self._settle(now)
        for key in gone:
            self._due.cancel(key)
            self._idle.pop(key, None)
            del self._seats[key]

    def agent_heard(self, now: float) -> None:
        """The agent spoke (any frame on its socket)."""
        self._heard_agent(now)
        self._settle(now)

    def _heard_agent(self, now: float) -> None:
        world = self._world
        world.now = max(world.now, now)
        was_fresh = world.agent_is_fresh
        world.agent_at = now
        self._tasks.set("agent", now + AGENT_SILENT_S)
        if not was_fresh:
            self._idle.update(dict.fromkeys(self._seats))

    def set_interfaces(
        self,
        links: Iterable[Link],
        host_addresses: Iterable[Vip],
        next_hops: Iterable[Vip],
        now: float,
    ) -> None:
        """Replace attached interfaces and the addresses of this host (without lo, kube-ipvs0)."""
        world, own = self._world, self._own
        world.has_links = True
        world.links = tuple(sorted((ln for ln in links if ln.carrier), key=lambda ln: ln.name))
        own.links = tuple(LinkFact(ln.name[:15], ln.lladdr, ln.epoch) for ln in world.links)
        own.hosts = frozenset(address.packed for address in host_addresses)
        world.next_hops = frozenset(address.packed for address in next_hops)
        self.hosts_changed()
        self._urgent.update(dict.fromkeys(self._seats))
        self._settle(now)

    def join_settled(self, now: float) -> None:
        """Every join target was merged or has failed twice."""
        self._is_joined = True
        self._tasks.set("start", max(now, self._born_at + START_S))
        self._settle(now)

    def lease_expired(self, now: float) -> None:
        """The data plane found a deadline passed: every seat is dropped, then re-entry."""
        self._world.now = now
        if self._own.words.active:
            self.epoch += 1
        for key, seat in self._seats.items():
            if seat.mine:
                self._rules.expire(seat)
                self._urgent[key] = None
        self._settle(now)

    def probe_answered(self, vip: Vip, lladdr: bytes, now: float) -> None:
        """Somebody with a foreign LLADDR answered for `vip`, or a conflict event named it."""
        self._world.now = now
        if (seat := self._seats.get(vip.packed)) is not None:
            self._rules.answered(seat, lladdr)
            self._urgent[seat.key] = None
        self._settle(now)

    def leave(self, now: float) -> None:
        """Hand every seat over; is_empty_handed says when nothing is left to give."""
        self._world.is_leaving = True
        self._urgent.update(dict.fromkeys(self._seats))
        self._settle(now)

    @property
    def is_empty_handed(self) -> bool:
        """Whether we hold nothing and give nothing any more, and everybody knows."""
        return not self._own.words.active and not any(p.unacked for p in self._peers.values())

    @property
    def is_started(self) -> bool:
        """Whether the start rules (OWNERSHIP.md 8) are done."""
        return self._world.is_started

    @property
    def is_leaving(self) -> bool:
        """Whether leave() was called."""
        return self._world.is_leaving

    @property
    def agent_is_silent(self) -> bool:
        """Whether the agent has not spoken for 5 s."""
        return not self._world.agent_is_fresh

    # --- the ring

    def member_joined(self, node: str, address: Vip, now: float, *, stentor: bool | None) -> None:
        """A member is alive (again); `stentor`: its Meta has our marker; None = unknown."""
        if node == self._own.node or (peer := self._peer(node)) is None:
            return
        peer.is_member = peer.is_alive = True
        peer.joined_at, peer.died_at = now, None
        self._tasks.cancel(f"doubt:{node}")
        peer.address, peer.marker = address, stentor
        self._tasks.cancel(f"ghost:{node}")
        self._tasks.set(f"kind:{node}", now + MIXED_AFTER_S)
        self._world.now = now
        if not peer.is_foreign(now):
            self._exchange.greet(now, peer)
        if peer.hello is not None:
            self._exchange.meet(peer, now)
        self._turned(now)

    def member_updated(self, node: str, address: Vip, now: float, *, stentor: bool | None) -> None:
        """Address or Meta of a live member changed."""
        if node == self._own.node or (peer := self._peer(node)) is None:
            return
        peer.address, peer.marker = address, stentor
        self._turned(now)

    def member_left(self, node: str, now: float, *, dead: bool) -> None:
        """
        A member was declared dead, or left.

        One death message of anybody is believed by all of a memberlist ring, and after a healed
        cut late ones go round. While we hear the herald itself, it is not dead to us.
        """
        peer = self._peers.get(node)
        if peer is None or not peer.is_member:
            return
        peer.is_member = False
        peer.died_at = now if dead else None
        self._tasks.sooner("haunt", now + HAUNT_S)
        if dead and now - peer.heard_at < HEARD_S:
            self._actions.append(Note("member_death_doubted", {"node": node}))
            self._tasks.set(f"doubt:{node}", peer.heard_at + FRESH_S)
        else:
            self._lose(peer, now)
        self._turned(now)

    def _lose(self, peer: Peer, now: float) -> None:
        event = "member_left" if peer.died_at is None else "member_died"
        self._actions.append(Note(event, {"node": peer.name, "seats": peer.words.active}))
        peer.is_alive, peer.hello, peer.unacked = False, None, {}
        self._bury(peer, now)

    def name_conflict(self, node: str, address: str, now: float) -> None:
        """The ring saw `node` at a second address."""
        if node == self._own.node and not self._world.is_started:
            self._give_way(f"node name {node} is taken by a live member at {address}")
        else:
            self._ledger.count("name_conflicts")
            self._actions.append(Note("name_conflicted", {"node": node, "address": address}))
        self._settle(now)

    def received(self, sender: str, payload: bytes, now: float) -> None:
        """A user message came; `sender` is its source address as text. Hostile bytes count."""
        if (message := self._decode(payload)) is not None and not isinstance(message, State):
            self._world.now = max(self._world.now, now)
            self._hear(message, payload, sender, now)
            self._settle(now)

    def remote_state(self, payload: bytes, now: float) -> None:
        """User state of a push/pull came."""
        if isinstance(message := self._decode(payload), State):
            self._world.now = max(self._world.now, now)
            self._hear(message, payload, "push/pull", now)
            self._settle(now)

    def local_state(self, now: float) -> bytes:
        """User state for a push/pull: node facts and every seat held."""
        return self._exchange.state(now)

    def _decode(self, payload: bytes) -> Message | None:
        try:
            message = decode(payload)
        except DecodeError:
            self._ledger.count("messages_malformed")
            return None
        if message is None:
            self._ledger.count("messages_foreign")
        return message

    def _hear(self, message: Message, payload: bytes, sender: str, now: float) -> None:
        hello = message.hello if isinstance(message, State) else message
        author = message.via if isinstance(message, Want) else getattr(hello, "node", "")
        if author == self._own.node:
            if isinstance(hello, Hello):
                self._hear_namesake(hello, sender, now)
            return
        if author and self._peer(author) is None:
            return
        match message:
            case Ask():
                for key in message.vips:
                    if (seat := self._seats.get(key)) is not None and seat.mine:
                        seat.asked_by, seat.asked_at = message.node, now
                        self._urgent[key] = None
            case Decline():
                for key in message.vips:
                    if (seat := self._seats.get(key)) is not None:
                        self._rules.decline(seat, message.node)
                        self._urgent[key] = None
            case _:
                self._exchange.hear(message, payload, sender, now)

    def _hear_namesake(self, hello: Hello, sender: str, now: float) -> None:
        verdict = self._namesakes.judge(
            hello, age_s=now - self._born_at, started=self.is_started, now=now
        )
        if verdict.is_live:
            self._ledger.count("namesakes_heard")
        if verdict.we_go:
            self._give_way(f"another live instance of node {self._own.node} is at {sender}")

    def _give_way(self, message: str) -> None:
        if not self._world.is_duplicate:
            self._world.is_duplicate = True
            self._urgent.update(dict.fromkeys(self._seats))
            self._actions.append(Exit(message))

    def _peer(self, node: str) -> Peer | None:
        peer = self._peers.get(node)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                self._ledger.count("peers_refused")
                return None
            peer = self._peers[node] = Peer(node)
        return peer

    def _bury(self, peer: Peer, now: float) -> None:
        """Nothing that a member said counts any more."""
        self._world.now = now
        self._refresh_peers()
        keys = [key for key, word in peer.words.by_seat.items() if word.claim]
        peer.words.clear()
        for key in keys:
            self._claims.put(key, peer.name, Word(Claim.NONE, 0, "", 0))
            if (seat := self._seats.get(key)) is not None:
                self._rules.let_go(seat)
                self._urgent[key] = None

    # --- what the exchange tells (Listener)

    def word_changed(self, node: str, key: bytes, before: Word | None, word: Word) -> None:
        """`node` says something new about a seat."""
        seat = self._seats.get(key)
        if seat is None:
            return
        seat.counter = max(seat.counter, word.counter)
        if word.claim:
            if not seat.mine and (before is None or not before.claim):
                seat.moved_at = self._world.now
        elif before is not None and before.claim and not word.to:
            self._rules.let_go(seat)
        self._urgent[key] = None

    def peer_turned(self, peer: Peer) -> None:
        """Flags, links or kind of a peer are others now."""
        self._turned(self._world.now, settle=False)

    def hosts_changed(self) -> None:
        """A node has other addresses of its own now."""
        for key in self._world.refresh_untouchable():
            if key in self._seats:
                self._urgent[key] = None

    def _turned(self, now: float, *, settle: bool = True) -> None:
        """Members may have changed."""
        self._world.now = max(self._world.now, now)
        self._refresh_peers()
        self.hosts_changed()
        if settle:
            self._settle(now)

    def _refresh_peers(self) -> None:
        """If members changed: look at the seats that wait for one now, at the rest in slices."""
        if self._world.refresh_peers():
            for key, seat in self._seats.items():
                if seat.to or seat.asked_by or seat.vacant_since is not None:
                    self._urgent[key] = None
            self._idle.update(dict.fromkeys(self._seats))

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
        self._urgent.update(dict.fromkeys(k for k in self._due.pop(now) if k in self._seats))
        self._settle(now)

    def _run(self, task: str, now: float) -> None:
        what, _, name = task.partition(":")
        peer = self._peers.get(name)
        if what == "hello":
            self._exchange.greet(now)
        elif what == "haunt":
            self._exchange.greet_dead(now)
        elif what == "start":
            self._start(now)
        elif what == "agent":
            self._idle.update(dict.fromkeys(self._seats))
        elif what == "repeat" and peer is not None:
            self._exchange.repeat(peer, now)
        elif what == "want" and peer is not None:
            self._exchange.want(peer, now)
        elif what == "kind":
            self._turned(now, settle=False)
        elif what == "doubt" and peer is not None and not peer.is_member:
            if peer.is_fresh(now):
                self._tasks.set(task, peer.heard_at + FRESH_S)
            else:
                self._lose(peer, now)
        elif what == "ghost" and peer is not None and not peer.is_alive:
            peer.hello = None
            self._bury(peer, now)

    def _start(self, now: float) -> None:
        world = self._world
        if self._is_joined and not world.is_started and now >= self._born_at + START_S - 1e-6:
            world.is_started = True
            self._actions.append(Note("herald_started", {"members": len(world.alive) + 1}))
            self._idle.update(dict.fromkeys(self._seats))

    def _settle(self, now: float) -> None:
        """Judge what is to be judged, then say what follows to the others."""
        world, seats, judge = self._world, self._seats, self._rules.judge
        world.now = max(world.now, now)
        while self._urgent:
            urgent, self._urgent = self._urgent, {}
            for key in urgent:
                if (seat := seats.get(key)) is not None:
                    judge(seat)
        for _ in range(min(SLICE, len(self._idle))):
            key, _ = self._idle.popitem()
            if (seat := seats.get(key)) is not None:
                judge(seat)
        if self._idle:
            self._tasks.set("sweep", now)
        self._actions.extend(asks_of(self._own, self._rules.asks))
        self._actions.extend(declines_of(self._own, self._rules.declines))
        self._exchange.flush(now)
        if (flags := world.flags()) != self._own.flags:
            self._own.flags = flags
            self._exchange.greet(now)
        if notes := self._ledger.close():
            self._actions.extend(notes)
            self.version += 1

    def next_wakeup(self) -> float:
        """When tick() is due, monotonic seconds; may be in the past."""
        if self._catch_up_at is not None:
            return self._catch_up_at
        return min(self._due.next(), self._tasks.next())

    def take_actions(self) -> list[Action]:
        """Actions since the last call, in the order to carry them out."""
        actions = self._actions[:]
        self._actions.clear()
        return actions

    # --- what is known

    def view(self) -> list[SeatView]:
        """Every seat with holder, reason and counter, IPv4 first, by address."""
        ordered = sorted(self._seats.values(), key=lambda seat: (len(seat.key), seat.key))
        return [SeatView(s.vip, s.holder, s.reason, s.counter, s.foreign) for s in ordered]

    def holder(self, vip: Vip) -> str | None:
        """Who answers for one VIP, as far as we know."""
        seat = self._seats.get(vip.packed)
        return seat.holder if seat is not None else None

    def counters(self) -> Mapping[str, int]:
        """Counts by name: seats taken, given, yielded ..., messages dropped by cause."""
        return self._ledger.counts


__all__ = ["AdoptedRow", "CoreConfig", "HeraldCore", "Link", "PlannedSeat", "SeatView", "to_vip"]
