"""
What must be put back on cleanup, kept in STATE_DIR/dataplane.json before it is changed.

Only the first value is kept, so that a second run never takes our own setting for the original.
"""

from pathlib import Path
from typing import Final

import msgspec

from speaker.dataplane.errors import ApplyError

FILE: Final = "dataplane.json"


class Originals(msgspec.Struct):
    """Values as they were before us."""

    sysctls: dict[str, str] = {}  # path below /proc/sys -> value
    rxvlan: list[str] = []  # names of interfaces whose RX VLAN offload we put off
    allmulti: list[str] = []  # names of interfaces that we made receive all multicast
    clsact: list[str] = []  # names of interfaces that got a clsact qdisc from us
    bpffs: list[str] = []  # where we mounted bpffs


def load(state_dir: Path) -> Originals:
    """What earlier runs kept; nothing when there is no file. Raises ApplyError on a broken one."""
    path = state_dir / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Originals)
    except FileNotFoundError:
        return Originals()
    except (OSError, msgspec.DecodeError) as exc:
        raise ApplyError(f"{path}: {exc}; remove it to go on without restoring settings") from exc


def save(state_dir: Path, originals: Originals) -> None:
    """Keep them, atomically; raises ApplyError."""
    path = state_dir / FILE
    fresh = path.with_suffix(".new")
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.encode(originals))
        fresh.replace(path)
    except OSError as exc:
        raise ApplyError(f"cannot keep settings to restore in {path}: {exc}") from exc


def forget(state_dir: Path) -> None:
    """Everything is put back."""
    (state_dir / FILE).unlink(missing_ok=True)
