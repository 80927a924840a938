"""A sink of log events that keeps what it is told."""

import json
from typing import Any

import attrs

Event = dict[str, Any]


@attrs.define
class Lines:
    """Events in order."""

    events: list[Event] = attrs.field(factory=list)

    def write(self, line: bytes) -> None:
        """Keep one event."""
        self.events.append(json.loads(line))

    def of(self, name: str) -> list[Event]:
        """All events of a name."""
        return [event for event in self.events if event["event"] == name]
