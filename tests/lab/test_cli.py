"""What `stentor lab` says to mistakes; nothing is built for it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from stentor.lab.cli import lab
from stentor.lab.topology import Topology

pytestmark = pytest.mark.root


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Files of a lab of three nodes of which nothing runs."""
    topology = Topology(prefix="st-nowhere", directory=tmp_path / "lab")
    topology.save()
    return topology.directory


def complaint(directory: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(lab, ["--dir", str(directory), *arguments])
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["kill", "n9", "herald"], "no node 'n9' in this lab; there are n1, n2, n3"),
        (["kill", "client"], "no node 'client' in this lab; there are n1, n2, n3"),
        (["cut", "router"], "no node 'router' in this lab"),
        (["heal", "n4"], "no node 'n4' in this lab"),
        (["exec", "n4", "true"], "there are router, client, n1, n2, n3"),
        (["kill", "n1", "agent"], "no agent runs on n1; see"),
        (["up", "--nodes", "4"], "another lab is in"),
        (["up", "--prefix", "eth"], "prefix 'eth', need st-"),
    ],
)
def test_a_mistake_is_named(directory: Path, arguments: Sequence[str], text: str) -> None:
    status, said = complaint(directory, *arguments)

    assert status == 1
    assert text in said


@pytest.mark.parametrize("command", ["status", "cut", "exec"])
def test_without_a_lab_the_way_to_one_is_named(tmp_path: Path, command: str) -> None:
    more = {"status": [], "cut": ["n1"], "exec": ["n1", "true"]}[command]

    assert complaint(tmp_path, command, *more) == (
        1,
        f"stentor lab: no lab in {tmp_path}: run `stentor lab up` first\n",
    )


def test_down_removes_no_directory_that_is_not_a_lab(tmp_path: Path) -> None:
    """Somebody who types the wrong --dir must not lose it."""
    precious = tmp_path / "precious"
    precious.write_text("data")

    assert complaint(tmp_path, "down", "--prefix", "st-nowhere") == (0, "")
    assert precious.read_text() == "data"


def test_down_removes_a_lab_whose_state_is_damaged(directory: Path) -> None:
    (directory / "lab.json").write_text("{")

    assert complaint(directory, "down", "--prefix", "st-nowhere") == (0, "")
    assert not directory.exists()


def test_a_command_of_exec_keeps_its_own_options_and_status(tmp_path: Path) -> None:
    """`sh -c 'exit 7'` on a host that is not there fails as ours, not as click's."""
    topology = Topology(prefix="st-nowhere", directory=tmp_path / "lab")
    topology.save()

    status, said = complaint(topology.directory, "exec", "n9", "sh", "-c", "exit 7")

    assert (status, "no host 'n9'" in said) == (1, True)
