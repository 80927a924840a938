"""
Beats and the ring, joined: who is watched, what a verdict does to seats, what is told to whom.

    core --peers, links--> Sentry --SendBeat, Send, Probe--> performer
    segment --reflections, requests, answers to probes--> Sentry --seats without a holder--> core

It decides nothing on seats: a sentence only makes a peer silent in the World, and the rules for
seats whose holder is gone do the rest.
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Final

import attrs

from speaker.beats import BeatState, DecodeError
from speaker.beats.fence import Fences
from speaker.beats.messages import Accusation, Verdict, Veto, decode, encode
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
from speaker.herald.facts import Claim, Fence, Flag, Word
from speaker.herald.hands import Hands
from speaker.herald.heirs import heirs
from speaker.herald.ledger import Ledger
from speaker.herald.peers import FRESH_S, Peer
from speaker.herald.world import TAKING_S, World

SUSPENDED_S: Final = 0.5  # a cell that stays suspended for so long is of no use
UNREACHED_S: Final = 8.0  # who acts in the ring for so long and reflects nothing: memberlist alone
LONG_GONE_S: Final = 60.0
RARELY: Final = 8  # who is silent for so long gets one beat of so many: 200 ms until it is fenced
SURVEY_S: Final = 1.0
HERALD_GONE_MS: Final = 200  # a program whose herald has not beaten for eight beats is alone
YIELD_S: Final = 0.5  # for answers to the probes that tell what such a program speaks for
JURY: Final = 2  # how many watchers are asked for a veto
GATEWAYS: Final = 2  # next hops probed for a witness
_ANSWERING: Final = frozenset({BeatState.OWNING, BeatState.HOLDING})


@attrs.frozen
class Reflection:
    """What a verified reply says about a cell of `node`."""

    node: str
    seq: int  # of the request
    state: BeatState
    epoch: int
    remaining_ms: int = 0
    beat_age_ms: int = 0


@attrs.define
class Sentry:
    """The watch of one herald over one segment. It acts once `tick` is called at `next_wakeup`."""

    world: World
    claims: Claims
    docket: Docket
    hands: Hands
    actions: list[Action]
    ledger: Ledger
    refresh: Callable[[], None]  # the sets of peers have changed
    meet: Callable[[Peer, float], None]  # tell a peer all
    look: Callable[[], None] = lambda: None  # calls `reflected` for what waits to be read
    vigil: Vigil = attrs.field(init=False)
    fences: Fences = attrs.field(factory=Fences)
    silence: Silence = attrs.field(init=False)
    is_on: bool = True
    _lladdrs: dict[str, tuple[str, bytes]] = attrs.field(factory=dict)  # node: interface, LLADDR
    _suspended_at: dict[str, float] = attrs.field(factory=dict)
    _requested_at: dict[str, float] = attrs.field(factory=dict)
    _epochs: dict[str, int] = attrs.field(factory=dict)  # of the sentenced, then
    _seats: dict[str, tuple[bytes, ...]] = attrs.field(factory=dict)  # theirs, not acted on yet
    _orphans: dict[bytes, tuple[str, float]] = attrs.field(factory=dict)  # by LLADDR, until when
    _gateway_at: float = -inf
    _survey_at: float = -inf

    def __attrs_post_init__(self) -> None:
        self.vigil = Vigil(self.world.own.node)
        self.silence = Silence(lambda node, now: self._has_witness(now, besides=node))

    # --- time

    def next_wakeup(self) -> float:
        """When `tick` is due; infinity without beats."""
        if not self.is_on:
            return inf
        return min(self.vigil.next_wakeup(), self.silence.next_wakeup(), self._survey_at)

    def tick(self, now: float) -> None:
        """Send beats, miss reflections, pass sentences."""
        if now >= self._survey_at:
            self._survey_at = now + SURVEY_S
            self.survey(now)
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
            claimed = self.fences.claimed(node)
            self._beat(node, seq, now, has_witness=has_witness, claimed=claimed)

    def _is_on_trial(self, node: str) -> bool:
        """Whether the silence of a node may be that of its native XDP alone."""
        peer = self.world.peers.get(node)
        return peer is not None and peer.has(Flag.TRIAL)

    def _is_long_gone(self, node: str, now: float) -> bool:
        peer = self.world.peers.get(node)
        return peer is not None and peer.silenced and now - peer.silenced_at > LONG_GONE_S

    def survey(self, now: float) -> None:
        """Whom to watch, by what the ring says now."""
        if not self.is_on:
            return
        links = {link.name: link.lladdr for link in self.world.links}
        for name, peer in self.world.peers.items():
            if peer.hello is not None and peer.hello.links and links:
                mine = next((ln for ln in peer.hello.links if ln.name in links), None)
                first = next(iter(links))
                self._lladdrs[name] = (
                    (mine.name, mine.lladdr) if mine else (first, peer.hello.links[0].lladdr)
                )
            if self._is_beyond_beats(peer, now):
                self.vigil.doubt(name)
                self.fences.forget(name)
                self._do(self.silence.reflected(name), now)
        known = [
            name
            for name, peer in self.world.peers.items()
            if name in self._lladdrs and (peer.is_alive or peer.silenced)
        ]
        kept = {n for n in (*self.fences.nodes(), *self.silence.accused()) if n in self._lladdrs}
        self.vigil.follow(known if links else (), kept if links else (), now)
        self.world.own.reflects = tuple((name, "") for name in self.vigil.reflecting())
        self.world.own.fences = self.fences.records()

    def _is_beyond_beats(self, peer: Peer, now: float) -> bool:
        """Whether a sentenced peer acts in the ring, both ways, though beats do not reach it."""
        return (
            peer.silenced
            and peer.is_member
            and not peer.unacked
            and now - peer.silenced_at > UNREACHED_S
            and now - peer.heard_at < FRESH_S
            and not self.vigil.heard_within(peer.name, SURVEY_S, now)
        )

    @property
    def is_calm(self) -> bool:
        """Whether everybody watched reflects, and nobody is accused or fenced."""
        watched = self.vigil.watchees.values()
        is_heard = all(w.standing is Standing.HEARD for w in watched)
        is_met = len(watched) >= min(WATCHED, len(self.world.alive))
        is_told = len(self.world.own.reflects) >= len(watched)
        is_known = is_met and is_heard and is_told
        return is_known and not self.silence.accused() and not self.fences.nodes()

    # --- what comes in

    def reflected(self, reflection: Reflection, now: float) -> None:
        """A verified reply of a cell that we asked."""
        node = reflection.node
        peer = self.world.peers.get(node)
        if peer is None:
            return
        is_new = self.vigil.standing(node) is Standing.UNPROVEN  # or each beat costs a look at all
        vouched = is_new and any(self._vouchers(node))
        if self.vigil.reflected(node, reflection.seq, now, vouched=vouched):
            self.actions.append(Note("beats_heard_again", {"name": node}))
            self.meet(peer, now)  # the first after three missed: both say their TAKEs at once
            if reflection.state in _ANSWERING and reflection.beat_age_ms >= HERALD_GONE_MS:
                self._probe_ours(node, now)
        if self.fences.seen(node, reflection.epoch):
            self.actions.append(Note("fence_ended", {"name": node, "epoch": reflection.epoch}))
        if reflection.state is BeatState.SUSPENDED:
            since = self._suspended_at.setdefault(node, now)
        else:
            self._suspended_at.pop(node, None)
            since = now
        if reflection.state in _ANSWERING:
            if self.fences.claimed(node) is None:
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
        """Somebody answered a probe."""
        if vip.packed in self.world.next_hops:
            self._gateway_at = now
        self._yield_to_orphan(vip, lladdr, now)
        for node in self.silence.accused():
            if self._lladdrs.get(node, ("", b""))[1] == lladdr:
                self._do(self.silence.answered(node), now)

    def _probe_ours(self, node: str, now: float) -> None:
        """Its program answers on and no herald of it hears our TAKEs: ask what it answers for."""
        place = self._lladdrs.get(node)
        if place is None or self.fences.claimed(node) is not None:
            return  # what is fenced falls silent by itself
        self._orphans[place[1]] = node, now + YIELD_S
        for seat in self.docket.seats.values():
            if seat.mine is Claim.HELD:
                self.actions.append(Probe(seat.vip))

    def _yield_to_orphan(self, vip: Vip, lladdr: bytes, now: float) -> None:
        node, until = self._orphans.get(lladdr, ("", -inf))
        seat = self.docket.seats.get(vip.packed)
        if seat is not None and seat.mine is Claim.HELD and now <= until:
            self.ledger.note("seats_yielded", seat, node=node)
            self.hands.let(seat, to=node)

    def message(self, payload: bytes, now: float) -> None:
        """A watcher speaks; hostile bytes count."""
        self.look()
        try:
            message = decode(payload)
        except DecodeError:
            self.ledger.count("messages_malformed")
            return
        own = self.world.own.node
        match message:
            case Accusation(accuser, accused, segment, nonce):
                if accused != own and self._has_heard(accused, now):
                    self.actions.append(Send(accuser, encode(Veto(own, accused, segment, nonce))))
            case Veto(_, accused, _, nonce):
                self._do(self.silence.vetoed(accused, nonce), now)
            case Verdict(teller, accused, _, epoch, _, acted):
                if accused != own and accused in self.world.peers:
                    if acted:
                        self.world.taking[teller] = now + TAKING_S
                    self._hear_verdict(accused, epoch, now, acted=acted)

    def _hear_verdict(self, accused: str, epoch: int, now: float, *, acted: bool) -> None:
        # Who does not watch it has never seen its epoch, and would fence it at none.
        self.fences.seen(accused, epoch)
        if acted and self.fences.record(accused, epoch):
            self._seats.pop(accused, None)
            self.survey(now)
        if not self._has_heard(accused, now):
            self._do(self.silence.verdict_heard(accused, now), now)

    def heard_fences(self, fences: tuple[Fence, ...], now: float) -> None:
        """Facts of a peer name fence records."""
        own = self.world.own.node
        news = [f for f in fences if f.node != own and self.fences.record(f.node, f.epoch)]
        if news:
            self.survey(now)

    def _has_heard(self, node: str, now: float) -> bool:
        if self.silence.is_sentenced(node):
            return False
        requested = now - self._requested_at.get(node, -inf) <= HEARD_S
        return requested or self.vigil.heard_within(node, HEARD_S, now)

    def is_beating(self, node: str, now: float) -> bool:
        """Whether its program reflects: then it is not dead, whatever memberlist says."""
        self.look()
        if self.silence.is_sentenced(node):
            return False
        return self.vigil.heard_within(node, RECENT_S, now) or self.is_vouched(node, now)

    def is_vouched(self, node: str, now: float) -> bool:
        """
        Whether a peer whose herald acts says that the node's program reflects its beats.

        Not everybody watches everybody: of a holding node memberlist alone would say that it died.
        """
        return any(peer.is_fresh(now) for peer in self._vouchers(node))

    def _vouchers(self, node: str) -> Iterator[Peer]:
        for peer in self.world.peers.values():
            reflects = () if peer.hello is None else peer.hello.reflects
            if peer.is_alive and not peer.silenced and any(name == node for name, _ in reflects):
                yield peer

    def heard_by_any(self, now: float) -> bool:
        """Whether anybody hears us; asks the gateways when not. Without beats nobody can tell."""
        if not self.is_on or self._has_witness(now):
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

    def _ask(self, node: str, nonce: int) -> None:
        own = self.world.own.node
        others = [p.name for p in self.world.peers.values() if p.is_alive and not p.silenced]
        jury = [n for n in watchers_of(node, [own, *others]) if n not in {own, node}][:JURY]
        payload = encode(Accusation(own, node, "", nonce))
        self.actions.extend(Send(name, payload) for name in jury)
        self.actions.append(Note("node_accused", {"name": node, "asked": ", ".join(jury)}))

    def _knock(self, node: str) -> None:
        peer = self.world.peers.get(node)
        words = {} if peer is None else peer.words.by_seat
        key = next((key for key, word in words.items() if word.claim is Claim.HELD), None)
        if key is not None:
            self.actions.append(Probe(to_vip(key)))

    def _last_beat(self, node: str, now: float) -> None:
        self.survey(now)
        watchee = self.vigil.watchees.get(node)
        if watchee is not None and node in self._lladdrs:
            self._beat(node, watchee.seq, now, has_witness=self._has_witness(now), claimed=None)

    def _beat(
        self, node: str, seq: int, now: float, *, has_witness: bool, claimed: int | None
    ) -> None:
        if (place := self._lladdrs.get(node)) is not None:
            hears = self.vigil.heard_within(node, RECENT_S, now)
            self.actions.append(SendBeat(node, *place, seq, has_witness, claimed, hears))

    def _tell(self, node: str, nonce: int, *, acted: bool) -> None:
        own = self.world.own.node
        verdict = Verdict(own, node, "", self._epochs.get(node, 0), nonce, acted)
        payload = encode(verdict)
        for name, peer in sorted(self.world.peers.items()):
            if peer.is_alive and not peer.silenced and name != node:
                self.actions.append(Send(name, payload))

    def _sentence(self, node: str, now: float, *, weak: bool) -> None:
        peer = self.world.peers.get(node)
        if peer is None:
            return
        keys = tuple(key for key, word in peer.words.by_seat.items() if word.claim)
        event = "node_silent" if not weak else "node_silent_without_witness"
        epoch = self.fences.epoch_of(node)
        self.actions.append(Note(event, {"name": node, "seats": len(keys), "epoch": epoch}))
        self._epochs[node] = epoch
        if not weak:
            self._seats[node] = keys
        # Members without Stentor hear of a death by memberlist alone. Where there are none, nobody
        # needs that, and after a short cut there is no membership to be mended.
        if not weak and self.world.foreigners and self.vigil.standing(node) is Standing.SILENT:
            self.actions.append(Accuse(node))
        peer.silenced, peer.silenced_at = True, now
        self.world.now = max(self.world.now, now)
        once_weak = [seat for seat in self.docket.seats.values() if seat.weak_of]
        for seat in once_weak:
            if seat.weak_of == node and not weak:
                self.hands.firm(seat)
        for key in keys if weak or once_weak else ():  # 2 ms of 10,000, which wait for the table
            theirs = self.docket.seats.get(key)
            if theirs is not None and not theirs.mine:
                theirs.weak_of = node if weak else ""
        self.refresh()
        ours = heirs(self.world, self.claims, self.docket.seats, node, keys) if not weak else []
        if ours:
            self.hands.answer_early(ours)
        self.docket.bereave(keys)
        self.survey(now)

    def silent_since(self, node: str) -> int:
        """The epoch at which a node fell silent to which we give way."""
        return self._epochs.get(node, 0)

    def resume_weak(self, node: str, epoch: int) -> None:
        """The herald before us took seats of a node weakly, whose epoch was this."""
        self._epochs[node] = epoch

    def _end_weak(self, node: str) -> bool:
        """It reflects: what we hold weakly is its, or ours; returns whether it has dropped all."""
        if node not in self._epochs:
            return False
        has_dropped = self.fences.epoch_of(node) > self._epochs.pop(node)
        for seat in self.docket.seats.values():
            if seat.weak_of == node:
                (self.hands.firm if has_dropped else self.hands.weaken)(seat)
                self.docket.urge_one(seat.key)
        return has_dropped

    def _acquit(self, node: str, now: float) -> None:
        peer = self.world.peers.get(node)
        self._seats.pop(node, None)
        if peer is None or not peer.silenced:
            return
        peer.silenced = False
        self.actions.append(Note("node_heard_again", {"name": node}))
        self.world.now = max(self.world.now, now)
        if self._end_weak(node):
            for key in [k for k, word in peer.words.by_seat.items() if word.claim]:
                word = Word(Claim.NONE, peer.words.by_seat[key].counter, "", peer.last_seq)
                peer.words.put(key, word)
                self.claims.put(key, node, word)
        self.refresh()
        self.survey(now)

    def acted(self, now: float) -> None:
        """Called when seats were judged: a take of a dead node's seat is what fences it."""
        for node, keys in list(self._seats.items()):
            seats = self.docket.seats
            if any(key in seats and self.hands.is_answering(seats[key]) for key in keys):
                del self._seats[node]
                if self.fences.record(node, self._epochs.get(node, 0)):
                    self._tell(node, 0, acted=True)
                    self.survey(now)
