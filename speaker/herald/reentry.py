"""
When a node that lost its lease, or was fenced, may speak again (OWNERSHIP.md 6 and 7). Pure.

                lost              a witness: the epoch grows
    SPEAKING ────────> WAITING ────────────────────────────────────────> SPEAKING
                             └─────ALONE_S without one: it stays as it was──┘

Who is alone cannot know whether others took its seats meanwhile. It has to answer, since it may be
the only one; with the old epoch, the claim of those others suspends it again once they meet.
"""

import enum
from collections.abc import Callable
from typing import Final

import attrs

ALONE_S: Final = 1.0


class Entry(enum.StrEnum):
    """How a cell is entered."""

    RAISED = "raised"  # with a higher epoch: fenced claims are over
    KEPT = "kept"  # with the epoch it had


@attrs.define
class Reentries:
    """
    The cells of this node, by interface.

    `has_witness(interface, now)` looks whether anybody hears us on the segment.
    """

    has_witness: Callable[[str, float], bool]
    _lost_at: dict[str, float] = attrs.field(factory=dict)

    def lost(self, interface: str, now: float) -> None:
        """The lease ran out, or a claim suspended the cell: begin to wait."""
        self._lost_at.setdefault(interface, now)

    def due(self, interface: str, now: float) -> Entry | None:
        """How to enter now; None: not yet, or it is not lost."""
        lost_at = self._lost_at.get(interface)
        if lost_at is None:
            return None
        if self.has_witness(interface, now):
            return Entry.RAISED
        return Entry.KEPT if now - lost_at >= ALONE_S else None

    def entered(self, interface: str) -> None:
        """The cell speaks again."""
        self._lost_at.pop(interface, None)
