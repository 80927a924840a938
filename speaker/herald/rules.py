"""
Decide about one seat at a time (OWNERSHIP.md 1, 2, 5, 7, 10, 11).

`Rules.judge` looks at everything known and does what follows from it, whatever event made it look;
it may be called at any time and any number of times. What it wants to look at again, it puts on the
agenda.
"""

import random
from typing import Final

import attrs

from speaker.herald.actions import Probe, Rejoin, Voice
from speaker.herald.agenda import Agenda
from speaker.herald.claims import Claims, Word, beats
from speaker.herald.facts import Claim, Flag
from speaker.herald.hands import Hands
from speaker.herald.seats import PlannedSeat, Seat, SeatReason
from speaker.herald.world import World

EMPTY_AFTER_S: Final = 0.3  # without a living holder for so long: probe
PROBE_GAP_S: Final = 0.05  # between two probes, and from the last one to the take
PROBES: Final = 2
TURN_S: Final = 0.025  # from one candidate's turn to the next one's
FOREIGN_AGAIN_S: Final = 5.0
MEMBER_AGAIN_S: Final = 0.5  # the LLADDR is a member's: its words or its end are soon known
SETTLED_S: Final = 1.0  # anti-flap: a seat is not given within so long of its last move
ASK_KEPT_S: Final = 10.0  # an ASK that could not be granted at once may still be, for so long
ASK_AGAIN_S: Final = (1.0, 2.0, 4.0, 8.0)
GIVE_GIVEN_UP_S: Final = 3.0  # the lease of the new holder: it does not act, or cannot hear us
DECLINED_S: Final = 5.0
REJOIN_S: Final = 1.0  # conflicts have the join targets tried again at most so often


@attrs.define
class Rules:
    """The judge; its hands carry out what it decides."""

    world: World
    claims: Claims
    hands: Hands
    agenda: Agenda[bytes]
    rng: random.Random
    _rejoin_at: float = 0.0
    asks: dict[str, list[bytes]] = attrs.field(factory=dict)  # by holder, sent by the core
    declines: dict[str, list[bytes]] = attrs.field(factory=dict)  # by giver

    # --- the judge

    def judge(self, seat: Seat) -> None:
        """Do what follows for this seat from what is known now."""
        world = self.world
        if seat.key in world.untouchable:
            self.hands.unlist(seat, SeatReason.ADDRESS_OF_A_HOST)
            return
        if seat.plan is None and world.has_plan:
            self.hands.unlist(seat, SeatReason.NOT_CANDIDATE)
            return
        if world.is_duplicate:
            self.hands.drop(seat, SeatReason.DUPLICATE_NODE)
            return
        if seat.plan is not None and world.foreigners and self._is_mixed(seat.plan):
            self._judge_mixed(seat, seat.plan)
            return
        best = self.claims.strongest(seat.key)
        if best is not None and best[1].counter > seat.counter:
            seat.counter = best[1].counter
        if seat.weak_of:  # the silent one does not count, everybody else does
            best = self.claims.strongest(seat.key, world.alive_for(seat.plan))
        if seat.mine and best is not None and self._loses(seat, best):
            self.hands.yield_(seat, best)
        match seat.mine:
            case Claim.HELD:
                self._judge_held(seat)
            case Claim.GIVING:
                self._judge_giving(seat)
            case _:
                self._judge_not_held(seat)

    def _loses(self, seat: Seat, best: tuple[str, Word]) -> bool:
        return beats(best[1].counter, best[0], seat.my_counter, self.world.own.node)

    # --- seats we hold

    def _judge_held(self, seat: Seat) -> None:
        world, plan = self.world, seat.plan
        seat.reason, seat.holder = SeatReason.HELD, world.own.node
        self.hands.answer(seat)
        if world.has_links and world.link_of(plan) is None:
            self.hands.drop(seat, SeatReason.NO_INTERFACE)
            return
        if plan is None:
            return  # adopted, and the agent has not sent its plan yet
        if world.is_leaving or world.own.node not in plan.candidates:
            self._pass_on(seat, plan)
        elif seat.asked_by:
            self._answer_ask(seat, plan)

    def _pass_on(self, seat: Seat, plan: PlannedSeat) -> None:
        """We should not hold it: give it to the best, keep it while one may yet become able."""
        world = self.world
        heir = world.heir(plan, self._decliners(seat))
        if heir is not None:
            self._give(seat, heir)
        elif world.is_leaving or not self._may_come(plan):
            reason = SeatReason.LEAVING if world.is_leaving else SeatReason.NOT_CANDIDATE
            self.hands.drop(seat, reason)
        else:
            self.agenda.sooner(seat.key, world.now + SETTLED_S)

    def _give(self, seat: Seat, heir: str) -> None:
        self.hands.give(seat, heir)
        self._judge_giving(seat)

    def _may_come(self, plan: PlannedSeat) -> bool:
        """Whether a candidate lives that could still take the seat over from us."""
        if not self.world.is_started:
            return bool(plan.candidates)
        alive = self.world.alive_for(plan)
        return any(
            name in alive and not self.world.peers[name].has(Flag.LEAVING)
            for name in plan.candidates
        )

    def _answer_ask(self, seat: Seat, plan: PlannedSeat) -> None:
        world, asker = self.world, seat.asked_by
        if world.now - seat.asked_at > ASK_KEPT_S or asker not in world.able_for(plan):
            seat.asked_by = ""
            return
        if not plan.failback or not world.peers[asker].is_fresh(world.now):
            return
        if world.now < seat.moved_at + SETTLED_S:
            self.agenda.sooner(seat.key, seat.moved_at + SETTLED_S)
            return
        agrees = self._first_able(plan) == asker
        if agrees or not world.agent_is_fresh:
            self._give(seat, asker)

    def _first_able(self, plan: PlannedSeat) -> str | None:
        """Who should hold the seat by our own plan, ourselves included."""
        world = self.world
        able = world.able_for(plan)
        for name in plan.candidates:
            if name == world.own.node or name in able:
                return name
        return None

    def _judge_giving(self, seat: Seat) -> None:
        world = self.world
        seat.reason, seat.holder = SeatReason.GIVING, seat.to
        self.hands.speak(seat, Voice.GIVEN)
        is_gone = world.is_started and seat.to not in world.able_for(seat.plan)
        give_up_at = seat.since + GIVE_GIVEN_UP_S
        if is_gone or seat.to in self._decliners(seat) or world.now >= give_up_at:
            if not is_gone:
                self._remember_decline(seat, seat.to)
            self.hands.ledger.note("seats_taken_back", seat, node=seat.to)
            self.hands.take(seat, "taken_back")
            self.judge(seat)
        else:
            self.agenda.sooner(seat.key, give_up_at)

    # --- seats we do not hold

    def _judge_not_held(self, seat: Seat) -> None:
        self._judge_claims(seat)
        if not seat.mine:
            self.hands.speak(seat, Voice.ELSEWHERE)

    def _judge_claims(self, seat: Seat) -> None:
        world = self.world
        living = self.claims.strongest(seat.key, world.alive_for(seat.plan))
        if living is None:
            seat.holder = None
            if seat.vacant_since is None:
                self.hands.vacate(seat, let_go=False)
        else:
            seat.vacant_since, seat.foreign, seat.probed = None, None, 0
            seat.holder = living[0]
        if (unfit := self._unfit(seat)) is not None:
            seat.reason = unfit
            if living is not None and living[1].to == world.own.node:
                self.declines.setdefault(living[0], []).append(seat.key)
        elif living is None:
            self._judge_vacant(seat)
        elif living[1].to == world.own.node:
            self.hands.take(seat, "given")
            self._judge_held(seat)
        else:
            seat.reason = SeatReason.HELD_BY_PEER
            seat.expired = False
            self._consider_asking(seat, living[0])

    def _unfit(self, seat: Seat) -> SeatReason | None:
        """Why we could not hold this seat even if we were to."""
        world = self.world
        if world.is_leaving:
            return SeatReason.LEAVING
        if seat.plan is None:
            return SeatReason.NO_PLAN
        if world.own.node not in seat.plan.candidates:
            return SeatReason.NOT_CANDIDATE
        if world.link_of(seat.plan) is None:
            return SeatReason.NO_INTERFACE
        if not world.is_started:
            return SeatReason.STARTING
        return SeatReason.LEASE_EXPIRED if world.is_waiting_for(seat.plan) else None

    def let_go(self, seat: Seat) -> None:
        """Its holder gave it up or is dead: no need to wait and probe."""
        alive = self.world.alive_for(seat.plan)
        if not seat.mine and self.claims.strongest(seat.key, alive) is None:
            self.hands.vacate(seat, let_go=True)

    def _judge_vacant(self, seat: Seat) -> None:
        world = self.world
        assert seat.plan is not None
        assert seat.vacant_since is not None
        place = world.place(seat.plan)
        assert place is not None
        seat.reason = SeatReason.LEASE_EXPIRED if seat.expired else SeatReason.VACANT
        if seat.let_go:
            due = seat.vacant_since + place * TURN_S
            if place:
                due = max(due, world.taking_until(seat.plan))
        else:
            if seat.foreign is not None and world.now < seat.probe_at:
                seat.reason = SeatReason.HELD_ELSEWHERE
                self.agenda.sooner(seat.key, seat.probe_at)
                return
            if not self._probe(seat):
                return
            if world.is_unclear():
                self.agenda.sooner(seat.key, world.now + PROBE_GAP_S)
                return
            due = seat.probe_at + place * TURN_S
        if world.now + 1e-6 < due:
            self.agenda.sooner(seat.key, due)
            return
        self.hands.take(seat, "vacant" if not seat.let_go else "let_go")
        self._judge_held(seat)

    def _probe(self, seat: Seat) -> bool:
        """Carry the round of probes on; returns whether it is over and nobody answered."""
        world = self.world
        assert seat.vacant_since is not None
        if seat.foreign is not None:  # a new round after an answer
            seat.foreign, seat.probed = None, 0
            seat.vacant_since = world.now - EMPTY_AFTER_S
        due = seat.probe_at if seat.probed else seat.vacant_since + EMPTY_AFTER_S
        if world.now + 1e-6 >= due and seat.probed < PROBES:
            self.hands.actions.append(Probe(seat.vip))
            seat.probed += 1
            due = seat.probe_at = world.now + PROBE_GAP_S
        if seat.probed == PROBES and world.now + 1e-6 >= due:
            return True
        self.agenda.sooner(seat.key, due)
        return False

    def answered(self, seat: Seat, lladdr: bytes) -> None:
        """A foreign LLADDR answers for the seat."""
        if seat.mine:
            node = self.world.node_of(lladdr) or ""
            self.hands.ledger.note("conflict_seen", seat, lladdr=lladdr.hex(":"), node=node)
            if not node:  # a stranger; between nodes the counters decide first, see Hearsay.rebut
                self.hands.defend(seat)
            if self.world.now >= self._rejoin_at:
                self._rejoin_at = self.world.now + REJOIN_S
                self.hands.actions.append(Rejoin("", ""))
            return
        if seat.vacant_since is None or seat.let_go or not seat.probed:
            return
        seat.foreign = lladdr
        is_member = self.world.node_of(lladdr) is not None
        seat.probe_at = self.world.now + (MEMBER_AGAIN_S if is_member else FOREIGN_AGAIN_S)

    def _consider_asking(self, seat: Seat, holder: str) -> None:
        """Ask for the seat when we are the best of its able candidates and the holder is not."""
        world, plan = self.world, seat.plan
        assert plan is not None
        ahead = plan.candidates[: plan.candidates.index(world.own.node)]
        if holder in ahead or world.place(plan) != 0 or not world.agent_is_fresh:
            seat.asks = 0
            return
        at = max(seat.ask_at, seat.moved_at + SETTLED_S)
        if world.now + 1e-6 < at:
            self.agenda.sooner(seat.key, at)
            return
        peer = world.peers[holder]
        if peer.is_fresh(world.now) and not peer.has(Flag.LEAVING):
            self.asks.setdefault(holder, []).append(seat.key)
        delay = ASK_AGAIN_S[min(seat.asks, len(ASK_AGAIN_S) - 1)]
        seat.asks += 1
        seat.ask_at = world.now + delay * self.rng.uniform(0.9, 1.1)
        self.agenda.sooner(seat.key, seat.ask_at)

    # --- mixed ring

    def _is_mixed(self, plan: PlannedSeat) -> bool:
        return not self.world.foreigners.isdisjoint(plan.candidates)

    def _judge_mixed(self, seat: Seat, plan: PlannedSeat) -> None:
        """MetalLB's rule alone: the first live candidate, at once, without a word."""
        world = self.world
        best = self.claims.strongest(seat.key)
        if best is not None:
            seat.counter = max(seat.counter, best[1].counter)
        seat.vacant_since, seat.weak_of = None, ""
        if seat.mine is Claim.HELD and not world.is_started:
            self.hands.answer(seat)  # adopted: whose it is we can say once we have met the ring
            seat.reason, seat.holder = SeatReason.MIXED_RING_HELD, world.own.node
            return
        owner = world.metallb_owner(plan)
        if owner == world.own.node and self._unfit(seat) is None:
            if seat.mine is not Claim.HELD:
                self.hands.take(seat, "mixed_ring")
            self.hands.answer(seat)
            seat.reason = SeatReason.MIXED_RING_HELD
        else:
            self.hands.drop(seat, SeatReason.MIXED_RING, to=owner or "")
        seat.holder = owner

    # --- refusals

    def decline(self, seat: Seat, node: str) -> None:
        """`node` will not have the seat that we give it."""
        if seat.mine is Claim.GIVING and seat.to == node:
            self._remember_decline(seat, node)

    def _remember_decline(self, seat: Seat, node: str) -> None:
        now = self.world.now
        kept = tuple(pair for pair in seat.declined if pair[0] != node and pair[1] > now)
        seat.declined = (*kept, (node, now + DECLINED_S))

    def _decliners(self, seat: Seat) -> tuple[str, ...]:
        now = self.world.now
        return tuple(name for name, until in seat.declined if until > now)
