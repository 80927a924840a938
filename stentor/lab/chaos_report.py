"""The file of a run: read to go on where it stopped, and whole at every moment."""

from pathlib import Path

import msgspec

from stentor.lab.chaos_figures import Trial
from stentor.lab.errors import LabError


class Report(msgspec.Struct, frozen=True):
    """
    What --json writes. `complete` is false while trials are missing.

    `planned` counts the trials of the run that wrote it last, `took_s` is the time of all runs.
    """

    complete: bool
    planned: int
    began_unix_s: float
    took_s: float
    trials: tuple[Trial, ...]
    problem: str = ""


def read(path: Path | None) -> Report | None:
    """The report of an earlier run, None where there is none. Raises LabError for another file."""
    if path is None:
        raise LabError("--resume needs --json: the file that holds what was done")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as exc:
        raise LabError(f"{path} is no report of this version: {exc}") from exc


def write(path: Path, report: msgspec.Struct) -> None:
    """Replace the report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    draft.replace(path)
