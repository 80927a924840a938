"""
When which VIP is announced on one interface. Pure: `now` and `rng` come in, VIPs to send come out.

A VIP goes through rounds: at once, then after each of BACKOFF_S, then every `refresh_s` with
jitter. What is due but not yet allowed waits in order of (round, most recent traffic first), so
that every VIP is heard of once before any is heard of twice.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable
from random import Random

import attrs

from speaker.herald.frames import Vip

# Rounds after the take-over, in seconds: dense while a lost frame costs traffic, then sparse.
BACKOFF_S = (0.0, 0.05, 0.15, 0.4, 1.1, 2.4, 5.0)
REFRESH_JITTER = 0.1  # a refresh comes within ±10 % of its time, so that 10,000 VIPs spread out
BURST_S = 0.1  # a limit of n frames/s lets n/10 pass at once
DEFAULT_LIMIT = 2_000.0  # frames/s on one segment; 0 = no limit


@attrs.define
class TokenBucket:
    """Admits `rate` frames a second, with bursts of BURST_S worth of them. Rate 0 admits all."""

    rate: float
    tokens: float = attrs.field(init=False)
    filled_at: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.tokens = self.capacity

    @property
    def capacity(self) -> float:
        """How many frames may leave at once: at least one round of one VIP."""
        return max(2.0, self.rate * BURST_S)

    def take(self, frames: int, now: float) -> bool:
        """Take `frames` tokens if they are there."""
        if not self.rate:
            return True
        self.tokens = min(self.capacity, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < frames:
            return False
        self.tokens -= frames
        return True

    def ready_at(self, frames: int, now: float) -> float:
        """Return when `take(frames)` will succeed."""
        if not self.rate:
            return now
        # A hair later, so that rounding never asks for one more turn with nothing to send.
        return now + max(0.0, frames - self.tokens) / self.rate + 1e-6


@attrs.define
class _Turn:
    """Where one VIP is in its rounds; `serial` tells stale heap entries apart."""

    serial: int
    round: int
    refresh_s: float


@attrs.define
class Announcer:
    """
    The announcements of one interface.

    `recency` says when a VIP last saw traffic (any monotonic number, higher is later).
    """

    limit: TokenBucket
    rng: Random
    recency: Callable[[Vip], float] = lambda _vip: 0.0
    _turns: dict[Vip, _Turn] = attrs.field(factory=dict)
    _later: list[tuple[float, int, Vip]] = attrs.field(factory=list)
    _ready: list[tuple[int, float, int, Vip]] = attrs.field(factory=list)
    _serials: "itertools.count[int]" = attrs.field(factory=itertools.count)

    def __len__(self) -> int:
        return len(self._turns)

    def start(self, vip: Vip, now: float, refresh_s: float) -> None:
        """Announce `vip` from the first round on, also when it is under way already."""
        turn = _Turn(next(self._serials), 0, refresh_s)
        self._turns[vip] = turn
        heapq.heappush(self._ready, (0, -self.recency(vip), turn.serial, vip))

    def resume(self, vip: Vip, now: float, refresh_s: float) -> None:
        """Go on with the refreshes of a VIP that a herald before us has announced."""
        turn = self._turns[vip] = _Turn(next(self._serials), len(BACKOFF_S) - 1, refresh_s)
        if refresh_s:
            first = now + refresh_s * self.rng.random()
            heapq.heappush(self._later, (first, turn.serial, vip))

    def remind(self, vip: Vip) -> None:
        """Announce `vip` once out of turn; nothing for one whose first rounds are under way."""
        turn, last = self._turns.get(vip), len(BACKOFF_S) - 1
        if turn is None or turn.round < last:
            return
        turn = self._turns[vip] = _Turn(next(self._serials), last, turn.refresh_s)
        heapq.heappush(self._ready, (turn.round, -self.recency(vip), turn.serial, vip))

    def stop(self, vip: Vip) -> None:
        """Say nothing more of `vip`."""
        self._turns.pop(vip, None)

    def restart(self, now: float) -> None:
        """Announce everything anew: the interface came up or has another LLADDR."""
        for vip, turn in list(self._turns.items()):
            self.start(vip, now, turn.refresh_s)

    def due(self, now: float, at_most: int) -> Iterable[Vip]:
        """Yield up to `at_most` VIPs to announce now; each counts as sent."""
        self._collect(now)
        for _ in range(at_most):
            vip = self._head()
            if vip is None or not self.limit.take(frames_of(vip), now):
                return
            heapq.heappop(self._ready)
            self._advance(vip, now)
            yield vip

    def next_due(self, now: float) -> float | None:
        """Return when `due` has something next, or None while nothing is announced."""
        self._collect(now)
        vip = self._head()
        if vip is not None:
            return self.limit.ready_at(frames_of(vip), now)
        return self._later[0][0] if self._later else None

    def _collect(self, now: float) -> None:
        while self._later and (self._later[0][0] <= now or self._is_stale(*self._later[0][1:])):
            _, serial, vip = heapq.heappop(self._later)
            if not self._is_stale(serial, vip):
                entry = (self._turns[vip].round, -self.recency(vip), serial, vip)
                heapq.heappush(self._ready, entry)

    def _head(self) -> Vip | None:
        while self._ready and self._is_stale(*self._ready[0][2:]):
            heapq.heappop(self._ready)
        return self._ready[0][3] if self._ready else None

    def _is_stale(self, serial: int, vip: Vip) -> bool:
        turn = self._turns.get(vip)
        return turn is None or turn.serial != serial

    def _advance(self, vip: Vip, now: float) -> None:
        turn = self._turns[vip]
        turn.round += 1
        if turn.round < len(BACKOFF_S):
            wait = BACKOFF_S[turn.round] - BACKOFF_S[turn.round - 1]
        elif turn.refresh_s:
            wait = turn.refresh_s * self.rng.uniform(1 - REFRESH_JITTER, 1 + REFRESH_JITTER)
        else:
            return
        heapq.heappush(self._later, (now + wait, turn.serial, vip))


def frames_of(vip: Vip) -> int:
    """How many frames one round of `vip` costs: GARP request and reply, or one NA."""
    return 2 if vip.version == 4 else 1
