"""What the performer logs of announcements; nothing here needs an interface."""

from collections import Counter
from ipaddress import IPv4Address
from random import Random
from typing import Any

import pytest

from speaker.herald.actions import Announce
from speaker.herald.performer import LOGGED_ALONE, Performer
from speaker.herald.segments import Segments


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


@pytest.mark.parametrize(
    ("count", "events"),
    [
        (LOGGED_ALONE, {"vip_announced": LOGGED_ALONE}),
        (LOGGED_ALONE + 1, {"vips_announced": 1}),
    ],
)
def test_many_vips_announced_at_once_make_one_line(count: int, events: dict[str, int]) -> None:
    log: Any = Lines()
    unused: Any = None
    segments = Segments(log, Random(1), 0.0, lambda *_: None, lambda _: 0.0)
    performer = Performer(unused, segments, unused, None, 0.0, lambda _: None, log)
    vips = [IPv4Address("192.0.2.0") + number for number in range(count)]

    performer.perform([Announce(vip, "let_go") for vip in vips])

    assert Counter(event for event, _ in log.lines) == events
    assert {fields["reason"] for _, fields in log.lines} == {"let_go"}
