"""Flags that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from stentor.logging import LEVEL_NAMES

FC = TypeVar("FC", bound=Callable[..., Any] | click.Command)
PORT = click.IntRange(0, 65535)  # 0 = off

state_dir = click.option(
    "--state-dir",
    default="/run/stentor",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Sockets, locks and state on disk; one for each speaker.",
)
log_level = click.option(
    "--log-level",
    type=click.Choice(LEVEL_NAMES),
    default="info",
    show_default=True,
    help="Least severe events to log.",
)


def go_bool(name: str, text: str) -> Callable[[FC], FC]:
    """Return a flag that may stand alone or as --flag=true, as Go's flag package has it."""
    return click.option(
        name, type=bool, is_flag=False, flag_value=True, default=False, metavar="", help=text
    )
