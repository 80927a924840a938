"""
Labs as fixtures. `trio` runs for a whole module and each test leaves it as it found it; a test
that needs another one makes it with `make_lab`. What the nodes logged is shown with a failure.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stentor.lab.lab import Lab
from stentor.lab.secret import key_flags
from stentor.lab.topology import Topology
from tests.eventually import DEADLINES, eventually
from tests.lab.seen import settled
from tests.lab.witness import Watched, watched
from tests.logs import show_ends

MakeLab = Callable[..., Lab]
_LOG_LINES = 40
_made: list[Lab] = []


@pytest.fixture(scope="module")
def trio() -> Iterator[Lab]:
    """Three nodes that agree on who owns the VIPs of three Services."""
    with running(
        Topology(count=3, services=3, prefix=prefix(), directory=fresh_directory())
    ) as lab:
        yield lab


@pytest.fixture(scope="module")
def keyed() -> Iterator[Watched]:
    """Three nodes with a gossip key, and somebody who hears all that their segment says."""
    directory = fresh_directory()
    topology = Topology(count=3, services=3, prefix=prefix(), directory=directory)
    with running(topology, keyed=True) as lab, watched(lab) as told:
        yield told


@pytest.fixture
def make_lab() -> Iterator[MakeLab]:
    """Make labs that end with the test; keywords are those of Topology, and `xdp_mode`."""
    with ExitStack() as stack:

        def make(*, xdp_mode: str = "native", **fields: Any) -> Lab:
            shape: dict[str, Any] = {"prefix": prefix(), "directory": fresh_directory()} | fields
            made = running(Topology(**shape), wait=False, xdp_mode=xdp_mode)
            return stack.enter_context(made)

        yield make


@contextmanager
def running(
    topology: Topology, *, wait: bool = True, keyed: bool = False, xdp_mode: str = "native"
) -> Iterator[Lab]:
    """A lab inside the `with` block, whatever happens there."""
    Lab(topology).down()
    flags = key_flags(topology.directory) if keyed else ()
    lab = Lab(topology, xdp_mode, speaker_flags=flags)
    _made.append(lab)
    try:
        lab.up()
        if wait:
            eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="owners agreed")
        yield lab
    finally:
        lab.down()
        _made.remove(lab)


def prefix() -> str:
    """Unlike that of any other lab at this moment."""
    return f"st-t{os.getpid()}-{len(_made)}"


def fresh_directory() -> Path:
    """Short, since the path of a unix socket has 107 octets at most."""
    return Path("/run") / prefix()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every node's log with a failure: the labs are gone when it is read."""
    report = yield
    paths = (path for lab in _made for path in sorted(lab.directory.glob("*/speaker.log")))
    return show_ends(report, ((f"log of {path.parent.name}", path) for path in paths), _LOG_LINES)
