"""Stop with hold: nobody notices one that ends in time, and one that does not ends at once."""

import random

import pytest

from speaker.herald.holding import HOLD_S
from speaker.herald.sentries import Sentries
from tests.sim.faults import NEVER, Fault, Kind, draw_schedule
from tests.sim.run import Outcome, run_schedule

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6", "n7")
SOON_S = 0.2


def play(*faults: Fault, nodes: int, seed: int = 4) -> Outcome:
    """A run that broke nothing."""
    outcome = run_schedule(tuple(sorted(faults)), nodes=nodes, vips=6, seed=seed)
    assert outcome.violations == (), "\n".join(map(str, outcome.violations))
    return outcome


def hold(name: str, at: float = 1.0, duration: float = 12.0) -> Fault:
    return Fault(at, Kind.HOLD, (name,), duration)


@pytest.mark.parametrize(("nodes", "duration"), [(2, 0.5), (3, 27.0), (7, 12.0)])
def test_a_hold_that_ends_in_time_moves_no_vip_and_silences_none(
    nodes: int, duration: float
) -> None:
    """
    Twelve seconds suffice for memberlist to call the node dead; of seven some do not watch it.

    The judge finds every move and every silence, see its _HARMLESS.
    """
    for name in NAMES[:nodes:2]:
        assert play(hold(name, duration=duration), nodes=nodes).worst_silence == 0.0


def test_the_seats_of_a_hold_without_return_are_taken_when_it_ends() -> None:
    found = [play(hold(name, duration=NEVER), nodes=3).worst_silence for name in NAMES[:2]]

    assert 0.0 < max(found) < SOON_S


def test_a_late_return_finds_its_seats_taken() -> None:
    for name in NAMES[:2]:
        assert play(hold(name, duration=HOLD_S + 4.0), nodes=3).worst_silence < SOON_S


def test_a_host_that_dies_in_its_hold_is_replaced_as_any_dead_host() -> None:
    for at in (2.0, 9.0):
        found = [
            play(hold(name), Fault(at, Kind.CRASH, (name,), NEVER), nodes=3).worst_silence
            for name in NAMES[:3]
        ]

        assert 0.05 < max(found) < SOON_S


def test_while_one_holds_the_death_of_another_is_noticed_as_soon_as_ever() -> None:
    for name, other in (("n1", "n2"), ("n2", "n3"), ("n3", "n1")):
        faults = (hold(name, duration=6.0), Fault(3.0, Kind.CRASH, (other,), NEVER))

        assert play(*faults, nodes=4).worst_silence < 2 * SOON_S


def test_all_nodes_may_hold_at_once() -> None:
    everybody = Fault(1.0, Kind.HOLD, NAMES[:3], 9.0)

    assert play(everybody, nodes=3).worst_silence == 0.0


def test_a_rolling_restart_with_hold_moves_nothing() -> None:
    outcome = play(*(hold(n, 1.0 + 3.0 * i, 2.0) for i, n in enumerate(NAMES[:3])), nodes=3)

    assert (outcome.worst_silence, outcome.false_moves) == (0.0, 0)


def test_without_beats_a_stop_hands_over_whatever_was_asked() -> None:
    """memberlist would take the node for dead, and others its seats, while it still answers."""
    for name in NAMES[:3]:
        outcome = run_schedule((hold(name),), nodes=3, vips=6, seed=4, beats=False)

        assert {v.rule for v in outcome.violations} <= {"harmed"}  # moved, but by consent
        assert outcome.false_moves == 0


@pytest.mark.parametrize("run", range(6))
def test_whatever_else_happens_a_hold_breaks_nothing(run: int) -> None:
    rng = random.Random(f"hold/{run}")
    names = NAMES[: rng.choice((2, 3, 5))]
    faults = draw_schedule(rng, names)
    name, at = rng.choice(names), rng.uniform(0.0, 6.0)

    play(*faults, hold(name, at, rng.choice((0.5, 4.0, 20.0, 34.0))), nodes=len(names), seed=run)


def test_without_vouchers_those_who_do_not_watch_take_the_seats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sentries, "is_vouched", lambda self, node, now: node == self.world.own.node)
    monkeypatch.setattr(Sentries, "may_beat", lambda *args: False)

    outcomes = [run_schedule((hold(n),), nodes=7, vips=6, seed=4) for n in NAMES]

    assert {v.rule for o in outcomes for v in o.violations} >= {"harmed"}
