"""Where the program stands on each kind of card, and that a neighbour is answered there."""

from typing import Any

import pytest

from tests.kernels.node import CLIENT, Node

V0, E0 = "02:00:00:00:01:01", "02:00:00:00:01:02"
VETH = "02:00:00:00:01:0f"
TCX_SINCE = (6, 6)
# Each rung once, and the card whose other end matters; the rest takes a minute more.
QUICK = {*(("virtio-net", mode) for mode in ("native", "generic", "tc")), ("veth", "native")}
CASES = [
    pytest.param(
        card,
        mode,
        id=f"{card}-{mode}",
        marks=[pytest.mark.quick] if (card, mode) in QUICK else [],
    )
    for card in ("virtio-net", "e1000", "veth")
    for mode in ("native", "generic", "tc")
]


def tc_rung(node: Node) -> str:
    """The best rung below XDP on this kernel."""
    release = node.vm.run("uname", "-r").split(".")
    return "tcx" if (int(release[0]), int(release[1])) >= TCX_SINCE else "clsact"


@pytest.mark.parametrize(("card", "mode"), CASES)
def test_a_neighbour_is_answered(node: Node, card: str, mode: str, record_property: Any) -> None:
    """e1000 has no native XDP: there the next rung serves, and says why."""
    name, peer, lladdr = {
        "virtio-net": ("v0", "cv", V0),
        "e1000": ("e0", "ce", E0),
        "veth": ("st-veth", "st-peer", VETH),
    }[card]
    if card == "veth":
        add_veth(node)
    node.sh(f"ip link set {name} up")
    expected = {"native": "generic" if card == "e1000" else "native", "generic": "generic"}

    [attached] = node.serve(mode, name)

    record_property("rung", attached["rung"])
    assert attached["rung"] == expected.get(mode, tc_rung(node)), attached
    falls = attached["rung"] == "clsact" or (card, mode) == ("e1000", "native")
    assert attached["reason"] == ("not_supported" if falls else "requested")
    assert node.ask(peer) == [(lladdr, 0)]
    node.sh(f"{CLIENT} ip addr add 2001:db8::2/64 dev {peer} nodad")
    assert node.ask6(peer) == [lladdr]


def add_veth(node: Node) -> None:
    """A veth to the client, whose end runs XDP, as native XDP_TX needs."""
    node.sh(
        f"ip link add st-veth address {VETH} type veth peer name st-peer netns st-client\n"
        f"{CLIENT} ip link set st-peer up\n"
        f"cd /opt/stentor && {CLIENT} python3 -m stentor.lab.xdp_pass st-peer"
    )
