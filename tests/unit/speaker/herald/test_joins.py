"""Whom the herald tries to join, and when its start has waited long enough."""

from speaker.herald.joins import FIRST_AT_ONCE, LONELY_S, REJOIN_S, RETRY_S, Joins

A, B = ("192.0.2.1", 7946), ("192.0.2.2", 7946)
OTHERS = [("192.0.2.7", 7946), ("192.0.2.8", 7946)]
START = 100.0


def joins(*targets: tuple[str, int]) -> Joins:
    subject = Joins()
    subject.seek(targets)
    return subject


def fail(subject: Joins, target: tuple[str, int], now: float) -> None:
    assert target in subject.due(now, [])
    subject.note(target, merged=False, now=now)


def test_without_targets_the_start_is_settled() -> None:
    assert joins().is_settled([])


def test_every_target_is_tried_at_once_and_once_at_a_time() -> None:
    subject = joins(A, B)

    assert subject.due(START, []) == [A, B]
    assert subject.due(START + 100, []) == []


def test_the_start_waits_for_a_target_that_has_failed_only_once() -> None:
    subject = joins(A, B)
    subject.due(START, [])

    subject.note(A, merged=True, now=START)
    subject.note(B, merged=False, now=START)

    assert not subject.is_settled([])


def test_a_target_that_failed_twice_holds_up_the_start_no_longer() -> None:
    subject = joins(A)

    fail(subject, A, START)
    fail(subject, A, START + RETRY_S[0])

    assert subject.is_settled([])


def test_a_target_that_is_a_member_already_holds_up_nothing() -> None:
    """It joined us before we came to join it."""
    assert joins(A).is_settled([A])
    assert joins(A).due(START, [A]) == []


def test_failures_back_off_to_ten_seconds_and_go_on() -> None:
    subject = joins(A)
    subject.due(START, OTHERS)
    now, gaps = START, []
    for _ in range(len(RETRY_S) + 3):
        subject.note(A, merged=False, now=now)
        following = next(now + n / 10 for n in range(200) if subject.due(now + n / 10, OTHERS))
        gaps.append(round(following - now, 1))
        now = following

    assert [*RETRY_S, 10.0, 10.0, 10.0] == gaps


def test_a_member_that_was_lost_is_tried_again() -> None:
    subject = joins(A)
    subject.due(START, [])
    subject.note(A, merged=True, now=START)

    assert subject.due(START + REJOIN_S, []) == [A]


def test_a_target_that_stays_keeps_its_course() -> None:
    subject = joins(A)
    subject.due(START, [])
    subject.note(A, merged=True, now=START)

    subject.seek([A, B])

    assert subject.due(START + 1, []) == [B]


def test_a_node_alone_never_waits_longer_than_two_seconds() -> None:
    """Whoever took its seats while it was cut off cannot know that it is back."""
    subject, now = joins(A), START
    for _ in range(6):
        fail(subject, A, now)
        now += LONELY_S

    assert subject.due(now, []) == [A]


def test_a_sign_of_life_makes_every_target_due_that_is_no_member() -> None:
    subject = joins(A, B)
    for target in subject.due(START, OTHERS):
        subject.note(target, merged=False, now=START)
    assert subject.due(START + 0.1, [*OTHERS, B]) == []

    subject.hurry(START + 0.1)

    assert subject.due(START + 0.1, [*OTHERS, B]) == [A]


def test_of_hundreds_a_few_are_tried_first_as_they_name_the_rest() -> None:
    subject = joins(*((f"192.0.2.{i}", 7946) for i in range(200)))

    first = subject.due(START, [])
    second = subject.due(START + 0.1, [])

    assert (len(first), len(second)) == (FIRST_AT_ONCE, FIRST_AT_ONCE)
    assert set(first).isdisjoint(second)


def test_what_was_named_by_others_is_not_tried() -> None:
    targets = [(f"192.0.2.{i}", 7946) for i in range(200)]
    subject = joins(*targets)
    for target in subject.due(START, []):
        subject.note(target, merged=True, now=START)

    assert subject.due(START + 0.1, targets) == []
    assert subject.is_settled(targets)
