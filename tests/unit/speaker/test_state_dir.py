"""Locks, generations and files of the state directory."""

import multiprocessing
import os
from pathlib import Path

import pytest

from speaker.state_dir import lock, next_generation, read_or_none, write_atomically
from stentor.exits import ExitCode, FatalError


def hold(directory: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with lock(directory, "herald"):
        ready.set()
        multiprocessing.Event().wait()


def test_one_herald_is_admitted_and_the_other_told_who_has_it(tmp_path: Path) -> None:
    second = lock(tmp_path, "herald")
    with lock(tmp_path, "herald"), pytest.raises(FatalError) as caught, second:
        pass

    assert caught.value.code is ExitCode.UNAVAILABLE
    assert f"pid {os.getpid()}" in str(caught.value)


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(10)

    process.kill()

    with lock(tmp_path, "herald", wait_s=10):
        pass
    process.join()


def test_each_start_has_a_generation_of_its_own(tmp_path: Path) -> None:
    assert [next_generation(tmp_path) for _ in range(3)] == [1, 2, 3]


def test_a_broken_generation_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "generation").write_text("seven")

    assert next_generation(tmp_path) == 1


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(FatalError, match="Not a directory") as caught,
        lock(tmp_path / "file/x", ""),
    ):
        pass

    assert caught.value.code is ExitCode.OS_ERROR


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "core.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")

    assert read_or_none(path) == b"two"
    assert [path] == list(tmp_path.iterdir())
    assert read_or_none(tmp_path / "none") is None
