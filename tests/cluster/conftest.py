"""
One control plane for a session, with our CRDs; a namespace for each test.

A machine without the programs skips these tests by name; CI must have them (scripts/build_cluster).
"""

import contextlib
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from crds.generate import FILES, definition
from stentor.lab.control_plane import ControlPlane, programs
from stentor.lab.errors import LabError
from tests.cluster.kubectl import Kubectl
from tests.logs import show_ends

_planes: list[ControlPlane] = []
_LOG_LINES = 20


@contextlib.contextmanager
def running_plane() -> Iterator[ControlPlane]:
    """
    Run an API server while the context lasts; its logs are shown with failures.

    Of the minor that STENTOR_KUBERNETES names, or else the newest.
    """
    try:
        programs()
    except LabError as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(exc))
    with tempfile.TemporaryDirectory(prefix="st-") as root:
        made = ControlPlane(Path(root) / "plane")
        _planes.append(made)
        try:
            made.up()
            yield made
        finally:
            made.down()
            _planes.remove(made)


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """A running API server."""
    with running_plane() as made:
        yield made


@pytest.fixture(scope="session")
def kubectl(plane: ControlPlane) -> Kubectl:
    """kubectl, with every CRD of ours established."""
    run = Kubectl(plane)
    crds = [definition(kind) for kind in FILES]
    answer = run.apply(*crds)
    assert (answer.code, answer.errors) == (0, ""), answer.errors
    run.wait_established(crds)
    return run


@pytest.fixture
def namespace(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"st-{abs(hash(request.node.nodeid)) % 10**8}"
    kubectl.good("create", "namespace", name)
    yield name
    kubectl.good("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the servers' logs with a failure."""
    report = yield
    paths = (path for made in _planes for path in sorted(made.directory.glob("*.log")))
    return show_ends(report, ((path.name, path) for path in paths), _LOG_LINES)
