"""What happened to seats: one log event for what happened to many at once, and counters."""

from collections import Counter

import attrs

from speaker.herald.actions import Note
from speaker.herald.seats import Seat

_NAMED = 8  # VIPs that an event names; it counts the rest


@attrs.define
class Ledger:
    """Collects during a turn of the core, writes at its end."""

    counts: Counter[str] = attrs.field(factory=Counter)
    _open: dict[tuple[str, tuple[tuple[str, str], ...]], list[Seat]] = attrs.field(factory=dict)

    def count(self, what: str) -> None:
        """Add one to a counter."""
        self.counts[what] += 1

    def note(self, event: str, seat: Seat, **fields: str) -> None:
        """Something happened to a seat; the same to several makes one event."""
        self.counts[event] += 1
        self._open.setdefault((event, tuple(fields.items())), []).append(seat)

    def close(self) -> list[Note]:
        """The events of this turn."""
        if not self._open:
            return []
        notes = []
        for (event, fields), seats in self._open.items():
            named = ", ".join(str(seat.vip) for seat in seats[:_NAMED])
            notes.append(Note(event, {**dict(fields), "count": len(seats), "vips": named}))
        self._open.clear()
        return notes
