"""
Fence records: on which cells seats were taken for their silence, at which epoch (OWNERSHIP.md 6).

              TAKE acted on a verdict, or heard of
    (none) ────────────────────────────────────────> FENCED
       ^                                               │
       └────reflected a higher epoch, or not planned───┘

Every beat to a FENCED cell claims the recorded epoch. The program there suspends it at that epoch
or a lower one, and the cell comes back with a higher epoch, which ends the record. Epochs are per
cell: a claim for one segment says nothing of the others.
"""

from collections.abc import Collection, Iterable
from math import inf

import attrs

from speaker.beats.cell import Cell
from speaker.herald.facts import Fence


@attrs.define
class Fences:
    """The records of all segments."""

    _epochs: dict[Cell, int] = attrs.field(factory=dict)
    _seen: dict[Cell, int] = attrs.field(factory=dict)  # highest epoch reflected

    def record(self, cell: Cell, epoch: int) -> bool:
        """
        Fence a cell at an epoch; returns whether that is news.

        One that has since been seen with a higher epoch has dropped its seats: nothing to fence.
        """
        if epoch < self._seen.get(cell, 0) or epoch <= self._epochs.get(cell, -1):
            return False
        self._epochs[cell] = epoch
        return True

    def seen(self, cell: Cell, epoch: int) -> bool:
        """Note the epoch of a reflection; returns whether it ended a record."""
        self._seen[cell] = max(epoch, self._seen.get(cell, 0))
        if self._epochs.get(cell, inf) < epoch:
            del self._epochs[cell]
            return True
        return False

    def claimed(self, cell: Cell) -> int | None:
        """The epoch to claim in a beat to the cell, None for one that is not fenced."""
        return self._epochs.get(cell)

    def epoch_of(self, cell: Cell) -> int:
        """The highest epoch that the cell has reflected, 0 = none yet."""
        return self._seen.get(cell, 0)

    def prune(self, planned: Collection[str]) -> None:
        """Forget nodes that the plan does not list any more."""
        for cell in [cell for cell in self._epochs if cell.node not in planned]:
            del self._epochs[cell]

    def forget(self, cell: Cell) -> None:
        """End a record for another reason: its herald acts and cannot be reached by beats."""
        self._epochs.pop(cell, None)

    def cells(self) -> frozenset[Cell]:
        """What is fenced."""
        return frozenset(self._epochs)

    def records(self) -> tuple[Fence, ...]:
        """For facts and for the successor of this process."""
        return tuple(Fence(*cell, epoch) for cell, epoch in sorted(self._epochs.items()))

    def restore(self, records: Iterable[Fence]) -> None:
        """Take back what a predecessor left."""
        for fence in records:
            self.record(Cell(fence.node, fence.segment), fence.epoch)
