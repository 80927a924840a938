"""What `stentor convert` makes of older configurations passes validation and applies."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from stentor.convert import SOURCES
from tests.cluster.cli import stentor
from tests.cluster.kubectl import Kubectl

DIRECTORY = Path(__file__).parent / "conversions"
MADE = {
    "addresspool": {"IPAddressPool": 2, "L2Advertisement": 1, "BGPAdvertisement": 2, "Service": 1},
    "bgppeer-v1beta1": {"BGPPeer": 2},
    "configmap": {
        "BFDProfile": 1, "Community": 1, "BGPPeer": 2, "IPAddressPool": 2, "L2Advertisement": 1,
        "BGPAdvertisement": 2,
    },
    "kubespray": {
        "IPAddressPool": 3, "L2Advertisement": 1, "Community": 1, "BGPPeer": 2,
        "BGPAdvertisement": 2,
    },
    "operator": {"MetalLB": 1},
}  # fmt: skip


def test_there_is_an_example_of_every_source() -> None:
    assert {path.stem for path in DIRECTORY.iterdir()} == SOURCES.keys() == MADE.keys()


@pytest.mark.parametrize("source", SOURCES)
def test_the_output_is_valid_and_applies_without_a_warning(
    kubectl: Kubectl, namespace: str, source: str
) -> None:
    text = (DIRECTORY / f"{source}.yaml").read_text(encoding="utf-8")
    text = text.replace("namespace: metallb-system", f"namespace: {namespace}")

    code, made, _ = stentor("convert", "--namespace", namespace, "--from", source, stdin=text)
    validated = stentor("validate", stdin=made)
    objects = list(yaml.safe_load_all(made))
    applied = kubectl.apply(*objects)

    assert (code, validated[0], applied.code) == (0, 0, 0), validated[1] + applied.errors
    assert [row for row in applied.errors.splitlines() if row] == []
    assert MADE[source] == Counter(each["kind"] for each in objects)
