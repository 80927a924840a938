"""Log events: one JSON object a line, held back when they repeat, never blocking."""

import json
import os

import attrs
import pytest

from stentor.logging import FdSink, Level, Log, Repeats, readable, timestamp


@attrs.define
class Lines:
    """Collects lines."""

    lines: list[bytes] = attrs.field(factory=list)

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@attrs.define
class Clock:
    """Wall time under the test's control."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_an_event_is_one_json_object_with_its_context_and_fields() -> None:
    sink = Lines()
    log = Log(sink, Clock()).bind(process="herald", node="n1")

    log.info("vip_announced", vip="192.0.2.100", count=3)

    [record] = sink.records
    assert record == {
        "ts": "2023-11-14T22:13:20.000000Z",
        "level": "info",
        "process": "herald",
        "node": "n1",
        "event": "vip_announced",
        "vip": "192.0.2.100",
        "count": 3,
    }


@pytest.mark.parametrize(
    ("level", "passed"),
    [
        ("all", ["a", "b", "c", "d"]),
        ("debug", ["a", "b", "c", "d"]),
        ("info", ["b", "c", "d"]),
        ("warn", ["c", "d"]),
        ("error", ["d"]),
        ("none", []),
    ],
)
def test_metallbs_level_names_admit_what_is_severe_enough(level: str, passed: list[str]) -> None:
    sink = Lines()
    log = Log(sink, Clock(), Level.named(level))

    log.debug("a")
    log.info("b")
    log.warn("c")
    log.error("d")

    assert passed == [record["event"] for record in sink.records]


def test_repeats_are_held_back_and_counted_in_the_next_window() -> None:
    sink, clock = Lines(), Clock()
    log = Log(sink, clock, repeats=Repeats(burst=2, window_s=10))

    for _ in range(5):
        log.warn("vip_conflicted")
    clock.now += 10
    log.warn("vip_conflicted")

    assert [record.get("suppressed") for record in sink.records] == [None, None, 3]


def test_one_event_that_repeats_does_not_silence_another() -> None:
    sink = Lines()
    log = Log(sink, Clock(), repeats=Repeats(burst=1))

    log.info("a")
    log.info("a")
    log.info("b")

    assert [record["event"] for record in sink.records] == ["a", "b"]


def test_errors_are_never_held_back() -> None:
    sink = Lines()
    log = Log(sink, Clock(), repeats=Repeats(burst=1))

    for _ in range(3):
        log.error("lease_lost")

    assert len(sink.lines) == 3


def test_a_reader_that_does_not_read_costs_lines_and_not_time() -> None:
    """A herald that waits for its log would lose its lease."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    sink = FdSink(write_end)
    try:
        for _ in range(100):
            sink.write(b"x" * 4095 + b"\n")

        assert sink.dropped > 50
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_line_cut_by_a_full_pipe_is_completed_before_the_next() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    sink = FdSink(write_end)
    try:
        sink.write(b"a" * 200_000 + b"\n")
        got = b""
        while not got.endswith(b"b\n"):
            got += os.read(read_end, 65536)
            sink.write(b"b\n")

        assert got.split(b"\n")[0] == b"a" * 200_000
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_person_reads_time_level_event_and_fields() -> None:
    line = b'{"ts":"2023-11-14T22:13:20.123456Z","level":"warn","event":"lost","vip":"192.0.2.1"}\n'

    text = readable(line).decode()

    assert "22:13:20.123" in text
    assert "warn" in text
    assert "lost" in text
    assert "192.0.2.1" in text


@pytest.mark.parametrize("line", [b"Traceback (most recent call last):\n", b"[1, 2]\n", b"{}\n"])
def test_what_is_no_event_reaches_a_person_as_it_is(line: bytes) -> None:
    assert line == readable(line)


def test_a_whole_second_keeps_its_microseconds() -> None:
    assert timestamp(0.0) == "1970-01-01T00:00:00.000000Z"
