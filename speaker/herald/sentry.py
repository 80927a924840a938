"""
Beats and the ring, joined, on one segment: who is watched, what a verdict does to seats, what is
told to whom.

    core --peers, links--> Sentry --SendBeat, Send, Probe--> performer
    segment --reflections, requests, answers to probes--> Sentry --seats without a holder--> core

It decides nothing on seats: a sentence only makes a peer silent on its interface in the World, and
the rules for seats whose holder is gone do the rest. `sentries.py` has one for each interface.
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Final

import attrs

from speaker.beats import BeatState
from speaker.beats.cell import Cell
from speaker.beats.fence import Fences
from speaker.beats.messages import Accusation, Verdict, Veto, encode
from speaker.beats.silence import (
    HEARD_S,
    Acquit,
    Ask,
    Knock,
    LastBeat,
    LookForWitness,
    Pardon,
    Sentence,
    Silence,
    Step,
    Tell,
)
from speaker.beats.vigil import RECENT_S, WATCHED, Standing, Vigil, watchers_of
from speaker.herald.actions import Accuse, Action, Note, Probe, Send, SendBeat, Vip
from speaker.herald.claims import Claims, to_vip
from speaker.herald.docket import Docket
from speaker.herald.facts import Claim, Flag, Word
from speaker.herald.hands import Hands
from speaker.herald.heirs import heirs
from speaker.herald.ledger import Ledger
from speaker.herald.paths import Path, Paths
from speaker.herald.peers import FRESH_S, Peer, Silent
from speaker.herald.world import World

SUSPENDED_S: Final = 0.5  # a cell that stays suspended for so long is of no use
UNREACHED_S: Final = 8.0  # who acts in the ring for so long and reflects nothing: memberlist alone
LONG_GONE_S: Final = 60.0
RARELY: Final = 8  # who is silent for so long gets one beat of so many: 200 ms until it is fenced
HERALD_GONE_MS: Final = 200  # a program whose herald has not beaten for eight beats is alone
YIELD_S: Final = 0.5  # for answers to the probes that tell what such a program speaks for
JURY: Final = 2  # how many watchers are asked for a veto
GATEWAYS: Final = 2  # next hops probed for a witness
_ANSWERING: Final = frozenset({BeatState.OWNING, BeatState.HOLDING})


@attrs.frozen
class Reflection:
    """What a verified reply, which came to our `interface`, says about a cell."""

    cell: Cell
    interface: str
    seq: int  # of the request
    state: BeatState
    epoch: int
    remaining_ms: int = 0
    beat_age_ms: int = 0
    by_udp: bool = False


@attrs.define
class Sentry:
    """
    The watch of one herald over the segment of one interface of ours.

    `tick` is due at `next_wakeup`. Nodes go by name here: on a segment each has one interface.
    """

    interface: str
    world: World
    claims: Claims
    docket: Docket
    hands: Hands
    actions: list[Action]
    ledger: Ledger
    paths: Paths
    fences: Fences
    epochs: dict[Cell, int]  # of what was sentenced, then
    silent_everywhere: Callable[[str], bool]
    refresh: Callable[[], None]  # the sets of peers have changed
    meet: Callable[[Peer, float], None]  # tell a peer all
    vigil: Vigil = attrs.field(init=False)
    silence: Silence = attrs.field(init=False)
    _segments: dict[str, str] = attrs.field(factory=dict)  # node: its interface here
    _suspended_at: dict[str, float] = attrs.field(factory=dict)
    _requested_at: dict[str, float] = attrs.field(factory=dict)
    _seats: dict[str, tuple[bytes, ...]] = attrs.field(factory=dict)  # theirs, not acted on yet
    _orphans: dict[bytes, tuple[str, float]] = attrs.field(factory=dict)  # by LLADDR, until when
    _gateway_at: float = -inf
    _known: int = 0  # how many nodes are here, as far as we know

    def __attrs_post_init__(self) -> None:
        self.vigil = Vigil(self.world.own.node)
        self.silence = Silence(lambda node, now: self._has_witness(now, besides=node))

    def cell(self, node: str) -> Cell:
        """What a node's interface on this segment is called by all."""
        return Cell(node, self._segments.get(node, ""))

    def silent(self, node: str) -> Silent | None:
        """Since when a node is silent here; None for one that is not."""
        peer = self.world.peers.get(node)
        return peer.silent.get(self._segments.get(node, "")) if peer is not None else None

    # --- time

    def next_wakeup(self) -> float:
        """When `tick` is due; infinity with nobody to watch."""
        return min(self.vigil.next_wakeup(), self.silence.next_wakeup())

    def tick(self, now: float) -> None:
        """Send beats, miss reflections, pass sentences."""
        beats, silent = self.vigil.tick(now)
        for node in silent:
            if self._is_on_trial(node):
                self.vigil.doubt(node)
            else:
                self._do(self.silence.missed(node, now), now)
        self._do(self.silence.tick(now), now)
        has_witness = self._has_witness(now)
        for node, seq in beats:
            if self._is_long_gone(node, now) and seq % RARELY:
                continue
            claimed = self.fences.claimed(self.cell(node))
            self._beat(node, seq, now, has_witness=has_witness, claimed=claimed)

    def _is_on_trial(self, node: str) -> bool:
        """Whether the silence of a node may be that of its native XDP alone."""
        peer = self.world.peers.get(node)
        return peer is not None and peer.has(Flag.TRIAL)

    def _is_long_gone(self, node: str, now: float) -> bool:
        silent = self.silent(node)
        return silent is not None and now - silent.since > LONG_GONE_S

    def survey(self, segments: dict[str, str], now: float) -> None:
        """
        Whom to watch, by what the ring says now.

        `segments`: nodes to which we have a path from our interface, with their names of theirs.
        """
        self._segments.update(segments)
        for name in segments:
            peer = self.world.peers.get(name)
            if peer is not None and self._is_beyond_beats(peer, now):
                self.vigil.doubt(name)
                self.fences.forget(self.cell(name))
                self.paths.lose(self.cell(name))
                self._do(self.silence.reflected(name), now)
        known = [
            name
            for name in segments
            if (peer := self.world.peers.get(name)) is not None
            and (peer.is_alive or self.silent(name) is not None)
        ]
        self._known = len(known)
        kept = {cell.node for cell in self.fences.cells() if cell == self.cell(cell.node)}
        kept.update(self.silence.accused())
        self.vigil.follow(known, kept & segments.keys(), now)

    def _is_beyond_beats(self, peer: Peer, now: float) -> bool:
        """
        Whether a sentenced peer acts in the ring, both ways, though beats do not reach it.

        Only a ring that uses this very segment proves that it carries frames.
        """
        silent = self.silent(peer.name)
        return (
            silent is not None
            and peer.is_member
            and not peer.unacked
            and self.gossips_here(peer)
            and now - silent.since > UNREACHED_S
            and now - peer.heard_at < FRESH_S
            and not self.vigil.heard_within(peer.name, 1.0, now)
        )

    def gossips_here(self, peer: Peer) -> bool:
        """Whether its address in the ring is on this segment, as far as we know."""
        link = next((ln for ln in self.world.links if ln.name == self.interface), None)
        if link is None or not link.networks or peer.address is None:
            return True
        return any(peer.address in network for network in link.networks)

    @property
    def is_calm(self) -> bool:
        """Whether everybody watched reflects, and nobody is accused."""
        watched = self.vigil.watchees.values()
        is_met = len(watched) >= min(WATCHED, self._known)
        is_heard = all(w.standing is Standing.HEARD for w in watched)
        return is_met and is_heard and not self.silence.accused()

    # --- what comes in

    def reflected(self, reflection: Reflection, now: float) -> None:
        """A verified reply of a cell that we asked."""
        cell, node = reflection.cell, reflection.cell.node
        peer = self.world.peers.get(node)
        if peer is None:
            return
        is_new = self.vigil.standing(node) is Standing.UNPROVEN  # or each beat costs a look at all
        vouched = is_new and any(True for _ in vouchers(self.world, cell.node, cell.segment))
        if self.vigil.reflected(node, reflection.seq, now, vouched=vouched):
            self._note("beats_heard_again", node)
            self.meet(peer, now)  # the first after three missed: both say their TAKEs at once
            if reflection.state in _ANSWERING and reflection.beat_age_ms >= HERALD_GONE_MS:
                self._probe_ours(node, now)
        if self.fences.seen(cell, reflection.epoch):
            self._note("fence_ended", node, epoch=reflection.epoch)
        if reflection.state is BeatState.SUSPENDED:
            since = self._suspended_at.setdefault(node, now)
        else:
            self._suspended_at.pop(node, None)
            since = now
        if reflection.state in _ANSWERING:
            if self.fences.claimed(cell) is None:
                self._do(self.silence.reflected(node), now)
                self._end_weak(node)  # no case tells of it where the herald before us took them
            return
        is_lost = reflection.state is not BeatState.SUSPENDED or now - since >= SUSPENDED_S
        if is_lost and peer.words.active and not self.silence.is_sentenced(node):
            self._do(self.silence.condemned(node, now), now)

    def request_heard(self, node: str, now: float, *, has_witness: bool) -> None:
        """A verified beat of a node reached us: it lives, and if it has a witness it is heard."""
        self._requested_at[node] = now
        if has_witness:
            self._do(self.silence.answered(node), now)

    def segment_answered(self, vip: Vip, lladdr: bytes, now: float) -> None:
        """Somebody on the segment answered a probe."""
        if vip.packed in self.world.next_hops:
            self._gateway_at = now
        self._yield_to_orphan(vip, lladdr, now)
        for node in self.silence.accused():
            path = self.paths.path(self.cell(node))
            if path is not None and path.lladdr == lladdr:
                self._do(self.silence.answered(node), now)

    def _probe_ours(self, node: str, now: float) -> None:
        """Its program answers on and no herald of it hears our TAKEs: ask what it answers for."""
        path = self._path(node)
        if path is None or self.fences.claimed(self.cell(node)) is not None:
            return  # what is fenced falls silent by itself
        self._orphans[path.lladdr] = node, now + YIELD_S
        for seat in self.docket.seats.values():
            if seat.mine is Claim.HELD and seat.is_served_by(self.interface):
                self.actions.append(Probe(seat.vip))

    def _yield_to_orphan(self, vip: Vip, lladdr: bytes, now: float) -> None:
        node, until = self._orphans.get(lladdr, ("", -inf))
        seat = self.docket.seats.get(vip.packed)
        if seat is not None and seat.mine is Claim.HELD and now <= until:
            self.ledger.note("seats_yielded", seat, node=node)
            self.hands.let(seat, to=node)

    def heard(self, message: Accusation | Veto | Verdict, now: float) -> None:
        """A watcher speaks of a node on this segment."""
        own = self.world.own.node
        match message:
            case Accusation(accuser, accused, segment, nonce):
                if self._has_heard(accused, now):
                    self.actions.append(Send(accuser, encode(Veto(own, accused, segment, nonce))))
            case Veto(_, accused, _, nonce):
                self._do(self.silence.vetoed(accused, nonce), now)
            case Verdict(_, accused):
                if message.acted:
                    self._seats.pop(accused, None)
                if not self._has_heard(accused, now):
                    self._do(self.silence.verdict_heard(accused, now), now)

    def _has_heard(self, node: str, now: float) -> bool:
        if self.silence.is_sentenced(node):
            return False
        requested = now - self._requested_at.get(node, -inf) <= HEARD_S
        return requested or self.vigil.heard_within(node, HEARD_S, now)

    def is_beating(self, node: str, now: float) -> bool:
        """Whether its program reflects here."""
        return self.vigil.heard_within(node, RECENT_S, now) and not self.silence.is_sentenced(node)

    def heard_by_any(self, now: float) -> bool:
        """Whether anybody hears us here; asks the gateways when not."""
        if self._has_witness(now):
            return True
        self._do([LookForWitness()], now)
        return False

    def _has_witness(self, now: float, *, besides: str = "") -> bool:
        return now - self._gateway_at <= RECENT_S or self.vigil.has_witness(now, besides=besides)

    # --- steps

    def _do(self, steps: list[Step], now: float) -> None:  # noqa: C901 - a case for each step
        for step in steps:
            match step:
                case Ask(node, nonce):
                    self._ask(node, nonce)
                case Knock(node):
                    self._knock(node)
                case LookForWitness():
                    for key in sorted(self.world.next_hops)[:GATEWAYS]:
                        self.actions.append(Probe(to_vip(key)))
                case LastBeat(node):
                    self._last_beat(node, now)
                case Sentence(node, weak):
                    self._sentence(node, now, weak=weak)
                case Tell(node, nonce):
                    self._tell(node, nonce, acted=False)
                case Acquit(node):
                    self._acquit(node, now)
                case Pardon(node):
                    self.vigil.pardon(node)

    def _note(self, event: str, node: str, **fields: str | int) -> None:
        named = {"name": node, "segment": self.cell(node).segment}
        self.actions.append(Note(event, {**named, **fields}))

    def _ask(self, node: str, nonce: int) -> None:
        own = self.world.own.node
        others = [p.name for p in self.world.peers.values() if p.is_alive and not p.is_silent]
        jury = [n for n in watchers_of(node, [own, *others]) if n not in {own, node}][:JURY]
        payload = encode(Accusation(own, *self.cell(node), nonce))
        self.actions.extend(Send(name, payload) for name in jury)
        self._note("node_accused", node, asked=", ".join(jury))

    def _knock(self, node: str) -> None:
        if (key := next(self._held_here(node), None)) is not None:
            self.actions.append(Probe(to_vip(key)))

    def _last_beat(self, node: str, now: float) -> None:
        self.resurvey(now)
        watchee = self.vigil.watchees.get(node)
        if watchee is not None:
            self._beat(node, watchee.seq, now, has_witness=self._has_witness(now), claimed=None)

    def refused(self, node: str, now: float) -> None:
        """Its host says that nothing there takes beats: as much as three missed, no death."""
        if self.vigil.refused(node):
            self._do(self.silence.missed(node, now), now)

    def close(self, now: float) -> None:
        """The segment carries no VIPs any more: memberlist alone judges who is on it."""
        for node in self.silence.accused():
            self._do(self.silence.reflected(node), now)

    def resurvey(self, now: float) -> None:
        """Look again whom to watch, with the paths as they are."""
        self.survey({n: s for n, s in self._segments.items() if self._path(n) is not None}, now)

    def _path(self, node: str) -> Path | None:
        path = self.paths.path(self.cell(node))
        return path if path is not None and path.interface == self.interface else None

    def _beat(
        self, node: str, seq: int, now: float, *, has_witness: bool, claimed: int | None
    ) -> None:
        cell, path = self.cell(node), self._path(node)
        if path is None:
            return
        hears = self.vigil.heard_within(node, RECENT_S, now)
        # A pardoned node is MISSING again at once: where frames alone get lost it is never SILENT.
        is_heard = self.vigil.standing(node) not in {Standing.MISSING, Standing.SILENT}
        for way in [path] if is_heard else self.paths.ways(cell):
            beat = SendBeat(
                *cell, self.interface, way.lladdr, seq, has_witness, claimed, hears, way.address
            )
            self.actions.append(beat)

    def _tell(self, node: str, nonce: int, *, acted: bool) -> None:
        own = self.world.own.node
        verdict = Verdict(own, *self.cell(node), self.epochs.get(self.cell(node), 0), nonce, acted)
        payload = encode(verdict)
        for name, peer in sorted(self.world.peers.items()):
            if peer.is_alive and not peer.is_silent and name != node:
                self.actions.append(Send(name, payload))

    def _held_here(self, node: str) -> Iterator[bytes]:
        """Seats that a node claims and that its interface on this segment serves."""
        peer = self.world.peers.get(node)
        segment = self._segments.get(node, "")
        for key, word in peer.words.by_seat.items() if peer is not None else ():
            seat = self.docket.seats.get(key)
            if word.claim and (seat is None or seat.is_served_by(segment)):
                yield key

    def _sentence(self, node: str, now: float, *, weak: bool) -> None:
        peer = self.world.peers.get(node)
        if peer is None:
            return
        keys, segment = tuple(self._held_here(node)), self.cell(node).segment
        event = "node_silent" if not weak else "node_silent_without_witness"
        epoch = self.fences.epoch_of(self.cell(node))
        self._note(event, node, seats=len(keys), epoch=epoch)
        self.epochs[self.cell(node)] = epoch
        if not weak:
            self._seats[node] = keys
        peer.silent[segment] = Silent(now, weak)
        # Members without Stentor hear of a death by memberlist alone. Where there are none, nobody
        # needs that, and after a short cut there is no membership to be mended.
        is_told = self.world.foreigners and self.vigil.standing(node) is Standing.SILENT
        if is_told and self.silent_everywhere(node):
            self.actions.append(Accuse(node))
        self.world.now = max(self.world.now, now)
        once_weak = [seat for seat in self.docket.seats.values() if seat.weak_of]
        for seat in once_weak:
            if seat.weak_of == node and not weak and seat.is_served_by(segment):
                self.hands.firm(seat)
        for key in keys if weak or once_weak else ():  # 2 ms of 10,000, which wait for the table
            theirs = self.docket.seats.get(key)
            if theirs is not None and not theirs.mine:
                silence = peer.silence_for(theirs.interfaces)
                theirs.weak_of = node if silence is not None and silence.weak else ""
        self.refresh()
        ours = heirs(self.world, self.claims, self.docket.seats, node, keys) if not weak else []
        if ours:
            self.hands.answer_early(ours)
        self.docket.bereave(keys)
        self.resurvey(now)

    def _end_weak(self, node: str) -> bool:
        """It reflects: what we hold weakly is its, or ours; returns whether it has dropped all."""
        cell = self.cell(node)
        if cell not in self.epochs:
            return False
        has_dropped = self.fences.epoch_of(cell) > self.epochs.pop(cell)
        for seat in self.docket.seats.values():
            if seat.weak_of == node and seat.is_served_by(cell.segment):
                (self.hands.firm if has_dropped else self.hands.weaken)(seat)
                self.docket.urge_one(seat.key)
        return has_dropped

    def _acquit(self, node: str, now: float) -> None:
        peer = self.world.peers.get(node)
        self._seats.pop(node, None)
        if peer is None or peer.silent.pop(self.cell(node).segment, None) is None:
            return
        self._note("node_heard_again", node)
        self.world.now = max(self.world.now, now)
        if self._end_weak(node):
            for key in tuple(self._held_here(node)):
                word = Word(Claim.NONE, peer.words.by_seat[key].counter, "", peer.last_seq)
                peer.words.put(key, word)
                self.claims.put(key, node, word)
        self.refresh()
        self.resurvey(now)

    def acted(self, now: float) -> None:
        """Called when seats were judged: a take of a dead node's seat is what fences it."""
        for node, keys in list(self._seats.items()):
            seats = self.docket.seats
            if any(key in seats and self.hands.is_answering(seats[key]) for key in keys):
                del self._seats[node]
                if self.fences.record(self.cell(node), self.epochs.get(self.cell(node), 0)):
                    self._tell(node, 0, acted=True)
                    self.resurvey(now)


def vouchers(world: World, node: str, segment: str = "") -> Iterator[Peer]:
    """Peers that say that a node's program reflects their beats, on any segment or on that one."""
    for peer in world.peers.values():
        reflects = () if peer.hello is None else peer.hello.reflects
        if (
            peer.is_alive
            and not peer.is_silent
            and any(name == node and segment in {"", there} for name, there in reflects)
        ):
            yield peer
