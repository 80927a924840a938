"""The herald's pulse: every 25 ms the lease is pushed, and a loop that ran late is told on."""

import asyncio
from collections import Counter
from collections.abc import Callable

import attrs

BEAT_S = 0.025  # OWNERSHIP.md 3 and 7
ALONG_S = 0.01  # waited for a push along before one by itself is due
LATE_S = 0.025  # a beat later than this was stopped by something


@attrs.define
class Beat:
    """
    Calls `push` every BEAT_S from `start` to `stop`.

    `counts` gets `loop_late`, beats that came late, and `loop_late_max_ms`, the latest so far.
    Missed beats are not made up for: one push is as good as three. Whoever wakes the loop as often
    anyway calls `push_along` then, which saves this one's own waking.
    """

    push: Callable[[], None]
    counts: "Counter[str]"
    _due: float = 0.0
    _handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Push now, and go on."""
        self._due = asyncio.get_running_loop().time()
        self._beat()

    def stop(self) -> None:
        """Push no more."""
        if self._handle is not None:
            self._handle.cancel()

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        self.note(loop.time() - self._due)
        self.push()
        self._due = max(self._due + BEAT_S, loop.time())
        self._handle = loop.call_at(self._due, self._beat)

    def push_along(self) -> None:
        """Push now, unless that was done half a beat ago or less; the next by itself is later."""
        now = asyncio.get_running_loop().time()
        if self._handle is None or self._due - now > BEAT_S / 2 + ALONG_S:
            return
        self._handle.cancel()
        self.note(now - self._due)
        self.push()
        self._due = now + BEAT_S + ALONG_S
        self._handle = asyncio.get_running_loop().call_at(self._due, self._beat)

    def note(self, late_s: float) -> None:
        """Count a beat that came `late_s` after its time."""
        if late_s > LATE_S:
            self.counts["loop_late"] += 1
            late_ms = int(late_s * 1000)
            self.counts["loop_late_max_ms"] = max(self.counts["loop_late_max_ms"], late_ms)
