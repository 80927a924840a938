"""One callback at one moment of the event loop, which may be moved."""

import asyncio
from collections.abc import Callable

import attrs


@attrs.define(eq=False)
class Alarm:
    """Calls `ring` at the moment last set, once. Moments are loop time, monotonic seconds."""

    ring: Callable[[], None]
    _handle: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether it is going to ring."""
        return self._handle is not None

    def set(self, when: float | None) -> None:
        """Ring at `when`, in the past = as soon as possible, instead of when set before; or not."""
        if self._handle is not None and self._handle.when() == when:
            return
        self.cancel()
        if when is not None:
            self._handle = asyncio.get_running_loop().call_at(when, self._ring)

    def hasten(self, when: float | None) -> None:
        """Ring at `when` unless it rings before: cheap for thousands of calls in a row."""
        if when is not None and (self._handle is None or when < self._handle.when()):
            self.set(when)

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self._handle = None
        self.ring()
