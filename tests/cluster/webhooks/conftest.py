"""
A control plane of its own: its webhook configuration concerns every namespace.

The API server asks a relay on loopback by url; tests put controllers behind it.
"""

import contextlib
from collections.abc import Iterator

import pytest

from controller.webhooks.manifests import configuration
from crds.generate import FILES, definition
from stentor.lab.control_plane import ControlPlane
from tests.cluster.conftest import running_plane
from tests.cluster.kubectl import Kubectl
from tests.cluster.relay import Relay, relay
from tests.cluster.webhooks.rig import NAMESPACE, SECRET, Background, Judged, Replica, background


@pytest.fixture(scope="session")
def judged_plane() -> Iterator[ControlPlane]:
    """A running API server."""
    with running_plane() as plane:
        yield plane


@pytest.fixture(scope="session")
def installation(judged_plane: ControlPlane) -> Iterator[Judged]:
    """Our kinds, the webhook configuration, two nodes, a peer; no controller yet."""
    with contextlib.ExitStack() as stack:
        beside = stack.enter_context(background())
        made = Judged(Kubectl(judged_plane), _relay(beside, stack), beside)
        definitions = [definition(kind, webhook_url=made.url) for kind in FILES]
        namespaces = [_bare("Namespace", name) for name in (NAMESPACE, "some-other-namespace")]
        nodes = [
            _bare("Node", name, labels={"kubernetes.io/hostname": name})
            for name in ("node1", "node2")
        ]
        applied = made.kubectl.apply(*namespaces, *nodes, *definitions, configuration(url=made.url))
        assert applied.code == 0, applied.errors
        made.kubectl.wait_established(definitions)
        yield made


@pytest.fixture
def judged(installation: Judged) -> Iterator[Judged]:
    """The installation, as clean as it was: nobody has ever made a certificate."""
    installation.kubectl("delete", "secret", SECRET, "-n", NAMESPACE)
    try:
        yield installation
    finally:
        installation.stop_all()


@pytest.fixture(scope="module")
def replica(installation: Judged) -> Iterator[Replica]:
    """One controller for a module's tests."""
    try:
        made = installation.start()
        installation.aim(made)
        yield made
    finally:
        installation.stop_all()


def _relay(beside: Background, stack: contextlib.ExitStack) -> Relay:
    context = relay()
    made = beside.call(context.__aenter__())
    stack.callback(lambda: beside.call(context.__aexit__(None, None, None)))
    return made


def _bare(kind: str, name: str, **metadata: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **metadata}}
