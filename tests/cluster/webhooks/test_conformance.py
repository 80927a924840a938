"""The suite config/webhook-e2e, asked of the real API server."""

from collections.abc import Iterator
from typing import Any

import pytest

from crds.decode import KINDS
from tests.cluster.kubectl import Answer
from tests.cluster.webhooks.rig import NAMESPACE, Judged
from tests.conformance.cases import Case
from tests.conformance.test_cases import CASES

SUITE = [case for case in CASES if case.path == "config/webhook-e2e"]
Raw = dict[str, Any]


def whole(raw: Raw) -> Raw:
    """What the data leaves out: the version and, mostly, the namespace."""
    metadata = {"namespace": NAMESPACE, **raw["metadata"]}
    version = next(iter(KINDS[raw["kind"]]))
    return {"spec": {}, **raw, "apiVersion": version, "metadata": metadata}


@pytest.fixture
def cleared(installation: Judged) -> Iterator[None]:
    """Nothing of ours is left behind."""
    yield
    # Peers first: a BFDProfile that one names is not let go.
    for plural in ("bgppeers", "bfdprofiles", "ipaddresspools", "bgpadvertisements", "communities"):
        installation.kubectl("delete", plural, "--all", "-n", NAMESPACE, "--wait=true")


@pytest.mark.usefixtures("replica", "cleared")
@pytest.mark.parametrize("case", SUITE, ids=lambda case: case.id)
def test_the_api_server_takes_what_metallb_takes(installation: Judged, case: Case) -> None:
    for raw in case.input["existing"]:
        answer = installation.kubectl.apply(whole(raw))
        assert answer.code == 0, answer.errors

    answers = [ask(installation, case.input["operation"], raw) for raw in case.input["objects"]]

    is_accepted = all(answer.code == 0 for answer in answers)
    assert is_accepted is (case.expect["result"] == "accepted"), answers
    assert not any("failed calling webhook" in answer.errors for answer in answers), answers


def ask(installation: Judged, operation: str, raw: Raw) -> Answer:
    """Try to store or to delete it."""
    if operation != "delete":
        return installation.kubectl.apply(whole(raw))
    return installation.kubectl("delete", raw["kind"], raw["metadata"]["name"], "-n", NAMESPACE)
