"""Fence records begin with a TAKE and end with a higher epoch (OWNERSHIP.md 6)."""

from speaker.beats.cell import Cell
from speaker.beats.fence import Fences

A, B = Cell("a", "eth0"), Cell("b", "eth1")


def test_a_fenced_node_is_claimed_at_the_epoch_of_its_record() -> None:
    fences = Fences()

    assert fences.record(A, 3)

    assert fences.claimed(A) == 3
    assert fences.claimed(B) is None


def test_a_higher_epoch_ends_the_record_and_the_same_does_not() -> None:
    fences = Fences()
    fences.record(A, 3)

    assert not fences.seen(A, 2)
    assert not fences.seen(A, 3)
    assert fences.claimed(A) == 3
    assert fences.seen(A, 4)
    assert fences.claimed(A) is None


def test_a_late_record_of_an_epoch_that_is_over_fences_nobody() -> None:
    fences = Fences()
    fences.seen(A, 4)

    assert not fences.record(A, 3)
    assert fences.cells() == frozenset()


def test_the_same_record_heard_of_again_is_no_news() -> None:
    fences = Fences()
    fences.record(A, 3)

    assert not fences.record(A, 3)
    assert not fences.record(A, 2)
    assert fences.record(A, 5)
    assert fences.claimed(A) == 5


def test_records_outlive_the_process() -> None:
    fences, successor = Fences(), Fences()
    fences.record(B, 2)
    fences.record(A, 7)

    successor.restore(fences.records())

    assert successor.records() == fences.records()
    assert successor.claimed(A) == 7


def test_a_node_that_left_the_plan_is_forgotten() -> None:
    fences = Fences()
    fences.record(A, 7)
    fences.seen(B, 9)

    fences.prune(["b"])

    assert fences.cells() == frozenset()
    assert fences.epoch_of(B) == 9


def test_a_node_is_fenced_on_the_segment_that_the_record_names_and_on_no_other() -> None:
    fences = Fences()
    fences.record(A, 7)
    fences.seen(Cell("a", "eth1"), 9)

    assert fences.claimed(A) == 7
    assert fences.claimed(Cell("a", "eth1")) is None
