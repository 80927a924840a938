"""What the figures have to be, and whether they are. Pure."""

from collections.abc import Callable, Sequence

import attrs

from stentor.lab.chaos_figures import Row, Setting, Trial, percentile
from stentor.lab.chaos_strike import Fault

LEASE_MS = 3000.0  # OWNERSHIP.md, 7
_MISSING = "-"


@attrs.frozen
class Aim:
    """One figure of the trials of some faults, and the most that it may be."""

    faults: frozenset[Fault]
    name: str
    most: float
    figure: Callable[[Sequence[Trial]], float | None]


def _first_frame(percent: float) -> Callable[[Sequence[Trial]], float | None]:
    def figure(trials: Sequence[Trial]) -> float | None:
        times = [ms for trial in trials if (ms := trial.first_ms) is not None]
        return percentile(times, percent) if times else None

    return figure


def _sum(count: Callable[[Trial], int]) -> Callable[[Sequence[Trial]], float | None]:
    return lambda trials: float(sum(map(count, trials)))


_DEATHS = frozenset({Fault.HOST_DEATH, Fault.LINK_CUT})
_FROZEN = frozenset({Fault.HERALD_STOPPED})
# A move breaks the connections of that moment; a question has an answer all the same.
_UNNOTICED = frozenset(f for f in Fault if not f.moves_vips) | {Fault.PLANNED_LEAVE}
_UNMOVED = frozenset(f for f in Fault if not f.moves_vips and not f.may_move_any)


def aims(setting: Setting) -> tuple[Aim, ...]:
    """The aims for labs of that shape."""
    has_witness = setting.router or setting.nodes > 2
    middle_ms, late_ms = (100.0, 150.0) if has_witness else (400.0, 400.0)
    return (
        Aim(_DEATHS, "first frame P50, ms", middle_ms, _first_frame(50)),
        Aim(_DEATHS, "first frame P99, ms", late_ms, _first_frame(99)),
        Aim(_FROZEN, "first frame MAX, ms", LEASE_MS + 100.0, _first_frame(100)),
        Aim(_UNMOVED, "requests lost", 0.0, _sum(lambda t: sum(h.lost for h in t.http))),
        Aim(_UNNOTICED, "questions unanswered", 0.0, _sum(lambda t: t.unanswered)),
        Aim(_UNMOVED, "VIPs moved", 0.0, _sum(lambda t: len(t.strayed))),
        Aim(frozenset(Fault), "frames beyond One voice", 0.0, _sum(lambda t: t.broke_beyond)),
    )


def aims_table(trials: Sequence[Trial]) -> list[Row]:
    """One row per setting, fault and aim: what it may be, what it was, whether it was met."""
    rows: list[Row] = [("NODES", "LOAD", "FAULT", "FIGURE", "TRIALS", "MOST", "SEEN", "MET")]
    for setting in dict.fromkeys(t.setting for t in trials if t.setting.detect == "beats"):
        for fault in Fault:
            done = [t for t in trials if (t.setting, t.fault) == (setting, fault) and not t.problem]
            for aim in aims(setting):
                if fault in aim.faults and done:
                    where = (str(setting.nodes), str(setting.load), str(fault), aim.name)
                    rows.append((*where, str(len(done)), *_met(aim, done)))
    return rows


def _met(aim: Aim, done: Sequence[Trial]) -> Row:
    seen = aim.figure(done)
    if seen is None:
        return f"{aim.most:g}", _MISSING, "no"
    return f"{aim.most:g}", f"{seen:.5g}", "yes" if seen <= aim.most else "no"
