"""Which trials of which faults on which labs, in which order, and how long they take. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs

from stentor.lab.chaos_figures import Setting, Trial
from stentor.lab.chaos_strike import Fault
from stentor.lab.errors import LabError

# The two that an operator meets most get --trials, the others this part of it: each of those
# trials takes longer, and their figures spread less.
_IN_FULL = frozenset({Fault.HOST_DEATH, Fault.HERALD_KILLED})
_OTHERS_PART = 5
# Whole nodes restart one after the other: minutes each with ten nodes.
_ROLLING_PART = 10
_REFERENCE_PART = 10  # of the other ways of detection, which take seconds each
# Seconds of a trial around the time that detection takes: settling, baseline, restoring. Measured.
AROUND_S = {
    Fault.HOST_DEATH: 6.0,
    Fault.HERALD_KILLED: 3.5,
    Fault.HERALD_STOPPED: 4.0,
    Fault.AGENT_KILLED: 2.5,
    Fault.LINK_CUT: 4.5,
    Fault.PLANNED_LEAVE: 5.5,
    Fault.ROLLING_RESTART: 4.0,
    Fault.ROLLING_UPGRADE: 10.0,
}
# For each node; an upgrade starts each three times, and waits until it may hold.
_ROLLING_NODE_S = {Fault.ROLLING_RESTART: 3.0, Fault.ROLLING_UPGRADE: 16.0}
_LOADED_TIMES = 2.0  # as long with busy loops, which mostly slow down what starts
_NODE_TIMES = 0.07  # longer for each node beyond three
_START_S, _START_NODE_S = 4.0, 1.5  # of a lab
DETECTS_S = {"memberlist": 6.0, "beats": 0.1}
_LEASE_S = 3.0  # OWNERSHIP.md, 7


@attrs.frozen
class Job:
    """One trial to be done; `number` counts from 0 within setting and fault."""

    setting: Setting
    fault: Fault
    number: int


def counts(given: str, faults: Sequence[Fault]) -> dict[Fault, int]:
    """
    Trials of each fault, from "100", "host-death=100,link-cut=20" or "100,link-cut=50".

    A plain number is for the faults in _IN_FULL, a part of it for the others; without one only the
    faults that are named are done. Raises LabError.
    """
    plain = 0
    named: dict[Fault, int] = {}
    for part in given.split(","):
        name, equals, text = part.rpartition("=")
        if not text.isdecimal() or not int(text):
            raise LabError(f"{text!r} trials, need a number from 1 on, or FAULT=NUMBER")
        if equals:
            [fault] = chosen("fault", name, list(Fault))
            named[fault] = int(text)
        else:
            plain = int(text)
    chosen_counts = {fault: named.get(fault, part_of(plain, fault)) for fault in faults}
    return {fault: count for fault, count in chosen_counts.items() if count}


def part_of(trials: int, fault: Fault) -> int:
    """How many trials of a fault go with `trials` of the most important ones."""
    if fault in _IN_FULL:
        return trials
    return math.ceil(trials / (_ROLLING_PART if fault.is_rolling else _OTHERS_PART))


def chosen(what: str, given: str | None, known: Sequence[Fault]) -> list[Fault]:
    """The faults in a comma-separated list, all by default. Raises LabError."""
    return [Fault(name) for name in names(what, given, [str(fault) for fault in known])]


def names(what: str, given: str | None, known: Sequence[str]) -> list[str]:
    """The names in a comma-separated list, all by default. Raises LabError for an unknown one."""
    listed = list(dict.fromkeys(given.split(","))) if given else list(known)
    for name in listed:
        if name not in known:
            raise LabError(f"no {what} {name!r}; there are {', '.join(known)}")
    return listed


def numbers(what: str, given: str, least: int, most: int) -> list[int]:
    """The numbers in a comma-separated list, each once. Raises LabError for what is none."""
    listed = list(dict.fromkeys(given.split(",")))
    for text in listed:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise LabError(f"{text!r} {what}, need {least} to {most}, or some with commas")
    return [int(text) for text in listed]


def jobs(settings: Sequence[Setting], trials: Mapping[Fault, int]) -> list[Job]:
    """
    All trials, one setting after the other; within one the faults take turns, so that drift of the
    machine hits all of them.

    The first setting's way of detection is measured in full; others are what it is compared with.
    Only with beats may a node hold on, as an upgrade does.
    """
    planned: list[Job] = []
    for setting in settings:
        is_reference = setting.detect != settings[0].detect
        part = _REFERENCE_PART if is_reference else 1
        wanted = {
            fault: math.ceil(count / part)
            for fault, count in trials.items()
            if fault is not Fault.ROLLING_UPGRADE or setting.detect == "beats"
        }
        rounds = max(wanted.values(), default=0)
        for turn in range(rounds):
            for fault, count in wanted.items():
                number = turn * count // rounds
                if (turn + 1) * count // rounds > number:
                    planned.append(Job(setting, fault, number))
    return planned


def left(planned: Iterable[Job], done: Iterable[Trial]) -> list[Job]:
    """The jobs that no trial has measured yet; one that failed is to be done again."""
    measured = {(t.setting, t.fault, t.number) for t in done if not t.problem}
    return [job for job in planned if (job.setting, job.fault, job.number) not in measured]


def estimate_s(job: Job, done: Sequence[Trial]) -> float:
    """How long one trial will take: as long as those done like it, else what was measured once."""
    like = [
        trial.took_s
        for trial in done
        if trial.setting == job.setting and trial.fault == job.fault and not trial.problem
    ]
    if like:
        return sum(like) / len(like)
    setting, fault = job.setting, job.fault
    around_s = AROUND_S[fault]
    around_s += _ROLLING_NODE_S.get(fault, 0.0) * setting.nodes
    around_s *= 1 + _NODE_TIMES * max(0, setting.nodes - 3)
    if setting.load:
        around_s *= _LOADED_TIMES
    if fault is Fault.PLANNED_LEAVE or not fault.moves_vips:
        return around_s
    detects_s = DETECTS_S[setting.detect]
    return around_s + max(detects_s, _LEASE_S if fault is Fault.HERALD_STOPPED else 0.0)


def total_s(planned: Sequence[Job], done: Sequence[Trial]) -> float:
    """How long all of `planned` will take, with the start of a lab for each setting."""
    starts = sum(_START_S + _START_NODE_S * one.nodes for one in {job.setting for job in planned})
    return starts + sum(estimate_s(job, done) for job in planned)
