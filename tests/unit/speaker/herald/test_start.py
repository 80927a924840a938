"""What a herald looks at when it starts: privileges, modules, lateness."""

from collections import Counter
from typing import Any

import pytest

from speaker.herald.beat import LATE_S, Beat
from speaker.herald.capabilities import NEEDED, missing
from speaker.herald.lean import keep_out

ALL = sum(1 << bit for bit in NEEDED.values())


def status(effective: int) -> str:
    return f"Name:\tpython\nCapPrm:\t{0:016x}\nCapEff:\t{effective:016x}\n"


def test_all_that_is_needed_is_enough() -> None:
    assert missing(status(ALL)) == ()


@pytest.mark.parametrize("name", NEEDED)
def test_each_missing_capability_is_named(name: str) -> None:
    assert missing(status(ALL & ~(1 << NEEDED[name]))) == (name,)


def test_sys_admin_includes_bpf_and_perfmon() -> None:
    without = ALL & ~(1 << NEEDED["CAP_BPF"]) & ~(1 << NEEDED["CAP_PERFMON"])

    assert missing(status(without | 1 << 21)) == ()


def test_what_is_loaded_already_is_not_kept_out() -> None:
    modules: dict[str, Any] = {"ssl": "loaded"}

    keep_out(modules)

    assert modules == {"ssl": "loaded", "typing_extensions": None}


def test_a_late_beat_is_counted_and_the_latest_remembered() -> None:
    counts: Counter[str] = Counter()
    beat = Beat(lambda: None, counts)

    for late_s in (0.0, LATE_S, 0.2, 0.1):
        beat.note(late_s)

    assert counts == {"loop_late": 2, "loop_late_max_ms": 200}
