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
class Reentry:
    """`has_witness(now)` looks whether anybody hears us on the segment."""

    has_witness: Callable[[float], bool]
    _lost_at: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether this node may not speak now."""
        return self._lost_at is not None

    def lost(self, now: float) -> None:
        """The lease ran out, or a claim suspended the cell: begin to wait."""
        if self._lost_at is None:
            self._lost_at = now

    def due(self, now: float) -> Entry | None:
        """How to enter now; None: not yet, or nothing is lost."""
        if self._lost_at is None:
            return None
        if self.has_witness(now):
            return Entry.RAISED
        return Entry.KEPT if now - self._lost_at >= ALONE_S else None

    def entered(self) -> None:
        """The cell speaks again."""
        self._lost_at = None
