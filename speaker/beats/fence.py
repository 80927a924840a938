"""
Fence records: which nodes' seats were taken for their silence, at which epoch (OWNERSHIP.md 6).

              TAKE acted on a verdict, or heard of
    (none) ────────────────────────────────────────> FENCED
       ^                                               │
       └────reflected a higher epoch, or not planned───┘

Every beat to a FENCED node claims the recorded epoch. The program there suspends a cell of that
epoch or a lower one, and the node comes back with a higher epoch, which ends the record.
"""

from collections.abc import Collection, Iterable
from math import inf

import attrs

from speaker.herald.facts import Fence


@attrs.define
class Fences:
    """The records of one segment."""

    _epochs: dict[str, int] = attrs.field(factory=dict)
    _seen: dict[str, int] = attrs.field(factory=dict)  # highest epoch reflected, by node

    def record(self, node: str, epoch: int) -> bool:
        """
        Fence a node at an epoch; returns whether that is news.

        One that has since been seen with a higher epoch has dropped its seats: nothing to fence.
        """
        if epoch < self._seen.get(node, 0) or epoch <= self._epochs.get(node, -1):
            return False
        self._epochs[node] = epoch
        return True

    def seen(self, node: str, epoch: int) -> bool:
        """Note the epoch of a reflection; returns whether it ended a record."""
        self._seen[node] = max(epoch, self._seen.get(node, 0))
        if self._epochs.get(node, inf) < epoch:
            del self._epochs[node]
            return True
        return False

    def claimed(self, node: str) -> int | None:
        """The epoch to claim in a beat to the node, None for one that is not fenced."""
        return self._epochs.get(node)

    def epoch_of(self, node: str) -> int:
        """The highest epoch that the node has reflected, 0 = none yet."""
        return self._seen.get(node, 0)

    def prune(self, planned: Collection[str]) -> None:
        """Forget nodes that the plan does not list any more."""
        for node in self._epochs.keys() - set(planned):
            del self._epochs[node]

    def forget(self, node: str) -> None:
        """End a record for another reason: its herald acts and cannot be reached by beats."""
        self._epochs.pop(node, None)

    def nodes(self) -> frozenset[str]:
        """Who is fenced."""
        return frozenset(self._epochs)

    def records(self) -> tuple[Fence, ...]:
        """For facts and for the successor of this process."""
        return tuple(Fence(node, "", epoch) for node, epoch in sorted(self._epochs.items()))

    def restore(self, records: Iterable[Fence]) -> None:
        """Take back what a predecessor left."""
        for fence in records:
            self.record(fence.node, fence.epoch)
