"""Fence records begin with a TAKE and end with a higher epoch (OWNERSHIP.md 6)."""

from speaker.beats.fence import Fences


def test_a_fenced_node_is_claimed_at_the_epoch_of_its_record() -> None:
    fences = Fences()

    assert fences.record("a", 3)

    assert fences.claimed("a") == 3
    assert fences.claimed("b") is None


def test_a_higher_epoch_ends_the_record_and_the_same_does_not() -> None:
    fences = Fences()
    fences.record("a", 3)

    assert not fences.seen("a", 2)
    assert not fences.seen("a", 3)
    assert fences.claimed("a") == 3
    assert fences.seen("a", 4)
    assert fences.claimed("a") is None


def test_a_late_record_of_an_epoch_that_is_over_fences_nobody() -> None:
    fences = Fences()
    fences.seen("a", 4)

    assert not fences.record("a", 3)
    assert fences.nodes() == frozenset()


def test_the_same_record_heard_of_again_is_no_news() -> None:
    fences = Fences()
    fences.record("a", 3)

    assert not fences.record("a", 3)
    assert not fences.record("a", 2)
    assert fences.record("a", 5)
    assert fences.claimed("a") == 5


def test_records_outlive_the_process() -> None:
    fences, successor = Fences(), Fences()
    fences.record("b", 2)
    fences.record("a", 7)

    successor.restore(fences.records())

    assert successor.records() == fences.records()
    assert successor.claimed("a") == 7


def test_a_node_that_left_the_plan_is_forgotten() -> None:
    fences = Fences()
    fences.record("a", 7)
    fences.seen("b", 9)

    fences.prune(["b"])

    assert fences.nodes() == frozenset()
    assert fences.epoch_of("b") == 9
