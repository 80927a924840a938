"""The manifests of deploy/webhooks as a real API server takes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.config import NAMESPACE
from tests.cluster.kubectl import Kubectl

DEPLOY = Path(__file__).parents[2] / "deploy" / "webhooks"


@pytest.fixture
def home(kubectl: Kubectl) -> Iterator[None]:
    """The namespace that the manifests are for."""
    kubectl.good("create", "namespace", NAMESPACE)
    yield
    kubectl.good("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.usefixtures("home")
def test_the_manifests_of_the_webhooks_apply_without_a_warning(kubectl: Kubectl) -> None:
    """Not for good: the configuration would have every other test's objects judged."""
    paths = sorted(DEPLOY.glob("*.yaml"))

    for path in paths:
        kubectl.good("apply", "--dry-run=server", "--validate=strict", "-f", str(path))

    assert len(paths) == 3
