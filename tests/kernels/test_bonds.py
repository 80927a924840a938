"""Bonds: one voice on the wire, whichever member is in use."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.eventually import eventually
from tests.kernels.node import CLIENT, NICS, Node

BONDED_S = 90.0  # LACP takes seconds, and all is slow here
B0, B1, CB0, CB1 = (
    next(n for n, nic in enumerate(NICS) if nic.lladdr.endswith(tail))
    for tail in ("01:03", "01:04", "02:03", "02:04")
)
BOND_LLADDR = "02:00:00:00:01:03"  # of the first member
UP = "ip link set b0 master st-bond\nip link set b1 master st-bond\nip link set st-bond up"


@pytest.fixture
def bonded(node: Node) -> Iterator[Node]:
    """A node; cables are plugged in again behind the test."""
    yield node
    for card in (B0, B1, CB0, CB1):
        node.vm.plug(card, is_in=True)


def active_member(node: Node) -> str:
    return node.sh("cat /sys/class/net/st-bond/bonding/active_slave").strip()


@pytest.mark.parametrize("mode", ["native", "tc"])
def test_an_active_backup_bond_answers_once_before_and_after_a_failover(
    bonded: Node, mode: str, record_property: Any
) -> None:
    """A broadcast reaches both members, as from a switch; the standby one must not answer."""
    node = bonded
    node.sh(
        f"ip link add st-bond type bond mode active-backup miimon 100\n{UP}\n"
        f"{CLIENT} ip link add st-br type bridge\n{CLIENT} ip link set st-br up\n"
        f"{CLIENT} ip link set cb0 master st-br\n{CLIENT} ip link set cb1 master st-br"
    )
    eventually(lambda: active_member(node), until="b0".__eq__, within_s=BONDED_S)

    attached = node.serve(mode, "st-bond", "b0", "b1")

    record_property("rung", attached[0]["rung"])
    assert [a["name"] for a in attached] == ["st-bond"]
    assert node.ask("st-br") == [(BOND_LLADDR, 0)]
    assert node.ask6("st-br") == [BOND_LLADDR]
    node.vm.plug(B0, is_in=False)
    eventually(lambda: active_member(node), until="b1".__eq__, within_s=BONDED_S)
    node.sync()
    assert node.ask("st-br") == [(BOND_LLADDR, 0)]


def test_a_bond_of_lacp_answers_once_before_and_after_a_failover(
    bonded: Node, record_property: Any
) -> None:
    node = bonded
    # Ports of unknown speed, as virtio's are, are never aggregated.
    speed = "speed 1000 duplex full"
    node.sh(
        f"ethtool -s b0 {speed}\nethtool -s b1 {speed}\n"
        f"{CLIENT} ethtool -s cb0 {speed}\n{CLIENT} ethtool -s cb1 {speed}"
    )
    node.sh(
        f"ip link add st-bond type bond mode 802.3ad miimon 100 lacp_rate fast\n{UP}\n"
        f"{CLIENT} ip link add st-cbond type bond mode 802.3ad miimon 100 lacp_rate fast\n"
        f"{CLIENT} ip link set cb0 down\n{CLIENT} ip link set cb0 master st-cbond\n"
        f"{CLIENT} ip link set cb1 down\n{CLIENT} ip link set cb1 master st-cbond\n"
        f"{CLIENT} ip link set st-cbond up"
    )

    def ports() -> str:
        return node.sh("cat /sys/class/net/st-bond/bonding/ad_num_ports").strip()

    eventually(ports, until="2".__eq__, within_s=BONDED_S)

    attached = node.serve("native", "st-bond", "b0", "b1")

    record_property("rung", attached[0]["rung"])
    assert [a["name"] for a in attached] == ["st-bond"]
    assert node.ask("st-cbond") == [(BOND_LLADDR, 0)]
    for card in (B0, CB0):
        node.vm.plug(card, is_in=False)
    eventually(ports, until="1".__eq__, within_s=BONDED_S)
    assert node.ask("st-cbond") == [(BOND_LLADDR, 0)]


def test_a_bond_whose_lladdr_follows_the_active_member_answers_with_the_new_one(
    bonded: Node, record_property: Any
) -> None:
    """fail_over_mac=active, as for members that cannot change theirs (IPoIB, some VFs)."""
    node = bonded
    node.sh(
        f"ip link add st-bond type bond mode active-backup miimon 100 fail_over_mac active\n{UP}"
    )
    eventually(lambda: active_member(node), until="b0".__eq__, within_s=BONDED_S)
    attached = node.serve("native", "st-bond")
    assert node.ask("cb0") == [(BOND_LLADDR, 0)]

    node.vm.plug(B0, is_in=False)
    eventually(lambda: active_member(node), until="b1".__eq__, within_s=BONDED_S)
    node.sync()

    record_property("rung", attached[0]["rung"])
    assert node.ask("cb1") == [("02:00:00:00:01:04", 0)]


def test_native_xdp_is_not_used_on_a_bond_though_its_members_would_take_it(
    node: Node, record_property: Any
) -> None:
    """It would run on each member, by the member's number and before a standby one is dropped."""
    xdp_pass = "python3 -m stentor.lab.xdp_pass"
    node.sh(
        "ip link add st-bond type bond mode active-backup miimon 100\n"
        f"{CLIENT} ip link add st-br type bridge\n{CLIENT} ip link set st-br up\n"
        + "".join(
            f"ip link add st-m{n} type veth peer name st-p{n} netns st-client\n"
            f"ip link set st-m{n} master st-bond\n"
            f"{CLIENT} ip link set st-p{n} master st-br up\n"
            for n in range(2)
        )
        + "ip link set st-bond up\ncd /opt/stentor\n"
        f"{CLIENT} {xdp_pass} st-p0 st-p1\n"
        # The trap is set: the kernel takes a native program there.
        f"{xdp_pass} st-bond\nip -d link show st-bond | grep -q 'prog/xdp'\n"
        "ip link set st-bond xdpdrv off"
    )
    eventually(lambda: active_member(node), until=bool, within_s=BONDED_S)

    [attached] = node.serve("native", "st-bond", "st-m0", "st-m1")

    record_property("rung", attached["rung"])
    assert (attached["name"], attached["rung"]) == ("st-bond", "generic")
    assert attached["reason"] == "not_supported"
    assert node.ask("st-br") == [(attached["lladdr"], 0)]
