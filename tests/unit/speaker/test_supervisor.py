"""When the supervisor starts a child again, and when it gives up."""

import os
import threading

import pytest

from speaker.supervisor import AGENT, HEALTHY_AFTER_S, HERALD, Child, Forwarder, describe
from stentor.exits import FATAL_ALWAYS, FATAL_AT_START, ExitCode, FatalError, fatal_in

LEASE_S = 3.0
START = 100.0


def crash(child: Child, times: int, code: int = -9) -> float:
    """Crash a child right after each of its starts; returns when it is started again."""
    now = START
    for _ in range(times):
        child.started_at = now
        assert child.note_exit(code, now) is None
        now = child.restart_at
    return now


def test_a_killed_herald_starts_again_at_once() -> None:
    assert crash(Child(HERALD), times=1) == START


@pytest.mark.parametrize("crashes", range(1, 12))
def test_a_herald_that_crashes_again_and_again_still_starts_within_its_lease(crashes: int) -> None:
    """Its seats stay ours as long as one start in the lease succeeds."""
    child = Child(HERALD)
    before = crash(child, crashes - 1)

    assert crash_at(child, before) - before < LEASE_S / 2


def crash_at(child: Child, now: float) -> float:
    child.started_at = now
    child.note_exit(-9, now)
    return child.restart_at


def test_an_agent_that_crashes_again_and_again_waits_longer_each_time() -> None:
    child, now, waits = Child(AGENT), START, []
    for _ in range(9):
        following = crash_at(child, now)
        waits.append(following - now)
        now = following

    assert sorted(waits) == pytest.approx(waits)
    assert max(waits) == pytest.approx(AGENT.delays_s[-1])


def test_a_healthy_period_forgets_earlier_crashes() -> None:
    child = Child(AGENT)
    now = crash(child, times=5)
    child.started_at = now

    child.note_exit(-9, now + HEALTHY_AFTER_S)

    assert child.restart_at - (now + HEALTHY_AFTER_S) == pytest.approx(AGENT.delays_s[0])


@pytest.mark.parametrize("code", sorted(FATAL_AT_START))
def test_a_fault_of_the_world_at_the_first_start_ends_the_speaker_with_its_code(
    code: ExitCode,
) -> None:
    assert code is Child(HERALD).note_exit(code, START)


@pytest.mark.parametrize("code", sorted(FATAL_AT_START - FATAL_ALWAYS))
def test_the_same_fault_later_is_tried_again(code: ExitCode) -> None:
    child = Child(HERALD, was_ready=True)

    assert child.note_exit(code, START) is None


def test_a_name_that_turns_out_to_be_taken_ends_the_speaker_at_any_time() -> None:
    """To come back under it could only harm the node that has it."""
    child = Child(HERALD, was_ready=True)

    assert child.note_exit(ExitCode.NAME_TAKEN, START) is ExitCode.NAME_TAKEN


@pytest.mark.parametrize("code", [ExitCode.SOFTWARE, 1, -9, -11])
def test_a_bug_is_tried_again_also_at_the_first_start(code: int) -> None:
    assert Child(HERALD).note_exit(code, START) is None


@pytest.mark.parametrize(
    ("status", "text"), [(-9, "SIGKILL"), (0, "ok"), (69, "unavailable"), (3, "3")]
)
def test_an_exit_status_is_said_in_words(status: int, text: str) -> None:
    assert text == describe(status)


def test_logs_of_all_children_come_out_whole_line_by_line() -> None:
    out_read, out_write = os.pipe()
    forwarder = Forwarder(out_write)
    thread = threading.Thread(target=forwarder.run)
    thread.start()
    ends = []
    for name in (b"herald", b"agent"):
        read_end, write_end = os.pipe()
        forwarder.add(read_end)
        os.write(write_end, name + b" says ")
        ends.append(write_end)
    for write_end in ends:
        os.write(write_end, b"a line\nand the rest")
        os.close(write_end)
    forwarder.close()
    thread.join(timeout=10)
    os.close(out_write)

    with os.fdopen(out_read, "rb") as out:
        lines = sorted(out.read().splitlines())
    assert lines == [b"agent says a line", b"and the rest", b"and the rest", b"herald says a line"]


def test_a_group_of_only_fatal_errors_has_a_first_one() -> None:
    fatal = FatalError(ExitCode.UNAVAILABLE, "port_taken", "7946 is taken")
    group = BaseExceptionGroup("", [BaseExceptionGroup("", [fatal])])

    assert fatal is fatal_in(group)


def test_a_bug_among_fatal_errors_is_not_hidden() -> None:
    fatal = FatalError(ExitCode.UNAVAILABLE, "port_taken", "7946 is taken")

    assert fatal_in(BaseExceptionGroup("", [fatal, ValueError()])) is None
