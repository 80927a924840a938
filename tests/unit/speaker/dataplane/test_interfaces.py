"""Which interfaces answer, where, and which addresses are nobody's business."""

import re
from ipaddress import ip_address

import attrs
import pytest

from speaker.dataplane.interfaces import (
    IFF_BROADCAST,
    IFF_LOOPBACK,
    IFF_NOARP,
    IFF_UP,
    HostAddress,
    Link,
    Refusal,
    choose,
    untouchable,
)
from speaker.dataplane.spots import plan_spots
from speaker.dataplane.values import Options

EXCLUDES = Options().excludes
LLADDR = bytes.fromhex("020000000001")
ETH0 = Link(2, "eth0", LLADDR, IFF_UP | IFF_BROADCAST)


def test_an_ordinary_interface_is_chosen() -> None:
    assert choose([ETH0], EXCLUDES).chosen == (ETH0,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"name": "docker0"}, Refusal.EXCLUDED, id="a_container_runtimes"),
        pytest.param({"name": "veth1234"}, Refusal.EXCLUDED, id="a_pods"),
        pytest.param({"name": "kube-ipvs0"}, Refusal.EXCLUDED, id="kube_proxys"),
        pytest.param({"flags": IFF_BROADCAST}, Refusal.NOT_UP, id="down"),
        pytest.param({"master": 9}, Refusal.HAS_MASTER, id="in_a_bond"),
        pytest.param({"flags": ETH0.flags | IFF_NOARP}, Refusal.NO_ARP, id="noarp"),
        pytest.param({"flags": IFF_UP}, Refusal.NO_BROADCAST, id="point_to_point"),
        pytest.param({"lladdr": b""}, Refusal.NOT_ETHERNET, id="without_an_lladdr"),
        pytest.param({"lladdr": bytes(20)}, Refusal.NOT_ETHERNET, id="infiniband"),
        pytest.param({"lladdr": bytes(6)}, Refusal.NOT_ETHERNET, id="all_zero"),
    ],
)
def test_an_interface_is_refused_with_its_reason(
    change: dict[str, object], reason: Refusal
) -> None:
    link = attrs.evolve(ETH0, **change)  # type: ignore[arg-type]

    found = choose([link], EXCLUDES)

    assert found.chosen == ()
    assert found.refused == {link.name: reason}


def test_a_member_of_a_vrf_is_chosen_and_the_vrf_is_not() -> None:
    """A VRF routes; what hears ARP is its member."""
    vrf = Link(9, "vrf-blue", LLADDR, IFF_UP | IFF_NOARP, kind="vrf")
    member = attrs.evolve(ETH0, master=9)

    found = choose([vrf, member], EXCLUDES)

    assert found.chosen == (member,)
    assert found.refused == {"vrf-blue": Refusal.NO_ARP}


def test_excludes_are_the_operators_to_change() -> None:
    link = attrs.evolve(ETH0, name="veth0")

    assert choose([link], [re.compile("^eth")]).chosen == (link,)
    assert choose([ETH0], [re.compile("^eth")]).refused == {"eth0": Refusal.EXCLUDED}


def test_lo_is_refused_even_where_nothing_is_excluded() -> None:
    lo = Link(1, "lo", bytes(6), IFF_UP | IFF_LOOPBACK)

    assert choose([lo], []).refused == {"lo": Refusal.NO_BROADCAST}


def test_a_vlan_upper_is_served_where_its_tags_are_seen() -> None:
    upper = attrs.evolve(ETH0, ifindex=3, name="eth0.20", kind="vlan", lower=2, vlan=20)

    alone = plan_spots([upper])
    together = plan_spots([ETH0, upper])

    assert [(spot.hook.name, spot.vlan) for spot in alone] == [("eth0.20", 0)]
    assert [(spot.hook.name, spot.vlan) for spot in together] == [("eth0", 0), ("eth0", 20)]


def test_own_addresses_and_next_hops_are_untouchable_but_those_bound_for_vips() -> None:
    addresses = [
        HostAddress(ip_address("192.0.2.10"), "eth0"),
        HostAddress(ip_address("192.0.2.200"), "lo"),
        HostAddress(ip_address("192.0.2.201"), "kube-ipvs0"),
    ]
    gateway = ip_address("192.0.2.1")

    assert untouchable(addresses, [gateway]) == {ip_address("192.0.2.10"), gateway}
