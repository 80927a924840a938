"""Durations as Go and so the Kubernetes API spell them: 90s, 1m30s, 500ms."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

from crds.checks import readable_by

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 10**6, "s": 10**9}
_UNITS |= {"m": 60 * 10**9, "h": 3600 * 10**9}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_WHOLE = re.compile(rf"[+-]?(?:0|(?:{_PART})+)")
_PARTS = re.compile(_PART)
_MOST_NS = 2**63 - 1  # Go's time.Duration


def nanoseconds(text: str) -> int:
    """Read a duration; raises ValueError for what Go's time.ParseDuration refuses."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; one looks like 90s or 1m30s")
    total = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _PARTS.findall(text))
    if total > _MOST_NS:
        raise ValueError(f"{text!r} is longer than 292 years")
    return -total if text.startswith("-") else total


check_duration = readable_by(nanoseconds, "duration")
Duration = Annotated[str, AfterValidator(check_duration)]


def duration_text(ns: int) -> str:
    """Spell whole seconds as MetalLB does, 180s; anything else in the unit that is exact."""
    for unit in ("s", "ms", "us"):
        if ns % _UNITS[unit] == 0:
            return f"{ns // _UNITS[unit]}{unit}"
    return f"{ns}ns"
