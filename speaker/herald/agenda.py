"""Deadlines by key: a heap whose entries are cancelled by being outdated."""

import heapq
from math import inf
from typing import Generic, TypeVar

import attrs

K = TypeVar("K", bytes, str)


@attrs.define
class Agenda(Generic[K]):
    """
    The next deadline of each key. Setting one replaces it; looking costs nothing per key.

    Outdated heap entries are dropped when they come up, so memory is bounded by the deadlines set
    within the longest of them.
    """

    _due: dict[K, float] = attrs.field(factory=dict)
    _heap: list[tuple[float, K]] = attrs.field(factory=list)

    def set(self, key: K, at: float) -> None:
        """Let `key` fall due at `at`, and not when it was before."""
        if self._due.get(key) != at:
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))

    def sooner(self, key: K, at: float) -> None:
        """Let `key` fall due at `at` unless it does before."""
        if at < self._due.get(key, inf):
            self.set(key, at)

    def cancel(self, key: K) -> None:
        """Forget the deadline of `key`, if it has one."""
        self._due.pop(key, None)

    def next(self) -> float:
        """When something falls due, infinity if nothing does."""
        heap, due = self._heap, self._due
        while heap and due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def pop(self, now: float) -> list[K]:
        """Take the keys that have fallen due, in order of their deadlines."""
        keys = []
        while self.next() <= now:
            _, key = heapq.heappop(self._heap)
            del self._due[key]
            keys.append(key)
        return keys
