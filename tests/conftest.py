"""
What all tests share: what a machine lacks skips on a laptop and fails in CI; two run at a time.

`make test` has two workers. One has the machine (namespaces, BPF, labs), the other what only
computes, then the VMs: all of the one kind stay in order, and share their fixtures.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Times belong into `make bench`: a busy machine must not fail a property.
settings.register_profile("stentor", deadline=None)
settings.load_profile("stentor")

LEFT_OUT = pytest.StashKey[list[str]]()  # lines for the end, about tests that were not run
_COMPUTING = frozenset({"cluster", "conformance", "packaging", "sim", "style", "unit"})
_VMS = "kernels"


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing left out."""
    config.stash[LEFT_OUT] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share out the tests; skip those that need root when there is none (CI must have it)."""
    may_skip = os.geteuid() != 0 and not os.environ.get("CI")
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path)))
        if may_skip and item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root (namespaces and BPF)"))


def _group(path: Path) -> str:
    kind = path.relative_to(Path(__file__).parent).parts[0]
    if kind == _VMS:
        return kind
    return "computing" if kind in _COMPUTING else "machine"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over what it left out."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take it from each worker; all say the same."""
    lines: list[str] = node.config.stash[LEFT_OUT]
    told: list[str] = getattr(node, "workeroutput", {}).get("left_out", [])
    lines.extend(line for line in told if line not in lines)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was left out."""
    for line in config.stash[LEFT_OUT]:
        terminalreporter.write_line(line)
