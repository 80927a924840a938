"""A rig for each test, taken away whatever happens; its log is shown with a failure."""

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.logs import show_ends
from tests.process.rig import Rig

_LOG_LINES = 60
_rigs: list[Rig] = []


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Two namespaces, a cable, and manifests with a pool, an advertisement and a Service."""
    with tempfile.TemporaryDirectory(prefix="st-", dir="/run") as root:
        made = Rig(f"st-p{os.getpid()}", Path(root))
        _rigs.append(made)
        try:
            made.build()
            yield made
        finally:
            made.remove()
            _rigs.remove(made)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of the speaker's log to a failure."""
    report = yield
    logs = (("speaker.log", made.root / "speaker.log") for made in _rigs)
    return show_ends(report, logs, _LOG_LINES)
