"""What a herald leaves its successor in the state directory: the plan and the core's state."""

from collections.abc import Callable
from pathlib import Path

import attrs

from speaker.herald.alarm import Alarm
from speaker.herald.errors import DecodeError
from speaker.herald.link import Plan, decode_plan, encode_plan
from speaker.state_dir import read_or_none, write_atomically
from stentor.logging import Log

PLAN_NAME = "plan.msgpack"
CORE_NAME = "core.bin"
SAVE_AFTER_S = 0.1  # many changes of one instant make one file


@attrs.define(eq=False)
class Memory:
    """Reads and writes the files. `snapshot` gives the core's state, as octets."""

    directory: Path
    snapshot: Callable[[], bytes]
    log: Log
    _alarm: Alarm = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._alarm = Alarm(self.save)

    def restore(self, take: Callable[[bytes], None]) -> None:
        """Give the core's state to `take`, if there is one; what it refuses is logged."""
        saved = read_or_none(self.directory / CORE_NAME)
        if saved is None:
            return
        try:
            take(saved)
        except DecodeError as exc:
            self.log.warn("state_not_restored", message=str(exc))

    def plan(self) -> Plan | None:
        """Return the last plan, None where there is none that can be read."""
        octets = read_or_none(self.directory / PLAN_NAME)
        if octets is None:
            return None
        try:
            return decode_plan(octets)
        except DecodeError as exc:
            self.log.warn("plan_not_restored", message=str(exc))
            return None

    def keep_plan(self, plan: Plan) -> None:
        """Keep the plan, now."""
        write_atomically(self.directory / PLAN_NAME, encode_plan(plan))

    def save_soon(self, now: float) -> None:
        """Keep the core's state, within SAVE_AFTER_S."""
        if not self._alarm.is_set:
            self._alarm.set(now + SAVE_AFTER_S)

    def save(self) -> None:
        """Keep the core's state, now."""
        self._alarm.cancel()
        write_atomically(self.directory / CORE_NAME, self.snapshot())
