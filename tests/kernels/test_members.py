"""Cards that belong to a bridge or a VRF: who answers there."""

from typing import Any

import pytest

from tests.kernels.node import CLIENT, Node

V0 = "02:00:00:00:01:01"


@pytest.mark.parametrize("mode", ["native", "tc"])
def test_a_bridge_answers_for_its_members_and_on_each_of_its_ports(
    node: Node, mode: str, record_property: Any
) -> None:
    """The card is a port; a VM or container on another port must be answered too."""
    node.sh(
        f"ip link add st-br address {V0} type bridge\nip link set st-br up\n"
        "ip link set v0 master st-br up\n"
        "ip link add st-port type veth peer name st-inner netns st-client\n"
        f"ip link set st-port master st-br up\n{CLIENT} ip link set st-inner up"
    )

    attached = node.serve(mode, "st-br", "v0", "st-port")

    record_property("rung", attached[0]["rung"])
    assert [a["name"] for a in attached] == ["st-br"]
    assert node.ask("cv") == [(V0, 0)]
    assert node.ask("st-inner") == [(V0, 0)]


def test_a_member_of_a_vrf_answers_itself(node: Node, record_property: Any) -> None:
    """A VRF's device is no Ethernet: the member is what hears the question."""
    node.sh(
        "ip link add st-vrf type vrf table 100\nip link set st-vrf up\n"
        "ip link set v0 master st-vrf up"
    )

    attached = node.serve("native", "st-vrf", "v0")

    record_property("rung", attached[0]["rung"])
    assert [(a["name"], a["rung"]) for a in attached] == [("v0", "native")]
    assert node.ask("cv") == [(V0, 0)]
