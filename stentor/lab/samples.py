"""What the client's questions tell: how many were lost, for how long, and who answered."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import attrs
import msgspec

from stentor.lab.probe import Sample


@attrs.frozen
class Tally:
    """The questions of a span of time. `gap_s`: longest time between two questions answered."""

    asked: int
    lost: int
    gap_s: float
    by: tuple[str, ...]  # who answered, in order of first appearance
    p50_s: float = 0.0


def read(path: Path) -> list[Sample]:
    """All whole lines that a probe has written so far."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [msgspec.json.decode(line, type=Sample) for line in lines]


def tally(samples: Iterable[Sample], since: float, until: float) -> Tally:
    """
    Count what was asked from `since` to `until`, both in CLOCK_MONOTONIC seconds.

    A gap may begin with the last answer before `since` and end with the first one after `until`;
    where there is no such answer it begins or ends there, but not before the first question.
    """
    listed = list(samples)
    began = listed[0].asked_at if listed else since
    asked = [sample for sample in listed if since <= sample.asked_at <= until]
    answered = [sample for sample in asked if sample.by]
    took = sorted(sample.took_s for sample in answered)
    return Tally(
        asked=len(asked),
        lost=len(asked) - len(answered),
        gap_s=_longest_gap([s.asked_at for s in listed if s.by], max(since, began), until),
        by=tuple(dict.fromkeys(sample.by for sample in answered)),
        p50_s=took[len(took) // 2] if took else 0.0,
    )


def _longest_gap(answered_at: Sequence[float], since: float, until: float) -> float:
    before = [at for at in answered_at if at < since][-1:] or [since]
    within = [at for at in answered_at if since <= at <= until]
    after = [at for at in answered_at if at > until][:1] or [until]
    return max(late - early for early, late in pairwise([*before, *within, *after]))


def first_answer(samples: Iterable[Sample], since: float, *, not_by: str) -> Sample | None:
    """The first question asked from `since` on that somebody else than `not_by` answered."""
    for sample in samples:
        if sample.asked_at >= since and sample.by not in {"", not_by}:
            return sample
    return None
