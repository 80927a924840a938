"""What works as written but hardly does what was meant."""

import pytest

from tests.unit.crds.configurations import (
    L2,
    Raw,
    bgp,
    errors,
    node,
    on,
    peer,
    pool,
    raw,
    warnings,
)


@pytest.mark.parametrize(
    ("objects", "complaint"),
    [
        pytest.param(
            [pool()], "IPAddressPool metallb-system/lan: no L2Advertisement or BGPAdvertisement "
            "selects it: nobody announces its VIPs", id="a_pool_nobody_announces",
        ),
        pytest.param(
            [pool(), L2, raw("L2Advertisement", "b", ipAddressPools=["lam"])],
            "L2Advertisement metallb-system/b: spec.ipAddressPools[0]: there is no "
            "IPAddressPool lam; did you mean lan?", id="a_pool_that_is_not_there",
        ),
        pytest.param(
            [pool(), L2, node("n1", "192.0.2.9")],
            "IPAddressPool metallb-system/lan: spec.addresses[0]: holds 192.0.2.9, an address of "
            "Node n1, which is never announced", id="an_address_of_a_node",
        ),
        pytest.param(
            [pool("lan", "10.244.3.0/28", "192.0.2.0/28"), L2,
             {**node("n1"), "spec": {"podCIDR": "10.244.0.0/16", "podCIDRs": ["10.244.0.0/16"]}}],
            "IPAddressPool metallb-system/lan: spec.addresses[0]: holds 10.244.0.0/16, addresses "
            "of pods on Node n1", id="addresses_of_pods",
        ),
        pytest.param(
            [pool("lan", "192.0.2.0/28", "fd00:10:96::5-fd00:10:96::9"), L2,
             {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
              "metadata": {"name": "kubernetes"},
              "spec": {"cidrs": ["10.96.0.0/12", "fd00:10:96::/112"]}}],
            "IPAddressPool metallb-system/lan: spec.addresses[1]: holds fd00:10:96::/112, cluster "
            "IPs by ServiceCIDR kubernetes", id="cluster_ips",
        ),
        pytest.param(
            [pool(), L2, raw("L2Advertisement", "b", ipAddressPoolSelectors=[
                {"matchLabels": {"zone": "east"}}])],
            "L2Advertisement metallb-system/b: spec.ipAddressPoolSelectors: matches no "
            "IPAddressPool", id="a_label_of_no_pool",
        ),
        pytest.param(
            [pool(), L2, bgp(nodeSelectors=on("n9")), node("n1")],
            "BGPAdvertisement metallb-system/ad: spec.nodeSelectors: matches no Node",
            id="a_label_of_no_node",
        ),
        pytest.param(
            [pool(), bgp(peers=["torr"]), peer()],
            "BGPAdvertisement metallb-system/ad: spec.peers[0]: there is no BGPPeer torr; did you "
            "mean tor?", id="a_peer_that_is_not_there",
        ),
        pytest.param(
            [pool(serviceAllocation={"namespaces": ["shop"]}), L2,
             {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}],
            "IPAddressPool metallb-system/lan: spec.serviceAllocation: matches no Namespace",
            id="a_namespace_that_is_not_there",
        ),
        pytest.param(
            [pool(), L2, node("n1", "no address"), node("n2", "192.0.3.0")],
            None, id="addresses_beside_the_pool_or_none",
        ),
        pytest.param(
            [peer(nodeSelectors=on("n9")), node("n1")],
            "BGPPeer metallb-system/tor: spec.nodeSelectors: matches no Node: nobody opens this "
            "session", id="a_peer_no_node_selects",
        ),
        pytest.param(
            [pool("a", "192.0.2.0/25"), pool("b", "192.0.2.128/25"), L2,
             bgp(ipAddressPools=["a"], aggregationLength=25),
             bgp("c", ipAddressPools=["b"], aggregationLength=25)],
            None, id="aggregates_that_keep_to_their_pools",
        ),
        pytest.param(
            [
                pool("a", "192.0.2.0-192.0.2.130"),
                pool("b", "192.0.2.200/32"),
                L2,
                bgp(ipAddressPools=["a"], aggregationLength=25),
            ],
            "BGPAdvertisement metallb-system/ad: spec.aggregationLength: /25 of "
            "IPAddressPool metallb-system/a takes in addresses of "
            "IPAddressPool metallb-system/b, which it does not select",
            id="an_aggregate_that_swallows_another_pool",
        ),
        pytest.param(
            [pool("a", "192.0.2.0-192.0.2.127", "192.0.2.192/26"), pool("b", "192.0.2.128/26"), L2,
             bgp(ipAddressPools=["a"], aggregationLength=26)],
            None, id="aggregates_beside_another_pool",
        ),
    ],
)  # fmt: skip
def test_what_hardly_does_what_was_meant_is_told(objects: list[Raw], complaint: str | None) -> None:
    assert errors(*objects) == []
    assert warnings(*objects) == ([complaint] if complaint else [])


def test_every_pool_that_holds_an_address_of_a_node_is_told() -> None:
    """Though pools must not overlap, both are named when they do."""
    objects = [pool("a", "192.0.2.0/24"), pool("b", "192.0.2.8/29"), pool("c", "192.0.2.0/31"), L2]

    told = [w for w in warnings(*objects, node("n1", "192.0.2.9")) if "holds" in w]

    assert sorted(w.split()[1] for w in told) == ["metallb-system/a:", "metallb-system/b:"]
