"""
What all tests share: what a machine lacks skips on a laptop and fails in CI; two run at a time.

`make test` has two workers. One has the machine (namespaces, BPF, labs), the other what only
computes, then the VMs: all of the one kind stay in order, and share their fixtures.
"""

import os
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Times belong into `make bench`: a busy machine must not fail a property.
settings.register_profile("stentor", deadline=None)
settings.load_profile("stentor")

LEFT_OUT = pytest.StashKey[list[str]]()  # lines for the end, about tests that were not run
_COMPUTING = frozenset({"cluster", "conformance", "packaging", "sim", "style", "unit"})
_VMS = "kernels"


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing left out."""
    config.stash[LEFT_OUT] = []


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Share out the tests by kind."""
    return _ByKind(config, log)


class _ByKind(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """Gives each worker whole kinds of tests, the largest first."""

    def _split_scope(self, nodeid: str) -> str:
        kind = nodeid.split("/")[1]
        if kind == _VMS:
            return kind
        return "computing" if kind in _COMPUTING else "machine"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs root when there is none; CI (which sets CI) must have it."""
    if item.get_closest_marker("root") and os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("needs root (namespaces and BPF)")


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
