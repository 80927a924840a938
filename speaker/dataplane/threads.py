"""Calls into the kernel that take long, off the loop's thread."""

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from speaker.dataplane.errors import ApplyError

T = TypeVar("T")

_PATIENCE_S = 0.001  # a step waits that long, instead of being called again and again


def in_thread(name: str, work: Callable[[], T]) -> Generator[None, None, T]:
    """
    Run `work` in a thread of its own, yielding until it is done; returns or raises its outcome.

    What `work` touches belongs to it until then: the caller's other steps leave it alone.
    """
    done: list[T] = []
    failed: list[ApplyError] = []

    def run() -> None:
        try:
            done.append(work())
        except ApplyError as exc:
            failed.append(exc)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_PATIENCE_S)
        yield
    if failed:
        raise failed[0]
    return done[0]
