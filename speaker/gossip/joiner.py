"""Keeping in one ring with the hosts we were told of, whatever is up when."""

import asyncio
from collections.abc import Callable, Iterable
from random import Random

import attrs

from speaker.gossip.transport import Gossip

Target = tuple[str, int]
"""Host, an address or a name, and port."""

FIRST_RETRY_S = 1.0
LAST_RETRY_S = 10.0  # also how often a joined target is looked after
JITTER = 0.2  # of a wait, so that the nodes of a ring do not march in step


@attrs.define
class _Course:
    """How joining one target goes."""

    due: float
    failures: int = 0
    why: str | None = "not tried"


@attrs.define(eq=False)
class Joiner:
    """
    Joins each target, again after 1 s, 2 s, ... 10 s until it works, and again when it is lost.

    Thus a ring that a long cut has split in two, and that gave the other half up for dead, heals.
    `on_attempt(target, why)` is told of every attempt; why is None when it worked.
    """

    gossip: Gossip
    rng: Random
    on_attempt: Callable[[Target, str | None], None] = lambda target, why: None
    _courses: dict[Target, _Course] = attrs.field(factory=dict)
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def seek(self, targets: Iterable[Target]) -> None:
        """Replace the targets. Those that stay keep their course, new ones are tried at once."""
        self._courses = {
            target: self._courses.get(target, _Course(due=0.0)) for target in dict.fromkeys(targets)
        }
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled."""
        await self.gossip.started()
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            due = [target for target, course in self._courses.items() if course.due <= loop.time()]
            async with asyncio.TaskGroup() as group:
                for target in due:
                    group.create_task(self._attempt(target))
            wakeup = min((course.due for course in self._courses.values()), default=None)
            try:
                async with asyncio.timeout_at(wakeup):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _attempt(self, target: Target) -> None:
        course = self._courses[target]
        if course.why is None and await self.gossip.is_in_ring(*target):
            self._settle(course, LAST_RETRY_S)
            return
        why = await self.gossip.join(*target)
        self._report(target, course, why)
        self.on_attempt(target, why)
        if why is None:
            course.failures = 0
            self._settle(course, LAST_RETRY_S)
        else:
            self._settle(course, min(LAST_RETRY_S, FIRST_RETRY_S * 2**course.failures))
            course.failures += 1
        course.why = why

    def _settle(self, course: _Course, wait_s: float) -> None:
        wait_s *= 1 + JITTER * (self.rng.random() - 0.5)
        course.due = asyncio.get_running_loop().time() + wait_s

    def _report(self, target: Target, course: _Course, why: str | None) -> None:
        """Log an outcome that is not that of the last attempt."""
        if why == course.why:
            return
        host, port = target
        if why is None:
            self.gossip.log.info("gossip_joined", host=host, port=port)
        else:
            self.gossip.log.warn("gossip_join_failed", host=host, port=port, error=why)
