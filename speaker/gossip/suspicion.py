"""
How long a suspected node has to refute, shorter with each independent accuser (Lifeguard).

    min = suspicion_mult * max(1, log10(max(1, n))) * probe_interval
    max = suspicion_max_timeout_mult * min
    k   = suspicion_mult - 2 confirmations expected, none where n - 2 < k
    timeout(c) = max(min, max - ln(c+1)/ln(k+1) * (max-min))   floored to ms; min at once for k = 0
"""

import math
from typing import Self

import attrs

from speaker.gossip.config import GossipConfig


def minimum_s(config: GossipConfig, n: int) -> float:
    """Give the shortest suspicion among `n` listed nodes."""
    factor = max(1.0, math.log10(max(1, n)))
    # memberlist cuts the factor to thousandths
    return config.suspicion_mult * math.floor(factor * 1000) / 1000 * config.probe_interval_s


@attrs.define
class Suspicion:
    """A suspicion that runs. It starts when this node first believes it."""

    started: float
    expected: int  # k, accusers beyond the first at which the timeout is `min_s`
    min_s: float
    max_s: float
    accusers: set[str]  # the first one included
    # How long it runs, from its start, with the accusers heard so far: asked for at every wakeup.
    timeout_s: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Take the first accuser in."""
        self.timeout_s = self._timeout_s()

    @classmethod
    def begin(cls, accuser: str, config: GossipConfig, n: int, now: float) -> Self:
        """Begin with the first `accuser`, among `n` listed nodes (dead and left included)."""
        expected = config.suspicion_mult - 2
        if n - 2 < expected:
            expected = 0
        min_s = minimum_s(config, n)
        max_s = min_s * config.suspicion_max_timeout_mult
        return cls(now, max(0, expected), min_s, max_s, {accuser})

    def confirm(self, accuser: str) -> bool:
        """Count one more accuser. False: known already, or enough of them are."""
        if len(self.accusers) > self.expected or accuser in self.accusers:
            return False
        self.accusers.add(accuser)
        self.timeout_s = self._timeout_s()
        return True

    def _timeout_s(self) -> float:
        if self.expected < 1:
            return self.min_s
        confirmations = len(self.accusers) - 1
        share = math.log(confirmations + 1) / math.log(self.expected + 1)
        timeout = math.floor((self.max_s - share * (self.max_s - self.min_s)) * 1000) / 1000
        return max(self.min_s, timeout)

    @property
    def deadline(self) -> float:
        """When the node is to be declared dead."""
        return self.started + self.timeout_s
