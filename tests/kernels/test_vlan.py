"""VLAN uppers: answers carry the tag of the question, whatever the card does with tags."""

from typing import Any

import pytest

from tests.kernels.node import CLIENT, HELD, VIP, Node

VLAN_VIP = "192.0.2.101"
CARDS = {
    "virtio-net": ("v0", "cv", "02:00:00:00:01:01"),
    "e1000": ("e0", "ce", "02:00:00:00:01:02"),
}


@pytest.mark.parametrize("offload", ["on", "off"])
@pytest.mark.parametrize("card", list(CARDS))
def test_each_vlan_is_answered_for_its_own_vips_alone(
    node: Node, card: str, offload: str, record_property: Any
) -> None:
    """An offloading card hides tags from XDP: a question of VLAN 100 would look untagged."""
    name, peer, lladdr = CARDS[card]
    node.sh(
        f"ethtool -K {name} rxvlan {offload} || true\n"
        f"ip link add link {name} name {name}.100 type vlan id 100\n"
        f"ip link set {name} up\nip link set {name}.100 up"
    )

    attached = node.serve("native", name, f"{name}.100")
    node.put(VIP, HELD, [name])
    node.put(VLAN_VIP, HELD, [f"{name}.100"])

    record_property("rung", attached[0]["rung"])
    assert [(a["name"], a["vlan"]) for a in attached] == [(name, 0), (f"{name}.100", 100)]
    assert node.ask(peer, VIP) == [(lladdr, 0)]
    assert node.ask(peer, VLAN_VIP, vlan=100) == [(lladdr, 100)]
    assert node.ask(peer, VIP, vlan=100, patient=False) == []
    assert node.ask(peer, VLAN_VIP, patient=False) == []


def test_a_vlan_of_a_veth_is_answered_though_its_tags_are_never_in_the_frame(
    node: Node, record_property: Any
) -> None:
    """The other end hands tags over beside the frame; rxvlan of this end says nothing of it."""
    node.sh(
        "ip link add st-veth type veth peer name st-peer netns st-client\n"
        "ip link add link st-veth name st-veth.100 type vlan id 100\n"
        "ip link set st-veth up\nip link set st-veth.100 up\n"
        f"{CLIENT} ip link set st-peer up\n"
        f"{CLIENT} ip link add link st-peer name st-peer.100 type vlan id 100\n"
        f"{CLIENT} ip link set st-peer.100 up\n"
        f"cd /opt/stentor && {CLIENT} python3 -m stentor.lab.xdp_pass st-peer"
    )

    attached = node.serve("native", "st-veth", "st-veth.100")
    node.put(VIP, HELD, ["st-veth"])
    node.put(VLAN_VIP, HELD, ["st-veth.100"])

    record_property("rung", attached[0]["rung"])
    assert len(node.ask("st-peer", VIP)) == 1
    assert len(node.ask("st-peer.100", VLAN_VIP)) == 1
    assert node.ask("st-peer.100", VIP, patient=False) == []
    assert node.ask("st-peer", VLAN_VIP, patient=False) == []


def test_a_vlan_is_served_on_itself_where_its_lower_device_is_excluded(
    node: Node, record_property: Any
) -> None:
    node.sh(
        "ip link add link v0 name v0.100 type vlan id 100\nip link set v0 up\nip link set v0.100 up"
    )

    [attached] = node.serve("native", "v0.100")

    record_property("rung", attached["rung"])
    assert (attached["name"], attached["vlan"]) == ("v0.100", 0)
    assert node.ask("cv", VIP, vlan=100) == [("02:00:00:00:01:01", 100)]
    assert node.ask("cv", VIP, patient=False) == []
