"""What a wheel of the tree holds, and that what it holds can be run."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that hatchling builds of this tree, build hook included."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = out.glob("*.whl")
    return built


def test_the_wheel_ships_the_compiled_responder(wheel: Path) -> None:
    """A node has no compiler."""
    object_file = zipfile.ZipFile(wheel).read("speaker/dataplane/objects/responder.bpf.o")

    assert object_file.startswith(b"\x7fELF")


def test_the_wheel_ships_every_module_and_no_test(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())

    packages = ("crds", "stentor", "controller", "speaker")
    modules = {
        str(path.relative_to(ROOT)) for name in packages for path in (ROOT / name).rglob("*.py")
    }
    assert modules - shipped == set()
    assert [name for name in shipped if name.startswith("tests/")] == []


def test_the_command_runs_from_the_unpacked_wheel(wheel: Path, tmp_path: Path) -> None:
    """Nothing that it imports is left behind in the tree."""
    zipfile.ZipFile(wheel).extractall(tmp_path)

    done = subprocess.run(
        [sys.executable, "-P", "-m", "stentor.cli.main", "speaker", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, "--manifests" in done.stdout) == (0, True), done.stderr
