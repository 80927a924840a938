"""
From three missed beats to a verdict (OWNERSHIP.md 4). Pure: `now` in, steps to carry out, out.

    no case ──three missed, with a witness──> ACCUSED ──20 ms without veto──> DEAD
       │                                       ^   ^                           ^ ^
       │                               witness │   │ witness                   │ │
       ├──three missed, without one──> LONELY ─┘   │                           │ │
       │                                  │        │                           │ │
       │                                  └250 ms> WEAK ──verdict heard┐       │ │
       │                                                               v       │ │
       ├──verdict heard───────────────────────────────────────────> DOUBTED ───┘ │
       │                                                            8 ms         │
       └──it reflects that its lease ended or that it is suspended───────────────┘

    ACCUSED, LONELY, WEAK, DOUBTED ──reflection, veto, answer from its segment──> no case
    DEAD ──reflection of a cell that answers and is not fenced──> no case

DEAD and WEAK are the two sentences: its seats are without a holder. WEAK is spoken by a node that
has nobody to ask, so what it takes then, it gives up at the first sign of the old holder.
"""

import enum
from collections.abc import Callable
from math import inf
from typing import Final

import attrs

from speaker.beats.vigil import LATE_S

VOTE_S: Final = 0.02  # for a veto to come
KNOCK_S: Final = 0.01  # between the two probes of the segment
LONELY_S: Final = 0.25
LOOK_S: Final = 0.025  # between two looks for a witness
LAST_BEAT_S: Final = 0.008
COPIES: Final = 3
COPY_S: Final = 0.005
HEARD_S: Final = 0.05  # whoever has heard the accused so lately vetoes


class Phase(enum.Enum):
    """Where a case stands."""

    ACCUSED = "accused"
    LONELY = "lonely"
    DOUBTED = "doubted"
    WEAK = "weak"
    DEAD = "dead"


EDGES: Final = frozenset(
    {
        (None, Phase.ACCUSED),
        (None, Phase.LONELY),
        (None, Phase.DOUBTED),
        (None, Phase.DEAD),
        (Phase.ACCUSED, Phase.DEAD),
        (Phase.ACCUSED, Phase.DOUBTED),
        (Phase.LONELY, Phase.ACCUSED),
        (Phase.LONELY, Phase.WEAK),
        (Phase.LONELY, Phase.DOUBTED),
        (Phase.LONELY, Phase.DEAD),
        (Phase.WEAK, Phase.ACCUSED),
        (Phase.WEAK, Phase.DOUBTED),
        (Phase.WEAK, Phase.DEAD),
        (Phase.DOUBTED, Phase.DEAD),
        (Phase.ACCUSED, None),
        (Phase.LONELY, None),
        (Phase.DOUBTED, None),
        (Phase.WEAK, None),
        (Phase.DEAD, None),
    }
)


@attrs.frozen
class Ask:
    """Ask up to two other watchers for a veto."""

    node: str
    nonce: int


@attrs.frozen
class Knock:
    """Probe the segment for a VIP of the accused."""

    node: str


@attrs.frozen
class LookForWitness:
    """Probe the segment for its gateway."""


@attrs.frozen
class LastBeat:
    """Send the accused a beat without claim."""

    node: str


@attrs.frozen
class Sentence:
    """The node is dead on the segment, by our own judgement or by that of another."""

    node: str
    weak: bool


@attrs.frozen
class Tell:
    """Tell everybody the verdict, one of three copies."""

    node: str
    nonce: int


@attrs.frozen
class Acquit:
    """A sentenced node is alive."""

    node: str


@attrs.frozen
class Pardon:
    """Somebody heard the accused: its missed beats count from zero."""

    node: str


Step = Ask | Knock | LookForWitness | LastBeat | Sentence | Tell | Acquit | Pardon


@attrs.define
class _Case:
    phase: Phase | None = None
    nonce: int = 0
    until: float = inf  # end of the phase
    next_at: float = inf  # of what is repeated within it
    left: int = 0  # how often
    is_sentenced: bool = False  # WEAK or DEAD was reached

    def turn(self, phase: Phase | None) -> None:
        if (self.phase, phase) not in EDGES:
            raise ValueError(f"a case from {self.phase} to {phase}")
        self.phase = phase


@attrs.define
class Silence:
    """The open cases of one segment. `has_witness(accused, now)` looks whether we are heard."""

    has_witness: Callable[[str, float], bool]
    _cases: dict[str, _Case] = attrs.field(factory=dict)
    _nonce: int = 0

    # --- what is known

    def phase(self, node: str) -> Phase | None:
        """Where the case of a node stands, None without one."""
        case = self._cases.get(node)
        return None if case is None else case.phase

    def is_sentenced(self, node: str) -> bool:
        """Whether its seats are taken for without a holder."""
        case = self._cases.get(node)
        return case is not None and case.is_sentenced

    def accused(self) -> tuple[str, ...]:
        """Everybody with a case."""
        return tuple(self._cases)

    # --- what comes in

    def missed(self, node: str, now: float) -> list[Step]:
        """Three beats in a row were missed."""
        case = self._cases.setdefault(node, _Case())
        if case.phase is not None:
            return []
        if self.has_witness(node, now):
            return self._accuse(node, case, now)
        case.turn(Phase.LONELY)
        case.until, case.next_at = now + LONELY_S, now + LOOK_S
        return [LookForWitness(), Knock(node)]

    def verdict_heard(self, node: str, now: float) -> list[Step]:
        """Another node found it dead: one more beat before we believe it."""
        case = self._cases.setdefault(node, _Case())
        if case.phase in {Phase.DEAD, Phase.DOUBTED}:
            return []
        case.turn(Phase.DOUBTED)
        case.until, case.next_at = now + LAST_BEAT_S, inf
        return [LastBeat(node)]

    def condemned(self, node: str, now: float) -> list[Step]:
        """It reflects that it answers no more."""
        case = self._cases.setdefault(node, _Case())
        if case.phase is Phase.DEAD:
            return []
        return self._sentence(node, case, now, copies=COPIES)

    def reflected(self, node: str) -> list[Step]:
        """A cell that answers and is not fenced was reflected."""
        return self._close(node, pardons=False)

    def vetoed(self, node: str, nonce: int) -> list[Step]:
        """Somebody has heard the accused, by beat."""
        case = self._cases.get(node)
        if case is None or case.phase is not Phase.ACCUSED or case.nonce != nonce:
            return []
        return self._close(node, pardons=True)

    def answered(self, node: str) -> list[Step]:
        """The segment heard the accused: it answered a probe, or it sends beats and is heard."""
        if self.phase(node) in {None, Phase.DEAD}:
            return []
        return self._close(node, pardons=True)

    def _close(self, node: str, *, pardons: bool) -> list[Step]:
        case = self._cases.pop(node, None)
        if case is None:
            return []
        case.turn(None)
        steps: list[Step] = [Pardon(node)] if pardons else []
        return [*steps, Acquit(node)] if case.is_sentenced else steps

    # --- time

    def next_wakeup(self) -> float:
        """When `tick` is due, infinity without a case."""
        return min((min(c.until, c.next_at) for c in self._cases.values()), default=inf)

    def tick(self, now: float) -> list[Step]:
        """What has fallen due."""
        steps: list[Step] = []
        for node, case in list(self._cases.items()):
            if now + 1e-9 >= case.next_at:
                steps += self._again(node, case, now)
            if now + 1e-9 >= case.until:
                steps += self._end(node, case, now)
        return steps

    def _again(self, node: str, case: _Case, now: float) -> list[Step]:
        """What a phase repeats."""
        match case.phase:
            case Phase.ACCUSED:
                case.next_at = inf
                return [Knock(node)]
            case Phase.DEAD:
                case.left -= 1
                case.next_at = now + COPY_S if case.left else inf
                return [Tell(node, case.nonce)]
            case Phase.LONELY | Phase.WEAK if self.has_witness(node, now):
                return self._accuse(node, case, now)
            case _:
                case.next_at = now + LOOK_S
                return [LookForWitness()]

    def _end(self, node: str, case: _Case, now: float) -> list[Step]:
        """The time of a phase is over."""
        if now - case.until > LATE_S:  # what came meanwhile is to be read first
            case.until = now + LAST_BEAT_S
            return []
        match case.phase:
            case Phase.LONELY:
                case.turn(Phase.WEAK)
                case.until, case.next_at, case.is_sentenced = inf, now + LOOK_S, True
                return [Sentence(node, weak=True)]
            case Phase.ACCUSED:
                return self._sentence(node, case, now, copies=COPIES)
            case _:
                return self._sentence(node, case, now, copies=0)

    def _accuse(self, node: str, case: _Case, now: float) -> list[Step]:
        case.turn(Phase.ACCUSED)
        self._nonce += 1
        case.nonce = self._nonce
        case.until, case.next_at = now + VOTE_S, now + KNOCK_S
        return [Ask(node, case.nonce), Knock(node)]

    @staticmethod
    def _sentence(node: str, case: _Case, now: float, *, copies: int) -> list[Step]:
        case.turn(Phase.DEAD)
        case.until, case.is_sentenced = inf, True
        case.left = max(0, copies - 1)
        case.next_at = now + COPY_S if case.left else inf
        told: list[Step] = [Tell(node, case.nonce)] if copies else []
        return [Sentence(node, weak=False), *told]
