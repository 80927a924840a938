"""`stentor lab demo`: tell the story on a lab of its own, print it, leave nothing behind."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from stentor.lab.errors import LabError
from stentor.lab.lab import Lab
from stentor.lab.story import Step, Story
from stentor.lab.topology import Topology

_LOG_LINES = 15


class Report(msgspec.Struct, frozen=True):
    """What --json writes."""

    ok: bool
    nodes: int
    took_s: float
    owners: dict[str, str]
    steps: tuple[Step, ...]


def run(topology: Topology, json_file: Path | None = None) -> int:
    """Tell the story, print it, and return the exit status: 1 when a step failed."""
    lab = Lab(topology)
    story = Story(lab)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _stop)
    lab.down()
    try:
        story.tell()
    except LabError as exc:
        story.fail(str(exc))
    finally:
        if story.failed:
            _print_logs(lab)
        story.close()
        story.clean_up()
    took_s = time.monotonic() - began
    ok = not story.failed
    click.echo(f"\n{'all steps passed' if ok else 'FAILED'} in {took_s:.0f} s")
    if json_file is not None:
        report = Report(ok, topology.count, took_s, story.owners, tuple(story.steps))
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return 0 if ok else 1


def _stop(*_: object) -> NoReturn:
    """SIGTERM ends the story as Ctrl-C does: with everything removed."""
    sys.exit(128 + signal.SIGTERM)


def _print_logs(lab: Lab) -> None:
    """The end of every log, to find out why a step failed."""
    for node in lab.topology.nodes:
        click.echo(f"--- {node.name}, end of its log", err=True)
        for line in _last_lines(lab.log(node)):
            click.echo(line, err=True)


def _last_lines(path: Path) -> Iterator[str]:
    text = path.read_text(errors="replace") if path.exists() else "(no log)"
    yield from text.splitlines()[-_LOG_LINES:]
