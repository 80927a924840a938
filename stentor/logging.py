"""
Log events: one JSON object a line, the same in every process, on the standard library alone.

structlog costs 3.2 MB of anonymous memory, an eighth of what the herald may have, so there is this
one way instead of two. An event is a snake_case fact in the past tense with typed fields:

    log.info("vip_announced", vip=vip, interface="eth0", reason=reason)

    {"ts":"2026-01-01T00:00:00.000000Z","level":"info","process":"herald","event":"vip_announced",…}
"""

import enum
import json
import logging
import os
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs

Field = Any  # a number, bool or None is written as such, all else as str()


class Level(enum.IntEnum):
    """MetalLB's names for --log-level; the number orders them."""

    ALL = 0
    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40
    NONE = 100

    @classmethod
    def named(cls, name: str) -> "Level":
        """Return the level of that name; raises KeyError."""
        return cls[name.upper()]


LEVEL_NAMES = tuple(level.name.lower() for level in Level)


class Sink(Protocol):
    """Where lines go."""

    def write(self, line: bytes) -> None:
        """Take one line, newline included. Never blocks the caller for long, never raises."""


@attrs.define
class FdSink:
    """
    Writes to a file descriptor. If that is a non-blocking pipe and nobody reads, lines are dropped
    and counted rather than stopping a process that has a lease to renew.
    """

    fd: int = 2
    dropped: int = 0
    _rest: bytes = b""

    def write(self, line: bytes) -> None:
        """Write the line, after what an earlier short write left over."""
        try:
            if self._rest:
                self._rest = self._rest[os.write(self.fd, self._rest) :]
            if self._rest:
                self.dropped += 1
                return
            self._rest = line[os.write(self.fd, line) :]
        except OSError:  # full, or the reader is gone: there is nobody to tell
            self.dropped += 1


@attrs.define
class Repeats:
    """
    Lets `burst` events of one key pass in each `window_s`, and counts the rest.

    The first event of the next window carries the count as `suppressed`.
    """

    burst: int = 200  # a roll-out of 100 Services is told in full, a storm is not
    window_s: float = 10.0
    _windows: dict[str, list[float]] = attrs.field(factory=dict)  # key -> [start, seen]

    def admit(self, key: str, now: float) -> int | None:
        """Return how many were suppressed since the last admitted one, or None to suppress."""
        start, seen = self._windows.get(key, (now, 0))
        suppressed = 0
        if now - start >= self.window_s:
            suppressed = max(0, int(seen) - self.burst)
            start, seen = now, 0
        self._windows[key] = [start, seen + 1]
        return suppressed if seen < self.burst else None


@attrs.frozen
class Log:
    """A logger with its context. `clock` is wall time in seconds since 1970."""

    sink: Sink
    clock: Callable[[], float]
    level: Level = Level.INFO
    context: dict[str, Field] = attrs.field(factory=dict)
    repeats: Repeats = attrs.field(factory=Repeats)

    def bind(self, **fields: Field) -> "Log":
        """Return a logger that adds `fields` to every event."""
        return attrs.evolve(self, context={**self.context, **fields})

    def debug(self, event: str, **fields: Field) -> None:
        """Detail for somebody who looks for a fault."""
        self.emit(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """Record a change of state as it should be."""
        self.emit(Level.INFO, event, fields)

    def warn(self, event: str, **fields: Field) -> None:
        """Record something an operator should know, though the work goes on."""
        self.emit(Level.WARN, event, fields)

    def error(self, event: str, **fields: Field) -> None:
        """Record something that keeps us from our work."""
        self.emit(Level.ERROR, event, fields)

    def emit(self, level: Level, event: str, fields: dict[str, Field]) -> None:
        """Write one event unless its level or its repetition keeps it out."""
        if level < self.level:
            return
        now = self.clock()
        suppressed = self.repeats.admit(event, now)
        if suppressed is None and level < Level.ERROR:
            return
        record = {"ts": timestamp(now), "level": level.name.lower(), **self.context}
        record["event"] = event
        record.update(fields)
        if suppressed:
            record["suppressed"] = suppressed
        self.sink.write(json.dumps(record, default=str, ensure_ascii=False).encode() + b"\n")


def timestamp(now: float) -> str:
    """RFC 3339 in UTC with microseconds, also where they are 0."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Bridge(logging.Handler):
    """Carries what libraries say through the standard `logging` into our events."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as event `library_logged`, with the traceback's last line."""
        fields: dict[str, Field] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = repr(record.exc_info[1])
        level = Level.ERROR if record.levelno >= logging.ERROR else Level.WARN
        self._log.emit(level, "library_logged", fields)


def bridge_libraries(log: Log) -> None:
    """Send warnings and errors of every library through `log`, and nothing else anywhere."""
    logging.lastResort = None
    logging.basicConfig(level=logging.WARNING, handlers=[Bridge(log)], force=True)


_COLOURS = {"debug": "2", "info": "32", "warn": "33", "error": "31"}
_HEAD = ("ts", "level", "process", "event")


def readable(line: bytes) -> bytes:
    """Return one JSON event as a person at a terminal likes it; other text as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return line
    level = str(record.get("level", ""))
    fields = " ".join(f"\x1b[2m{k}=\x1b[0m{v}" for k, v in record.items() if k not in _HEAD)
    return (
        f"\x1b[2m{str(record.get('ts', ''))[11:23]}\x1b[0m "
        f"\x1b[{_COLOURS.get(level, '0')}m{level:<5}\x1b[0m "
        f"{record.get('process', ''):<10} \x1b[1m{record['event']}\x1b[0m {fields}\n"
    ).encode()


def of_process(process: str, level: str, clock: Callable[[], float], **context: Field) -> Log:
    """Return the logger of a process: stderr, never blocking where that is a pipe."""
    fd = sys.stderr.fileno()
    if not os.isatty(fd) and _is_pipe(fd):
        os.set_blocking(fd, False)
    return Log(FdSink(fd), clock, Level.named(level), {"process": process, **context})


def _is_pipe(fd: int) -> bool:
    return stat.S_ISFIFO(os.fstat(fd).st_mode)
