"""What follows from a decision on a seat: table, announcement, word to the others, log."""

from typing import Final

import attrs

from speaker.herald.actions import (
    Action,
    Announce,
    Defend,
    Quiet,
    Speak,
    SpeakAll,
    Unlist,
    Voice,
)
from speaker.herald.claims import Word
from speaker.herald.facts import Claim
from speaker.herald.ledger import Ledger
from speaker.herald.seats import Seat, SeatReason
from speaker.herald.teller import Teller
from speaker.herald.world import World

# DEFEND_INTERVAL, RFC 5227 section 1.1: two hosts that both insist do not flood the segment.
DEFEND_S: Final = 10.0
_OURS: Final = (Voice.HELD, None)  # what the table says of seats that we hold


@attrs.define
class Hands:
    """Carries decisions out. The only writer of a seat's own claim."""

    world: World
    teller: Teller
    actions: list[Action]
    ledger: Ledger  # what happened in this turn, for logs and counters

    def take(self, seat: Seat, why: str) -> None:
        """Answer for the seat: table, announcement, TAKE."""
        now = self.world.now
        if not seat.weak_of:
            seat.counter += 1
        seat.my_counter = 0 if seat.weak_of else seat.counter
        seat.mine, seat.to = Claim.HELD, ""
        seat.since = seat.moved_at = now
        seat.vacant_since, seat.foreign, seat.probed, seat.expired = None, None, 0, False
        seat.asked_by, seat.asks = "", 0
        self.answer(seat)
        # A node that is heard and does not hear takes weakly what others answer for: whom it draws
        # to itself with these first rounds, their refreshes get back.
        self.actions.append(Announce(seat.vip, why, refreshes=not seat.weak_of))
        self.teller.say(seat.key, Claim.HELD, seat.my_counter)
        self.ledger.note("seats_taken", seat, why=why)

    def answer_early(self, seats: list[Seat]) -> None:
        """
        Answer for vacant seats that are to be taken, before anything else is done about them.

        In the table they are ours from now on; whoever judges one takes it, or lets it speak
        ELSEWHERE again.
        """
        now = self.world.now
        for seat in seats:
            seat.said, seat.vacant_since, seat.let_go = _OURS, now, True
        keys, vips = tuple([seat.key for seat in seats]), tuple([seat.vip for seat in seats])
        self.actions.append(SpeakAll(keys, vips, Voice.HELD))

    @staticmethod
    def is_answering(seat: Seat) -> bool:
        """Whether it is ours, or the table says so already."""
        return bool(seat.mine) or seat.said == _OURS

    def firm(self, seat: Seat) -> None:
        """What was taken without a witness is ours by right."""
        seat.weak_of = ""
        if seat.mine is Claim.HELD:
            seat.counter += 1
            seat.my_counter = seat.counter
            self.answer(seat)
            self.actions.append(Announce(seat.vip, "made_firm"))
            self.teller.say(seat.key, Claim.HELD, seat.my_counter)
            self.ledger.note("seats_made_firm", seat)

    def weaken(self, seat: Seat) -> None:
        """The holder is back of whom we only thought that it was silent."""
        seat.weak_of = ""
        if seat.mine:
            self.ledger.note("seats_yielded", seat)
            self.let(seat, to="")

    def give(self, seat: Seat, heir: str) -> None:
        """Answer with the heir's LLADDR from now on, and tell it."""
        seat.counter += 1
        seat.mine, seat.my_counter, seat.to = Claim.GIVING, seat.counter, heir
        seat.since = seat.moved_at = self.world.now
        seat.asked_by = ""
        self.actions.append(Quiet(seat.vip))
        self.teller.say(seat.key, Claim.GIVING, seat.my_counter, heir)
        self.ledger.note("seats_given", seat, node=heir)
        self.speak(seat, Voice.GIVEN)

    def yield_(self, seat: Seat, best: tuple[str, Word]) -> None:
        """Another holder's counter is higher: the TAKE of our heir, or two holders."""
        event = "seats_moved" if seat.mine is Claim.GIVING else "seats_yielded"
        self.ledger.note(event, seat, node=best[0])
        self.let(seat, to=best[0])

    def drop(self, seat: Seat, reason: SeatReason, to: str = "") -> None:
        """Answer no more, and say so: whoever is next takes it."""
        if seat.mine:
            self.ledger.note("seats_dropped", seat, reason=str(reason))
            self.let(seat, to=to)
            self.vacate(seat, let_go=False)
        seat.reason = reason
        seat.holder = None
        self.speak(seat, Voice.ELSEWHERE)

    def let(self, seat: Seat, *, to: str) -> None:
        if seat.mine is Claim.HELD:
            self.actions.append(Quiet(seat.vip))
        seat.mine, seat.to, seat.weak_of = Claim.NONE, "", ""
        seat.since = seat.moved_at = self.world.now
        seat.asked_by = ""
        self.teller.say(seat.key, Claim.NONE, seat.my_counter, to)
        self.speak(seat, Voice.ELSEWHERE)

    def defend(self, seat: Seat) -> None:
        """Tell clients once more whose the seat is that another LLADDR claims; not a weak take."""
        if seat.mine is not Claim.HELD or seat.weak_of:
            return
        if self.world.now >= seat.defended_at + DEFEND_S:
            seat.defended_at = self.world.now
            self.actions.append(Defend(seat.vip))
            self.ledger.note("seats_defended", seat)

    def expire(self, seat: Seat) -> None:
        """Our lease ran out: the seat is nobody's, we may be back by the rule for empty seats."""
        if self.is_answering(seat):
            self.drop(seat, SeatReason.LEASE_EXPIRED)
            self.vacate(seat, let_go=False)
            seat.expired = True

    def unlist(self, seat: Seat, reason: SeatReason) -> None:
        if seat.mine:
            self.ledger.note("seats_dropped", seat, reason=str(reason))
            self.let(seat, to="")
        seat.reason, seat.holder, seat.vacant_since = reason, None, None
        if seat.said is not None:
            seat.said = None
            self.actions.append(Unlist(seat.vip))

    def answer(self, seat: Seat) -> None:
        """Have the table answer with our LLADDR."""
        self.speak(seat, Voice.WEAK if seat.weak_of else Voice.HELD)

    def speak(self, seat: Seat, voice: Voice) -> None:
        lladdr = None
        if voice is Voice.GIVEN:
            lladdr = self.world.lladdr_of(seat.to, seat.plan)
            if lladdr is None:  # not known after a restart: what the table says goes on
                return
        if seat.said != (voice, lladdr):
            seat.said = (voice, lladdr)
            self.actions.append(Speak(seat.vip, voice, lladdr))

    def vacate(self, seat: Seat, *, let_go: bool) -> None:
        """Nobody holds it from now on; `let_go`: by its holder's word or death."""
        seat.vacant_since, seat.let_go = self.world.now, let_go
        seat.probed, seat.foreign = 0, None
