"""VIPs that the host's kernel has too (IPVS, dummy), strict ARP off: only the owner answers."""

from typing import Any

import pytest

from tests.kernels.node import ELSEWHERE, HELD, VIP, Node

V0 = "02:00:00:00:01:01"
OTHER = "192.0.2.101"
PLACES = {
    "kube-ipvs0": (
        "modprobe ip_vs\nipvsadm -C\nip link add kube-ipvs0 type dummy\n"
        f"ip addr add {VIP}/32 dev kube-ipvs0\nip addr add {OTHER}/32 dev kube-ipvs0\n"
        f"ipvsadm -A -t {VIP}:80 -s rr\nipvsadm -a -t {VIP}:80 -r 10.0.0.1:80 -m"
    ),
    "dummy": (
        "ip link add st-dummy type dummy\nip link set st-dummy up\n"
        f"ip addr add {VIP}/32 dev st-dummy\nip addr add {OTHER}/32 dev st-dummy"
    ),
}


@pytest.mark.parametrize("mode", ["native", "generic", "tc"])
@pytest.mark.parametrize("place", list(PLACES))
def test_a_vip_that_the_kernel_has_is_answered_by_its_owner_alone(
    node: Node, place: str, mode: str, record_property: Any
) -> None:
    """Without strict ARP the kernel answers for any of its addresses, on every card."""
    node.sh(f"{PLACES[place]}\nip link set v0 up")
    assert node.ask(vip=OTHER) == [(V0, 0)]  # the trap is set

    [attached] = node.serve(mode, "v0", manage_sysctls=False)
    node.put(VIP, HELD)
    node.put(OTHER, ELSEWHERE)

    record_property("rung", attached["rung"])
    assert node.ask(vip=VIP) == [(V0, 0)]
    assert node.ask(vip=OTHER, patient=False) == []
