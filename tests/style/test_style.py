"""The linters, as tests: what they print is the failure message."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
C_FILES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "bpf").rglob("*") if path.suffix in {".c", ".h"}
)
PROGRAMS = [path for path in C_FILES if path.endswith(".c")]


def run(*command: str) -> str:
    """Run a linter in the root of the tree; its output when it complains, else nothing."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["ruff", "check", "."], id="ruff_check"),
        pytest.param(["ruff", "format", "--check", "."], id="ruff_format"),
        pytest.param(["mypy"], id="mypy_strict"),
        pytest.param(["lint-imports", "--no-cache"], id="import_contracts"),
        pytest.param(["clang-format", "--dry-run", "-Werror", *C_FILES], id="clang_format"),
    ],
)
def test_linter_is_content(arguments: list[str]) -> None:
    assert run(str(BIN / arguments[0]), *arguments[1:]) == ""


def test_clang_tidy_is_content() -> None:
    multiarch = next(Path("/usr/include").glob("*-linux-gnu"))

    complaint = run(
        str(BIN / "clang-tidy"),
        "--quiet",
        "--warnings-as-errors=*",
        *PROGRAMS,
        "--",
        "-target",
        "bpfel",
        "-mcpu=v3",
        "-O2",
        "-Ibpf/include",
        f"-I{multiarch}",
        "-I/usr/include",
    )

    assert complaint == ""


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_source_file_is_longer_than_600_lines() -> None:
    """A file a person can hold in the head; generated data does not count."""
    source = [path for path in tracked_files() if path.suffix in {".py", ".c", ".h", ".go"}]

    too_long = {
        str(path.relative_to(ROOT)): lines
        for path in source
        if (lines := len(path.read_text().splitlines())) > 600
    }

    assert too_long == {}


def test_locks_name_no_registry() -> None:
    """Where packages come from is the machine's business (a mirror, an air gap), not the tree's."""
    locks = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]

    naming = [path.name for path in locks if "://" in path.read_text()]

    assert naming == []
