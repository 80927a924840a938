"""Wait for a condition with a deadline: the one way in which tests here wait."""

import time
from collections.abc import Callable
from typing import TypeVar

import attrs

T = TypeVar("T")

_POLL_S = 0.02


@attrs.frozen
class Deadlines:
    """How long a test waits for each kind of thing, in seconds; generous, the machine is noisy."""

    process_up: float = 30.0
    attached: float = 15.0
    ring_joined: float = 30.0
    seat_taken: float = 15.0
    failed_over: float = 30.0
    answered: float = 10.0
    file_seen: float = 10.0
    process_down: float = 15.0


DEADLINES = Deadlines()


def eventually(
    probe: Callable[[], T],
    *,
    until: Callable[[T], bool] = bool,
    within_s: float,
    what: str = "",
) -> T:
    """
    Call `probe` until `until(value)` holds and return that value.

    Raises AssertionError at the deadline, with the last value and how long ago it last changed.
    """
    start = changed = time.monotonic()
    value = probe()
    while (holds := until(value)) is NotImplemented or not holds:  # "x".__eq__(None), which is true
        now = time.monotonic()
        if now - start > within_s:
            label = what or getattr(probe, "__name__", "condition")
            raise AssertionError(
                f"{label}: not reached within {within_s} s; last value {value!r}, "
                f"unchanged for {now - changed:.1f} s"
            )
        time.sleep(_POLL_S)
        latest = probe()
        if latest != value:
            changed, value = time.monotonic(), latest
    return value
