"""The simulator in `make test`: random schedules, drawn schedules, and what it has found before."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speaker.herald.core import HeraldCore
from speaker.herald.rules import Rules
from tests.sim.faults import Fault, Kind, draw_fault
from tests.sim.run import Outcome, run_number, run_schedule

NAMES = ("n1", "n2", "n3", "n4", "n5")
RUNS = 60


def told(outcome: Outcome) -> str:
    """What broke, with the schedule: enough to play it again."""
    lines = [*outcome.violations, "schedule:", *outcome.schedule]
    return "\n".join(str(line) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, RUNS, 10))
def test_random_faults_break_no_invariant(first: int) -> None:
    for run in range(first, first + 10):
        outcome = run_number(2026, run, nodes=5)

        assert outcome.violations == (), told(outcome)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Fault, ...]:
    """Up to four faults, each kind as likely as any other; shrinks to few and early ones."""
    faults = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(list(Kind)))
        at = draw(st.integers(0, 80)) / 10
        seed = draw(st.integers(0, 1 << 16))
        faults.append(draw_fault(random.Random(seed), kind, at, NAMES[:3]))
    return tuple(sorted(faults))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(schedule=schedules(), seed=st.integers(0, 1 << 16))
def test_no_schedule_of_three_nodes_breaks_an_invariant(
    schedule: tuple[Fault, ...], seed: int
) -> None:
    outcome = run_schedule(schedule, nodes=3, vips=3, seed=seed)

    assert outcome.violations == (), told(outcome)


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2, 10])
def test_a_ring_of_any_size_settles(nodes: int) -> None:
    outcome = run_schedule((), nodes=nodes, seed=nodes)

    assert outcome.violations == (), told(outcome)
    assert outcome.takes >= 4


def test_the_same_numbers_give_the_same_run() -> None:
    first = run_number(7, 3, nodes=3, trace=True)
    second = run_number(7, 3, nodes=3, trace=True)

    assert first == second
    assert len(first.lines) > 10


@pytest.mark.parametrize(
    ("kind", "duration"),
    [(Kind.KILL, 2.0), (Kind.FREEZE, 2.0), (Kind.AGENT, 10.0), (Kind.LEAVE, 5.0), (Kind.PLAN, 0.0)],
)
def test_what_is_to_be_harmless_harms_nobody(kind: Kind, duration: float) -> None:
    for node in NAMES:
        fault = Fault(1.0, kind, (node,), duration, 0.2 if kind is Kind.PLAN else 0.0)
        outcome = run_schedule((fault,), nodes=5, seed=11)

        assert outcome.violations == (), told(outcome)


# --- found by random runs; docs/explanation/ownership.md says which rule was mended


@pytest.mark.parametrize(
    ("schedule", "seed"),
    [
        pytest.param(
            (Fault(0.5, Kind.MUTE, ("n3",), 1.876),), 5, id="mute_while_it_refutes_a_suspicion"
        ),
        pytest.param(
            (
                Fault(0.5, Kind.LEAVE, ("n1",), 5.1),
                Fault(5.0, Kind.DEAF, ("n4",), 1.3),
            ),
            6,
            id="deaf_while_another_comes_back",
        ),
        pytest.param(
            (Fault(1.0, Kind.CUT, ("n1", "n2"), 12.0),), 5, id="late_verdicts_after_a_healed_cut"
        ),
        pytest.param(
            (
                Fault(1.0, Kind.CUT, ("n4", "n5"), 12.86),
                Fault(6.33, Kind.PLAN, ("n5",), 0.0, 3.0, 3),
            ),
            7,
            id="one_half_never_noticed_the_cut",
        ),
        pytest.param(
            (Fault(1.0, Kind.MUTE, ("n5",), 9.0),), 8, id="mute_holder_hears_that_it_is_replaced"
        ),
        pytest.param(
            (
                Fault(0.5, Kind.KILL, ("n1", "n2", "n3", "n4", "n5"), 0.43),
                Fault(0.8, Kind.CARRIER, ("n2",), 4.36),
                Fault(5.07, Kind.CARRIER, ("n3",), 0.3),
            ),
            9,
            id="all_restart_while_one_has_no_carrier",
        ),
        pytest.param(
            (
                Fault(1.633, Kind.LEAVE, ("n2",), 3.545),
                Fault(1.633, Kind.MUTE, ("n5",), 2.968),
                Fault(1.657, Kind.LEAVE, ("n4",), 3.713),
                Fault(1.687, Kind.FREEZE, ("n5",), 4.0),
            ),
            10,
            id="old_gossip_after_a_stall",
        ),
    ],
)
def test_what_was_found_before_stays_mended(schedule: tuple[Fault, ...], seed: int) -> None:
    outcome = run_schedule(schedule, nodes=5, seed=seed)

    assert outcome.violations == (), told(outcome)


# --- a judge that cannot find anything proves nothing


def broken_rules(schedule: tuple[Fault, ...]) -> set[str]:
    """Names of the invariants that a run breaks."""
    return {violation.rule for violation in run_schedule(schedule, nodes=3, seed=3).violations}


def test_the_judge_sees_two_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "_loses", lambda *args: False)

    assert "one_voice" in broken_rules((Fault(1.0, Kind.CUT, ("n1",), 12.0),))


def test_the_judge_sees_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "_judge_vacant", lambda *args: None)

    assert {"slow_take", "some_voice"} <= broken_rules((Fault(1.0, Kind.CRASH, ("n1",), 1000.0),))


def test_the_judge_sees_a_false_move(monkeypatch: pytest.MonkeyPatch) -> None:
    original = HeraldCore.agent_heard

    def steal(core: HeraldCore, now: float) -> None:
        original(core, now)
        for seat in core._docket.seats.values():
            if core.is_started and now > 12.0 and not seat.mine:
                core._rules.hands.take(seat, "vacant")

    monkeypatch.setattr(HeraldCore, "agent_heard", steal)

    assert "false_move" in broken_rules(())


def test_the_judge_sees_a_restart_that_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeraldCore, "adopt", lambda *args: None)

    found = [broken_rules((Fault(1.0, Kind.KILL, (name,), 1.0),)) for name in NAMES[:3]]
    assert {"harmed"} in found


def test_the_judge_sees_seats_that_are_not_with_their_best_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Rules, "_consider_asking", lambda *args: None)

    assert "agreement" in broken_rules((Fault(1.0, Kind.PLAN, ("n1",), 0.0, 0.0, 5),))
