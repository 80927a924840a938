"""Processes kept by pid files; real ones, since pids and zombies are the point."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import msgspec
import pytest

from stentor.lab import processes
from stentor.lab.errors import LabError
from stentor.lab.processes import Process
from tests.eventually import DEADLINES, eventually

SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]
DEAF = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True);"
    "signal.pause()",
]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator["Spawn"]:
    spawn = Spawn(tmp_path)
    yield spawn
    for process in spawn.started:
        process.kill()


@attrs.define
class Spawn:
    """Starts processes that end with the test."""

    directory: Path
    started: list[Process] = attrs.field(factory=list)

    def __call__(self, command: list[str] = SLEEP) -> Process:
        process = processes.start(
            command,
            pid_file=self.directory / "it.pid",
            log=self.directory / "it.log",
            environment={},
        )
        self.started.append(process)
        return process


def test_a_process_that_runs_is_not_started_again(spawn: Spawn) -> None:
    assert spawn() == spawn()


def test_one_that_was_killed_is_started_anew(spawn: Spawn) -> None:
    first = spawn()

    first.kill()

    assert first.wait(within_s=5)
    assert spawn().pid != first.pid


def test_a_dead_child_that_nobody_waited_for_is_dead(spawn: Spawn) -> None:
    process = spawn([sys.executable, "-c", ""])

    assert process.wait(within_s=5)
    assert not process.is_alive


def test_a_reused_pid_is_not_our_process(spawn: Spawn, tmp_path: Path) -> None:
    """A pid file outlives a reboot: what has the pid now must not be killed."""
    running = spawn()
    stale = attrs.evolve(running, started_ticks=running.started_ticks - 1)

    stale.kill()

    assert not stale.is_alive
    assert running.is_alive


def test_a_process_deaf_to_sigterm_is_killed(spawn: Spawn, tmp_path: Path) -> None:
    process = spawn(DEAF)
    eventually((tmp_path / "it.log").read_text, within_s=DEADLINES.process_up)

    process.stop(within_s=0.2)

    assert not process.is_alive


def test_a_pid_file_that_is_none_names_nothing(tmp_path: Path) -> None:
    for content in (b"", b"{", b"{}", msgspec.json.encode({"pid": 1})):
        (tmp_path / "it.pid").write_bytes(content)
        assert processes.recorded(tmp_path / "it.pid") is None
    assert processes.recorded(tmp_path / "none.pid") is None


def test_a_program_that_is_not_there_is_named(spawn: Spawn) -> None:
    with pytest.raises(LabError, match="cannot start /nowhere/program: No such file"):
        spawn(["/nowhere/program"])


def test_children_are_found_by_their_command_line(spawn: Spawn, tmp_path: Path) -> None:
    code = f"import subprocess; subprocess.run({[*SLEEP, 'the-child']!r})"
    parent = spawn([sys.executable, "-c", code])
    [pid] = eventually(
        lambda: [pid for pid, line in parent.children().items() if "the-child" in line],
        within_s=DEADLINES.process_up,
    )
    os.kill(pid, signal.SIGKILL)

    assert parent.wait(within_s=5)
    assert parent.children() == {}
