"""What long commands of the lab do alike: speak beside their output, and end with all removed."""

import signal
import sys
from typing import NoReturn

import click


def say(text: str) -> None:
    """Tell a person how it goes; the results are for standard output."""
    click.echo(text, err=True)


def end_on_signals() -> None:
    """Have SIGTERM and SIGHUP end this process as Ctrl-C does, through every `finally`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)


def _stop(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
