"""Which seats are to be looked at, and when: urgent ones at once, the others in slices."""

from collections.abc import Iterable, Iterator
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

    def members_changed(self) -> None:
        """Look now at the seats that wait for a member, at the others in slices."""
        for key, seat in self.seats.items():
            if seat.to or seat.asked_by or seat.vacant_since is not None:
                self._urgent[key] = None
        self.queue(self.seats)

    def forget(self, key: bytes) -> None:
        """Drop a seat that has left the plan."""
        self.due.cancel(key)
        self._idle.pop(key, None)
        self.seats.pop(key, None)

    @property
    def has_idle(self) -> bool:
        """Whether another turn is needed."""
        return bool(self._idle)

    def cases(self) -> Iterator[Seat]:
        """Everything urgent, what becomes so meanwhile, and a slice of the rest."""
        seats = self.seats
        while self._urgent:
            urgent, self._urgent = self._urgent, {}
            for key in urgent:
                if (seat := seats.get(key)) is not None:
                    yield seat
        for _ in range(min(SLICE, len(self._idle))):
            key, _ = self._idle.popitem()
            if (seat := seats.get(key)) is not None:
                yield seat
