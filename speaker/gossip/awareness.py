"""Lifeguard's local health: how far this node trusts its own ear."""

import attrs


@attrs.define
class Awareness:
    """A score from 0 (good) to `max_multiplier` - 1 that stretches the deadline of our probes."""

    max_multiplier: int
    score: int = 0

    def apply(self, delta: int) -> None:
        """Add `delta` (bad news is positive) within the bounds."""
        self.score = max(0, min(self.max_multiplier - 1, self.score + delta))

    def stretch(self, timeout_s: float) -> float:
        """Scale a timeout by the health."""
        return timeout_s * (self.score + 1)
