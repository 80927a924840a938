"""
Whom this node watches by beats, and who has fallen silent (OWNERSHIP.md 3). Pure: `now` in.

                 8 in a row             missed             third missed
    UNPROVEN ─────────────────> HEARD ─────────> MISSING ──────────────> SILENT
        ^                         ^                 │ ^                    │ │
        │                         ├────reflected────┘ └──────pardoned──────┘ │
        │                         └───────────────────reflected──────────────┤
        └───────────────────────────doubted (HEARD, MISSING, SILENT)─────────┘

Only who was HEARD can go missing: a node that has not reflected is judged by memberlist alone.
"""

import enum
from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import sha256
from math import inf
from typing import Final

import attrs

BEAT_S: Final = 0.025
REPLY_S: Final = 0.008  # a third beat without a reflection for so long is missed
MISSES: Final = 3
PROOF: Final = 8  # reflections in a row, until a node is judged by beats
WATCHED: Final = 3
LATE_S: Final = 0.008  # our own loop: what it could not look at in time counts for nothing
RECENT_S: Final = 2 * BEAT_S + REPLY_S  # who was heard so lately is a witness
GREET_S: Final = 1.0  # between beats to a node that has never reflected
WINDOW: Final = 16  # a reflection of a beat older than so many says nothing of today
WIDE_S: Final = 0.5  # after a silence more of the ring is beaten for so long
WIDE: Final = 16  # of hundreds these are enough to tell our own isolation from dead neighbours


class Standing(enum.Enum):
    """What beats tell of a node."""

    UNPROVEN = "unproven"
    HEARD = "heard"
    MISSING = "missing"
    SILENT = "silent"


EDGES: Final = frozenset(
    {
        (Standing.UNPROVEN, Standing.HEARD),
        (Standing.HEARD, Standing.MISSING),
        (Standing.MISSING, Standing.HEARD),
        (Standing.MISSING, Standing.SILENT),
        (Standing.SILENT, Standing.HEARD),
        (Standing.SILENT, Standing.MISSING),
        (Standing.HEARD, Standing.UNPROVEN),
        (Standing.MISSING, Standing.UNPROVEN),
        (Standing.SILENT, Standing.UNPROVEN),
    }
)


@lru_cache(maxsize=4096)
def place_of(node: str) -> bytes:
    """Where a node stands on the ring."""
    return sha256(node.encode()).digest()


def ring_after(own: str, nodes: Iterable[str], count: int = WATCHED) -> tuple[str, ...]:
    """The next `count` of `nodes` after `own` on the ring ordered by SHA-256 of the name."""
    here = place_of(own)
    after = sorted(set(nodes) - {own}, key=lambda n: (place_of(n) <= here, place_of(n)))
    return tuple(after[:count])


def watchers_of(accused: str, nodes: Collection[str]) -> tuple[str, ...]:
    """Which of `nodes` watch the accused, nearest on the ring first: those just before it."""
    return ring_after(accused, nodes, len(nodes))[: -WATCHED - 1 : -1]


@attrs.define
class Watchee:
    """One node that is sent beats."""

    node: str
    standing: Standing = Standing.UNPROVEN
    in_a_row: int = 0
    missed: int = 0
    heard_at: float = -inf
    seq: int = 0  # of the last beat sent to it
    sent_at: float = -inf
    is_awaited: bool = False
    next_at: float = -inf  # no beat before

    def turn(self, standing: Standing) -> None:
        """Go along an edge of the diagram; any other is a bug."""
        if standing is not self.standing:
            if (self.standing, standing) not in EDGES:
                raise ValueError(f"{self.node}: {self.standing} to {standing}")
            self.standing = standing


@attrs.define
class Vigil:
    """
    Beats to the nodes we watch, and what their reflections, or the lack of them, tell.

    `tick` returns whom to send a beat (with its seq) and who has fallen silent.
    """

    own: str
    watchees: dict[str, Watchee] = attrs.field(factory=dict)
    _known: frozenset[str] = frozenset()
    _kept: frozenset[str] = frozenset()  # watched whatever the ring says: fenced or holding
    _seq: int = 0
    _send_at: float = -inf
    _check_at: float = inf
    _wide_until: float = -inf
    _is_wide: bool = False  # chosen so, and to be chosen anew when that is over

    # --- whom

    def follow(self, known: Collection[str], kept: Collection[str], now: float) -> None:
        """`known` share our segment; `kept` are beaten whatever their place on the ring."""
        known, kept = frozenset(known), frozenset(kept)
        if (known, kept) != (self._known, self._kept):
            self._known, self._kept = known, kept
            self._choose(now)

    def _choose(self, now: float) -> None:
        wanted = {*ring_after(self.own, self._known), *self._kept}
        self._is_wide = now < self._wide_until
        if self._is_wide:
            wanted |= {*ring_after(self.own, self._known, WIDE)}
        wanted.discard(self.own)
        for node in self.watchees.keys() - wanted:
            del self.watchees[node]
        for node in sorted(wanted - self.watchees.keys()):
            self.watchees[node] = Watchee(node)
        if not self.watchees:
            self._check_at = inf

    # --- time

    def next_wakeup(self) -> float:
        """When `tick` is due; infinity without anybody to watch."""
        return min(self._send_at, self._check_at) if self.watchees else inf

    def tick(self, now: float) -> tuple[list[tuple[str, int]], list[str]]:
        """Beats to send now as (node, seq), and the nodes that have just fallen silent."""
        silent = self._check(now) if now + 1e-9 >= self._check_at else []
        beats = self._send(now) if self.watchees and now + 1e-9 >= self._send_at else []
        return beats, silent

    def _check(self, now: float) -> list[str]:
        is_late = now - self._check_at > LATE_S
        self._check_at = inf
        silent = []
        for watchee in self.watchees.values():
            if not watchee.is_awaited:
                continue
            watchee.is_awaited = False
            if not is_late and self._miss(watchee):
                silent.append(watchee.node)
        if silent:
            self._wide_until = now + WIDE_S
            self._choose(now)
        return silent

    @staticmethod
    def _miss(watchee: Watchee) -> bool:
        """Count a missed beat; returns whether it made the node silent."""
        watchee.in_a_row = 0
        match watchee.standing:
            case Standing.HEARD:
                watchee.missed = 1
                watchee.turn(Standing.MISSING)
            case Standing.MISSING:
                watchee.missed += 1
                if watchee.missed >= MISSES:
                    watchee.turn(Standing.SILENT)
                    return True
            case _:
                pass
        return False

    def _send(self, now: float) -> list[tuple[str, int]]:
        is_late = now - self._send_at > LATE_S
        self._send_at = now + BEAT_S if is_late else self._send_at + BEAT_S
        if self._is_wide and self._wide_until <= now:
            self._choose(now)
        self._seq = (self._seq + 1) & 0xFFFF_FFFF
        beats = []
        for watchee in self.watchees.values():
            if now + 1e-9 < watchee.next_at:
                continue
            is_strange = watchee.standing is Standing.UNPROVEN and not watchee.in_a_row
            watchee.next_at = now + GREET_S if is_strange and now >= self._wide_until else now
            watchee.seq, watchee.is_awaited = self._seq, True
            watchee.sent_at = now
            beats.append((watchee.node, self._seq))
        # Only a third miss decides anything: while nobody misses any, looking when the next beat
        # is sent is early enough, and saves one waking of two.
        is_missing = any(w.standing is Standing.MISSING for w in self.watchees.values())
        self._check_at = now + REPLY_S if is_missing else self._send_at
        return beats

    # --- what comes back

    def reflected(self, node: str, seq: int, now: float, *, vouched: bool = False) -> bool:
        """
        A verified reflection came; returns whether it ends a silence.

        `vouched`: others know the node to reflect, so that one reflection to us is proof enough.
        """
        watchee = self.watchees.get(node)
        if watchee is None or (behind := (watchee.seq - seq) & 0xFFFF_FFFF) >= WINDOW:
            return False
        # It may have waited in a socket: the node lived when its beat was sent, so long ago.
        watchee.heard_at = max(watchee.heard_at, min(now, watchee.sent_at - behind * BEAT_S))
        watchee.missed = 0
        watchee.is_awaited = watchee.is_awaited and seq != watchee.seq
        watchee.in_a_row = min(watchee.in_a_row + 1, PROOF)
        watchee.next_at = -inf
        was_silent = watchee.standing is Standing.SILENT
        if watchee.standing is not Standing.UNPROVEN or vouched or watchee.in_a_row >= PROOF:
            watchee.turn(Standing.HEARD)
        return was_silent

    def refused(self, node: str) -> bool:
        """A beat was answered by an error: as much as three missed; whether that made a silence."""
        watchee = self.watchees.get(node)
        if watchee is None or watchee.standing not in {Standing.HEARD, Standing.MISSING}:
            return False
        watchee.in_a_row, watchee.missed, watchee.is_awaited = 0, MISSES, False
        watchee.turn(Standing.MISSING)
        watchee.turn(Standing.SILENT)
        return True

    def pardon(self, node: str) -> None:
        """Somebody else hears the node: count from zero."""
        watchee = self.watchees.get(node)
        if watchee is not None and watchee.standing is Standing.SILENT:
            watchee.missed, watchee.is_awaited = 0, False
            watchee.turn(Standing.MISSING)

    def doubt(self, node: str) -> None:
        """The node acts and yet does not reflect (any more): it has to prove itself again."""
        watchee = self.watchees.get(node)
        if watchee is not None:
            watchee.in_a_row = watchee.missed = 0
            watchee.turn(Standing.UNPROVEN)

    def standing(self, node: str) -> Standing:
        """What is known of a node; UNPROVEN for one that is not watched."""
        watchee = self.watchees.get(node)
        return Standing.UNPROVEN if watchee is None else watchee.standing

    def heard_within(self, node: str, within_s: float, now: float) -> bool:
        """Whether the node has reflected so lately."""
        watchee = self.watchees.get(node)
        return watchee is not None and now - watchee.heard_at <= within_s

    def has_witness(self, now: float, *, besides: str = "") -> bool:
        """Whether somebody else answers us on the segment, there and back."""
        return any(
            now - watchee.heard_at <= RECENT_S
            for watchee in self.watchees.values()
            if watchee.node != besides
        )

    def reflecting(self) -> tuple[str, ...]:
        """Who is proven to reflect, for our facts."""
        proven = (w.node for w in self.watchees.values() if w.in_a_row >= PROOF)
        return tuple(sorted(proven))
