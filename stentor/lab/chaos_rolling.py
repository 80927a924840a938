"""Faults of a whole lab: its nodes restart, or are upgraded, one after the other."""

import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from stentor.lab import variant, views
from stentor.lab.chaos_bench import Bench, TrialFailed
from stentor.lab.chaos_strike import Fault
from stentor.lab.lab import STOP_WITHIN_S, Lab
from stentor.lab.topology import Host

HOLD = ("--on-stop", "hold")
_MAY_HOLD_WITHIN_S = 30.0
_POLL_S = 0.1


def prepare(bench: Bench, fault: Fault) -> None:
    """Bring the nodes to where such a fault begins. Raises TrialFailed and LabError."""
    if fault is not Fault.ROLLING_UPGRADE:
        return
    build_of(bench.lab)  # it takes longer than a lease
    holding = _holding(bench.lab)
    for node in bench.lab.topology.nodes:
        _exchange(bench, node, holding)
    for node in bench.lab.topology.nodes:
        _await_hold(bench.lab, node)


def roll(bench: Bench, fault: Fault, first: Host) -> None:
    """Each node in its turn; `first` was just told to stop. Raises TrialFailed and LabError."""
    is_upgrade = fault is Fault.ROLLING_UPGRADE
    target = _other_build(bench.lab) if is_upgrade else bench.lab
    for node in _from(first, bench.lab):
        if is_upgrade and node != first:
            _await_hold(bench.lab, node)
        _exchange(bench, node, target)


def back(bench: Bench, fault: Fault) -> None:
    """From the other build back to ours, held on as well. Raises TrialFailed and LabError."""
    if fault is not Fault.ROLLING_UPGRADE:
        return
    for node in bench.lab.topology.nodes:
        _await_hold(bench.lab, node)
        _exchange(bench, node, bench.lab)


def _exchange(bench: Bench, node: Host, target: Lab) -> None:
    """Stop the speaker of a node where it still runs, and start that of `target`."""
    speaker = bench.lab.speaker(node)
    if speaker is not None:
        speaker.stop(STOP_WITHIN_S)
    target.start_speaker(node)
    bench.settle()


def _from(first: Host, lab: Lab) -> Iterator[Host]:
    yield first
    yield from (node for node in lab.topology.nodes if node != first)


def _holding(lab: Lab) -> Lab:
    return attrs.evolve(lab, speaker_flags=(*lab.speaker_flags, *HOLD))


def _other_build(lab: Lab) -> Lab:
    """The lab with a build whose map layout differs, made once for as long as it stands."""
    return attrs.evolve(_holding(lab), build=build_of(lab))


def build_of(lab: Lab) -> Path:
    """Where the other build of a lab is. Raises LabError when it cannot be made."""
    target = lab.directory / "variant"
    return target if target.is_dir() else variant.build(target)


def _await_hold(lab: Lab, node: Host) -> None:
    """Wait until a stop would hold: the others say that the node's program reflects their beats."""
    deadline = time.monotonic() + _MAY_HOLD_WITHIN_S
    while (view := views.view(lab, node)) is None or view.hold_refusal:
        if time.monotonic() > deadline:
            why = view.hold_refusal if view is not None else "its herald is silent"
            raise TrialFailed(
                f"{node.name} may not hold on within {_MAY_HOLD_WITHIN_S:.0f} s: {why}"
            )
        time.sleep(_POLL_S)
