"""
The state directory: locks that admit one of each process, a generation, files written atomically.

    supervisor.lock  herald.lock   flock, freed by the kernel when their process dies; text: its pid
    generation                     decimal; grows with every start of a herald
    plan.msgpack                   last plan, so that a herald without an agent has its candidates
    core.bin                       counters, epochs and fences of the ownership core
    herald.sock                    the link
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from stentor.exits import ExitCode, FatalError

_POLL_S = 0.02


@contextlib.contextmanager
def lock(directory: Path, name: str, wait_s: float = 0.0) -> Iterator[None]:
    """
    Hold DIRECTORY/NAME.lock, making the directory (mode 0700) where it is not there.

    `wait_s` is for a process whose predecessor is being killed. Raises FatalError: UNAVAILABLE
    when another process has the lock, OS_ERROR when the directory cannot be used.
    """
    path = directory / f"{name}.lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise FatalError(
            ExitCode.OS_ERROR, "state_dir_unusable", f"--state-dir {directory}: {exc.strerror}"
        ) from exc
    try:
        _acquire(fd, wait_s, directory, name)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(fd)


def _acquire(fd: int, wait_s: float, directory: Path, name: str) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 32, 0).decode(errors="replace") or "unknown"
                raise FatalError(
                    ExitCode.UNAVAILABLE,
                    "state_dir_taken",
                    f"--state-dir {directory} is in use by the {name} with pid {holder}; "
                    "each speaker on a machine needs a directory of its own",
                ) from exc
            time.sleep(_POLL_S)
        else:
            return


def next_generation(directory: Path) -> int:
    """Return the generation of a herald that starts now: one more than the last, from 1 on."""
    path = directory / "generation"
    try:
        last = int(path.read_text())
    except (FileNotFoundError, ValueError):
        last = 0
    write_atomically(path, str(last + 1).encode())
    return last + 1


def write_atomically(path: Path, octets: bytes) -> None:
    """Replace the file in one step: a reader, or the next start, never finds half of it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(octets)
    temporary.replace(path)


def read_or_none(path: Path) -> bytes | None:
    """Return the content, or None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
