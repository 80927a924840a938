"""Processes of a lab that outlive the command that starts them: kept by pid files, ended by pid."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import msgspec

from stentor.lab.errors import LabError

_POLL_S = 0.02
# Before the command of what measures or is measured at, so that busy loops beside a lab do not
# show in the figures as requests lost.
PREFERRED = ("nice", "-n", "-10")


@attrs.frozen
class Process:
    """One process by pid and start time, since pids are used again."""

    pid: int
    started_ticks: int  # field 22 of /proc/PID/stat, proc(5)

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; one that ended and was not yet waited for does not."""
        with contextlib.suppress(ChildProcessError):  # nobody's child of ours: init waits for it
            os.waitpid(self.pid, os.WNOHANG)
        return find(self.pid) == self

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        self._signal(signal.SIGKILL)

    def stop(self, within_s: float) -> None:
        """SIGTERM, and SIGKILL when it does not end in time."""
        self._signal(signal.SIGTERM)
        if not self.wait(within_s):
            self.kill()
            self.wait(within_s)

    def wait(self, within_s: float) -> bool:
        """Whether it ended within that time."""
        deadline = time.monotonic() + within_s
        while self.is_alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def children(self) -> dict[int, str]:
        """Its children: pid -> command line, arguments separated by blanks."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        try:
            pids = [int(text) for text in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            return {}
        return {pid: _command_line(pid) for pid in pids}


def find(pid: int) -> Process | None:
    """The process that has `pid` now, None when nothing or only a zombie has it."""
    try:
        # The name in field 2 may hold blanks and parentheses: count from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def start(
    command: Sequence[str], *, pid_file: Path, log: Path, environment: Mapping[str, str]
) -> Process:
    """
    Start a process in a session of its own, its output appended to `log`, unless it runs already.

    Raises LabError when it cannot be started.
    """
    running = recorded(pid_file)
    if running is not None and running.is_alive:
        return running
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        except OSError as exc:
            raise LabError(f"cannot start {command[0]}: {exc.strerror}") from exc
    process = find(child.pid)
    if process is None:
        raise LabError(f"{' '.join(command)} ended at once; see {log}")
    pid_file.write_bytes(msgspec.json.encode(attrs.asdict(process)))
    return process


def recorded(pid_file: Path) -> Process | None:
    """The process that a pid file names, alive or not; None when there is no such file."""
    try:
        return Process(**msgspec.json.decode(pid_file.read_bytes(), type=dict[str, int]))
    except (FileNotFoundError, msgspec.MsgspecError, TypeError):
        return None
