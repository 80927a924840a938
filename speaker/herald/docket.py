"""Which seats are to be looked at, and when: urgent ones at once, the others in slices."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import attrs

from speaker.herald.agenda import Agenda
from speaker.herald.seats import Seat

SLICE: Final = 500  # seats looked at in one turn when nothing is urgent: some 3 ms


@attrs.define
class Docket:
    """The seats of this node and the cases that are open. Nothing here costs per seat and tick."""

    seats: dict[bytes, Seat] = attrs.field(factory=dict)
    due: Agenda[bytes] = attrs.field(factory=Agenda)
    _urgent: dict[bytes, None] = attrs.field(factory=dict)
    _idle: dict[bytes, None] = attrs.field(factory=dict)
    _bereft: dict[bytes, None] = attrs.field(factory=dict)  # their holder was found dead
    _is_put_off: bool = False

    def urge(self, keys: Iterable[bytes]) -> None:
        """Look at these seats in this turn; keys of no seat are ignored."""
        self._urgent.update(dict.fromkeys(keys))

    def urge_one(self, key: bytes) -> None:
        """The same for one seat."""
        self._urgent[key] = None

    def urge_due(self, now: float) -> None:
        """Look at the seats whose time has come."""
        self.urge(self.due.pop(now))

    def queue(self, keys: Iterable[bytes]) -> None:
        """Look at these seats when there is time."""
        self._idle.update(dict.fromkeys(keys))

    def urge_waiting(self) -> None:
        """Look now at the seats whose next holder may have become able."""
        self.urge(key for key, seat in self.seats.items() if seat.to or seat.asked_by)

    def bereave(self, keys: Iterable[bytes]) -> None:
        """
        Let go of these seats, their holder being dead, and look at them: in slices.

        With more than a slice of them nothing but what is urgent is looked at in this turn, so that
        what has been decided for all of them (Hands.answer_early) is carried out before.
        """
        self._bereft.update(dict.fromkeys(keys))
        self._is_put_off = len(self._bereft) > SLICE

    def forgo(self) -> None:
        """Take no bereaved seat for let go any more: time has passed, so they are probed for."""
        self._bereft.clear()

    def members_changed(self) -> None:
        """Look now at the seats that wait for a member, at the others in slices."""
        self.urge(
            [
                key
                for key, seat in self.seats.items()
                if seat.to or seat.asked_by or seat.vacant_since is not None
            ]
        )
        self.queue(self.seats)

    def forget(self, key: bytes) -> None:
        """Drop a seat that has left the plan."""
        self.due.cancel(key)
        self._idle.pop(key, None)
        self._bereft.pop(key, None)
        self.seats.pop(key, None)

    @property
    def has_idle(self) -> bool:
        """Whether another turn is needed."""
        return bool(self._idle or self._bereft)

    def bereft(self) -> Iterator[Seat]:
        """A slice of the seats whose holder is dead, to be let go before `cases`."""
        if self._is_put_off:
            return
        for key in list(islice(self._bereft, SLICE)):
            del self._bereft[key]
            self._idle.pop(key, None)
            if (seat := self.seats.get(key)) is not None:
                self._urgent[key] = None
                yield seat

    def cases(self) -> Iterator[Seat]:
        """Everything urgent, what becomes so meanwhile, and a slice of the rest."""
        seats = self.seats
        while self._urgent:
            urgent, self._urgent = self._urgent, {}
            for key in urgent:
                if (seat := seats.get(key)) is not None:
                    yield seat
        if self._bereft:  # they come first
            self._is_put_off = False
            return
        for _ in range(min(SLICE, len(self._idle))):
            key, _ = self._idle.popitem()
            if (seat := seats.get(key)) is not None:
                yield seat
