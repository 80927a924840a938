"""Simulated time: a queue of things to do, in order, with no clock but its own."""

import heapq
from collections.abc import Callable
from typing import Any

import attrs

MANY = 20_000  # things done at one moment: somebody asks to be woken now, for ever


@attrs.define
class Engine:
    """Runs actions at their time; equal times in the order in which they were asked for."""

    now: float = 0.0
    _queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = attrs.field(
        factory=list
    )
    _asked: int = 0

    def at(self, when: float, action: Callable[..., None], *args: Any) -> None:
        """Run `action(*args)` at `when`, or now if that has passed."""
        self._asked += 1
        heapq.heappush(self._queue, (max(when, self.now), self._asked, action, args))

    @property
    def asked(self) -> int:
        """How many actions have been asked for."""
        return self._asked

    def run(self, until: float) -> None:
        """Run everything up to and at `until`."""
        queue, still = self._queue, 0
        while queue and queue[0][0] <= until:
            before = self.now
            self.now, _, action, args = heapq.heappop(queue)
            still = still + 1 if self.now == before else 0
            if still > MANY:
                raise AssertionError(f"time stands still at {self.now}: {action}{args}")
            action(*args)
        self.now = until
