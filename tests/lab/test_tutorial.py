"""The commands of the tutorial work as printed, in the order printed."""

import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from stentor.lab.lab import Lab, python_path
from stentor.lab.topology import load
from tests.eventually import DEADLINES, eventually
from tests.lab.conftest import fresh_directory
from tests.lab.seen import settled

pytestmark = pytest.mark.root

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "first-lab.md"
COMMAND = re.compile(r"^stentor lab (\w+)(.*)$", re.MULTILINE)


def test_every_command_of_the_first_lab_succeeds() -> None:
    """In a lab of its own name; what the reader would wait for is waited for."""
    directory = fresh_directory()
    commands = COMMAND.findall(TUTORIAL.read_text())
    assert [name for name, _ in commands].count("kill") >= 1

    try:
        for name, arguments in commands:
            done = stentor_lab(directory, name, arguments)
            assert done.returncode == 0, f"stentor lab {name}{arguments}: {done.stdout}"
            if name in {"up", "heal"}:
                lab = Lab(load(directory))
                eventually(partial(settled, lab), within_s=DEADLINES.failed_over)
    finally:
        stentor_lab(directory, "down", "")

    assert not directory.exists()


def stentor_lab(directory: Path, name: str, arguments: str) -> "subprocess.CompletedProcess[str]":
    """`stentor lab NAME ARGUMENTS` on a lab in `directory`, whose prefix is its name."""
    prefix = ["--prefix", directory.name] if name in {"up", "down"} else []
    return subprocess.run(
        [
            *("env", f"PYTHONPATH={python_path()}", sys.executable, "-m", "stentor.cli.main"),
            *("lab", "--dir", str(directory), name, *prefix, *shlex.split(arguments)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
