"""
When to try native XDP out, and what came of it (`--xdp-mode auto`). Pure: `now` in, steps out.

            a peer hears our reflections there, nobody is on trial
    IDLE ─────────────────────────────────────────────────────────> ANNOUNCED
     ^ ^                                                             │    │
     │ └─── a name that hashes lower is on trial too, or no longer ──┘    │ ANNOUNCE_S in which
     │      a candidate                                                   │ nobody else is
     │                                                                    v
     └────── LINGER_S ────── LINGERING <── proven, or not in TRY_S ─── TRYING

From ANNOUNCED to LINGERING everybody knows that missing reflections mean nothing. One interface of
one node in the ring at a time, since attaching may reset the rings of a NIC.
"""

import enum
from collections.abc import Collection, Iterable
from hashlib import sha256
from math import inf
from typing import Final

import attrs

from speaker.dataplane import HeardBeat

LOOK_S: Final = 1.0  # between looks for somebody to try
ANNOUNCE_S: Final = 2.2  # two more hellos after the first: all have heard one
SETTLE_S: Final = 0.1  # a beat that says "heard" may be of so long ago (vigil.RECENT_S)
PROOF: Final = 8  # beats of one peer in a row that say so
TRY_S: Final = 3.0  # a driver may take its link down and up
LINGER_S: Final = 0.5  # reflections are back before our word goes
RETRY_S: Final = 300.0  # after a trial that proved nothing; doubled each time
RETRY_MAX_S: Final = 3600.0


class Phase(enum.Enum):
    """Where a trial stands."""

    IDLE = "idle"
    ANNOUNCED = "announced"
    TRYING = "trying"
    LINGERING = "lingering"


EDGES: Final = frozenset(
    {
        (Phase.IDLE, Phase.ANNOUNCED),
        (Phase.ANNOUNCED, Phase.IDLE),
        (Phase.ANNOUNCED, Phase.TRYING),
        (Phase.TRYING, Phase.LINGERING),
        (Phase.LINGERING, Phase.IDLE),
    }
)


class Step(enum.Enum):
    """What is to be done with the interface on trial."""

    BEGIN = "begin"
    PROVE = "prove"
    GIVE_UP = "give_up"


@attrs.frozen
class Seen:
    """What the machine looks at."""

    candidates: Collection[int]  # interfaces that lack a proof
    others: Collection[str]  # names of live peers on trial
    heard: Iterable[HeardBeat] = ()  # the last few ms' beats to `Trial.ifindex`


@attrs.define
class Trial:
    """The trials of one node. After BEGIN call `begun`, after PROVE `proven`, else `failed`."""

    node: str
    phase: Phase = Phase.IDLE
    ifindex: int = 0  # of the trial under way, or considered next
    _since: float = -inf
    _not_before: dict[int, tuple[float, float]] = attrs.field(factory=dict)  # when, its back-off
    _rows: dict[int, tuple[int, int]] = attrs.field(factory=dict)  # sender: sent_ns, in a row

    @property
    def is_announced(self) -> bool:
        """Whether everybody is to know."""
        return self.phase is not Phase.IDLE

    def consider(self, candidates: Collection[int], now: float) -> bool:
        """In IDLE: choose the next interface, as `ifindex`; whether there is any to try by now."""
        for gone in self._not_before.keys() - set(candidates):
            del self._not_before[gone]
        due = [n for n in candidates if self._not_before.get(n, (-inf, 0.0))[0] <= now]
        if due:  # the one after the last: an interface without peers does not block others
            self.ifindex = min((n for n in due if n > self.ifindex), default=min(due))
        return bool(due)

    def tick(self, seen: Seen, now: float) -> Step | None:
        """One look; what is to be done, if anything."""
        match self.phase:
            case Phase.IDLE:
                if not seen.others and any(beat.hears for beat in seen.heard):
                    self._turn(Phase.ANNOUNCED, now)
            case Phase.ANNOUNCED:
                return self._wait(seen, now)
            case Phase.TRYING:
                if self._is_proven(seen.heard, now):
                    return Step.PROVE
                if now - self._since > TRY_S:
                    return Step.GIVE_UP
            case Phase.LINGERING:
                if now - self._since >= LINGER_S:
                    self._turn(Phase.IDLE, now)
        return None

    def _wait(self, seen: Seen, now: float) -> Step | None:
        if self.ifindex not in seen.candidates or any(
            _place(name) < _place(self.node) for name in seen.others
        ):
            self._turn(Phase.IDLE, now)
        elif seen.others:  # they yield, or end: from then on
            self._since = now
        elif now - self._since >= ANNOUNCE_S:
            self._turn(Phase.TRYING, now)
            self._rows.clear()
            return Step.BEGIN
        return None

    def begun(self, now: float) -> None:
        """It stands: count from here."""
        self._since = now

    def proven(self, now: float) -> None:
        """Native XDP stands for good."""
        self._turn(Phase.LINGERING, now)

    def failed(self, now: float) -> None:
        """It could not be put on, or has gone, or proved nothing: not again for a while."""
        _, waited_s = self._not_before.get(self.ifindex, (0.0, RETRY_S / 2))
        wait_s = min(2 * waited_s, RETRY_MAX_S)
        self._not_before[self.ifindex] = (now + wait_s, wait_s)
        self._turn(Phase.LINGERING, now)

    def _is_proven(self, heard: Iterable[HeardBeat], now: float) -> bool:
        if now - self._since < SETTLE_S:
            return False
        for beat in heard:
            last_ns, in_a_row = self._rows.get(beat.sender, (0, 0))
            if beat.sent_ns != last_ns:
                self._rows[beat.sender] = beat.sent_ns, in_a_row + 1 if beat.hears else 0
        return any(in_a_row >= PROOF for _, in_a_row in self._rows.values())

    def _turn(self, phase: Phase, now: float) -> None:
        if (self.phase, phase) not in EDGES:
            raise ValueError(f"trial of interface {self.ifindex}: {self.phase} to {phase}")
        self.phase, self._since = phase, now


def _place(node: str) -> bytes:
    return sha256(node.encode()).digest()
