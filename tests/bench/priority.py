"""The priority that a benchmark runs at."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from speaker.herald import realtime


@contextmanager
def like_a_herald() -> Iterator[None]:
    """Real-time priority, as a herald has it: other work of the machine does not count."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(0, policy, os.sched_param(realtime.PRIORITY))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)
