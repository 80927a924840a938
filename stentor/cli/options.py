"""Flags that several commands share."""

from pathlib import Path

import click

state_dir = click.option(
    "--state-dir",
    default="/run/stentor",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Sockets, locks and state on disk; one for each speaker.",
)
