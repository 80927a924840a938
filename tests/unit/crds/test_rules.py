"""What is said about a set of objects, rule by rule."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.decode import KINDS
from crds.rules import Backend
from tests.unit.crds.configurations import (
    ECHO,
    SECRET,
    Raw,
    bgp,
    errors,
    findings,
    node,
    on,
    peer,
    pool,
    raw,
)


@pytest.mark.parametrize(
    ("objects", "complaint"),
    [
        pytest.param(
            [pool("a", "192.0.2.0/25"), pool("b", "192.0.2.100-192.0.2.200")],
            "IPAddressPool metallb-system/b: spec.addresses[0]: overlaps "
            "IPAddressPool metallb-system/a; an address can be in one pool only",
            id="pools_that_share_an_address",
        ),
        pytest.param(
            [pool("a"), pool("a", "198.51.100.0/24")],
            "IPAddressPool metallb-system/a: metadata.name: is that of another pool too",
            id="two_pools_of_one_name",
        ),
        pytest.param(
            [pool(), bgp(aggregationLength=20)],
            "BGPAdvertisement metallb-system/ad: spec.aggregationLength: /20 is larger than "
            "192.0.2.0/24 of IPAddressPool metallb-system/lan, need 24 or more",
            id="an_aggregate_larger_than_the_pool",
        ),
        pytest.param(
            [bgp(communities=["fast-lane"]), raw("Community", communities=[
                {"name": "fast_lane", "value": "64512:1"}])],
            "BGPAdvertisement metallb-system/ad: spec.communities[0]: fast-lane is neither a "
            "community nor the name of one; did you mean fast_lane?",
            id="an_alias_that_nobody_gives",
        ),
        pytest.param(
            [raw("Community", n, communities=[{"name": "a", "value": "1:2"}]) for n in "xy"],
            "Community metallb-system/y: spec.communities[0].name: a is given by "
            "Community metallb-system/x too",
            id="an_alias_of_two_objects",
        ),
        pytest.param(
            [peer(bfdProfile="echoo"), ECHO],
            "BGPPeer metallb-system/tor: spec.bfdProfile: there is no BFDProfile echoo; "
            "did you mean echo?",
            id="a_profile_that_is_not_there",
        ),
        pytest.param(
            [pool("six", "2001:db8::/64"), bgp(), peer(bfdProfile="echo"), ECHO],
            "BGPPeer metallb-system/tor: spec.bfdProfile: echo has echoMode, which cannot be "
            "used where IPv6 VIPs are announced",
            id="echo_where_ipv6_is_announced",
        ),
        pytest.param(
            [peer(passwordSecret={"name": "pw"})],
            "BGPPeer metallb-system/tor: spec.passwordSecret.name: there is no Secret pw",
            id="a_secret_that_is_not_there",
        ),
        pytest.param(
            [peer(passwordSecret={"name": "pw"}), SECRET],
            "BGPPeer metallb-system/tor: spec.passwordSecret.name: Secret pw is of type Opaque, "
            "need kubernetes.io/basic-auth",
            id="a_secret_of_the_wrong_type",
        ),
        pytest.param(
            [peer(passwordSecret={"name": "pw"}), {**SECRET, "type": "kubernetes.io/basic-auth"}],
            "BGPPeer metallb-system/tor: spec.passwordSecret.name: Secret pw has no key password",
            id="a_secret_without_a_password",
        ),
        pytest.param(
            [pool(), bgp("a", localPref=100), bgp("b", localPref=200), node("n1")],
            "BGPAdvertisement metallb-system/b: spec.localPref: is 200, but 100 in "
            "BGPAdvertisement metallb-system/a for the same routes of "
            "IPAddressPool metallb-system/lan",
            id="two_local_prefs_for_one_route",
        ),
    ],
)  # fmt: skip
def test_a_set_of_objects_is_refused_with_a_reason(objects: list[Raw], complaint: str) -> None:
    assert errors(*objects) == [complaint]


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([pool("a", "192.0.2.0/25"), pool("b", "192.0.2.128/25")], id="neighbours"),
        pytest.param(
            [pool(), bgp("a", localPref=1, peers=["p"]), bgp("b", localPref=2, peers=["q"]),
             node("n1")],
            id="local_prefs_for_other_peers",
        ),
        pytest.param(
            [pool(), bgp("a", localPref=1, nodeSelectors=on("n1")),
             bgp("b", localPref=2, nodeSelectors=on("n2")), node("n1"), node("n2")],
            id="local_prefs_on_other_nodes",
        ),
        pytest.param(
            [pool(), bgp("a", localPref=1, aggregationLength=24), bgp("b", localPref=2),
             node("n1")],
            id="local_prefs_of_other_prefixes",
        ),
        pytest.param(
            [pool(), bgp("a", localPref=1, serviceSelectors=[{}]), bgp("b", localPref=2),
             node("n1")],
            id="local_prefs_that_only_meet_when_a_service_is_selected",
        ),
        pytest.param([pool("six", "2001:db8::/64"), peer(bfdProfile="echo"), ECHO],
                     id="echo_where_nothing_is_announced"),
    ],
)  # fmt: skip
def test_a_set_of_objects_is_taken(objects: list[Raw]) -> None:
    assert errors(*objects) == []


@pytest.mark.parametrize(
    ("objects", "backend", "field"),
    [
        pytest.param([peer(vrf="red")], Backend.NATIVE, "spec.vrf", id="native_has_no_vrf"),
        pytest.param(
            [peer("a", routerID="192.0.2.1"), peer("b", peerAddress="192.0.2.251")],
            Backend.FRR, "spec.routerID", id="frr_has_one_router_id",
        ),
        pytest.param(
            [peer("a"), peer("b", peerAddress="192.0.2.251", myASN=64502)],
            Backend.FRR_K8S, "spec.myASN", id="frr_has_one_asn_a_vrf",
        ),
        pytest.param(
            [peer("a"), peer("b", holdTime="30s")], Backend.GOBGP, "spec.peerAddress",
            id="one_session_an_address",
        ),
    ],
)  # fmt: skip
def test_a_backend_refuses_what_it_cannot_do(
    objects: list[Raw], backend: Backend, field: str
) -> None:
    assert errors(*objects) == []
    assert [f": {field}: " in each for each in errors(*objects, backend=backend)] == [True]


def test_gobgp_takes_what_frr_does_not() -> None:
    objects = [peer("a", routerID="192.0.2.1"), peer("b", peerAddress="192.0.2.251", myASN=64502)]

    assert errors(*objects, backend=Backend.GOBGP) == []


def test_a_missing_reference_may_yet_come() -> None:
    """A webhook lets it pass: manifests are applied in any order."""
    [finding] = [each for each in findings(peer(bfdProfile="slow")) if each.is_error]

    assert finding.is_transient


def test_the_parts_of_a_broken_object_that_are_right_take_part() -> None:
    """An unreadable range does not hide that another one overlaps."""
    broken = pool("b", "192.0.2.0/33", "192.0.2.7/32")

    found = errors(pool("a"), broken)

    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "spec.addresses[0]",
        "spec.addresses[0]",
    ]


def test_an_old_pool_counts_as_a_pool_and_its_advertisement() -> None:
    old = {
        "apiVersion": "metallb.io/v1alpha1",
        "kind": "AddressPool",
        "metadata": {"name": "old", "namespace": "metallb-system"},
        "spec": {"protocol": "bgp", "addresses": ["192.0.2.0/24"],
                 "bgpAdvertisements": [{"aggregationLength": 20}]},
    }  # fmt: skip

    [complaint] = errors(old)

    assert complaint.startswith("AddressPool metallb-system/old: spec.aggregationLength: /20")


_SPEC = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70_000) | st.sampled_from(
        ["", "x", "192.0.2.0/24", "192.0.2.1", "64512:1", "90s", "layer2", "In"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["addresses", "peers", "ipAddressPools", "nodeSelectors", "matchLabels",
                         "matchExpressions", "communities", "name", "value", "myASN", "peerASN",
                         "peerAddress", "holdTime", "bfdProfile", "echoMode", "protocol",
                         "aggregationLength", "localPref", "passwordSecret"]), inner, max_size=4),
)  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 1), _SPEC), max_size=4),
    st.sampled_from([None, *Backend]),
)
def test_any_objects_end_in_findings(
    parts: list[tuple[str, int, Any]], backend: Backend | None
) -> None:
    """Whatever stands in a file: findings with a text, never a traceback."""
    objects: list[Raw] = []
    for kind, number, spec in parts:
        versions = list(KINDS[kind])
        head = {"apiVersion": versions[number % len(versions)], "kind": kind}
        objects.append({**head, "metadata": {"name": f"o{number}"}, "spec": spec})

    found = findings(*objects, backend=backend)

    assert all(each.problem.message for each in found)
