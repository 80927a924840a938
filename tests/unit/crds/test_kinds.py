"""What is said about one object of the BGP kinds, the old kinds and the operator's."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.address_pool import AddressPool, expanded
from crds.bgp_peer_v1beta1 import down, lost_going_down, up
from crds.communities import BgpCommunity, parse_community
from crds.configuration_state import Condition, summarize
from crds.decode import KINDS, decode
from crds.durations import duration_text, nanoseconds
from crds.errors import CommunityError, ConfigError

PEER = {"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1"}


def complaints(kind: str, spec: dict[str, Any], *, version: str = "", name: str = "x") -> list[str]:
    """Return all that `decode` says against an object."""
    head = {"apiVersion": version or next(iter(KINDS[kind])), "kind": kind}
    try:
        decode({**head, "metadata": {"name": name}, "spec": spec})
    except ConfigError as exc:
        return [str(problem) for problem in exc.problems]
    return []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"myASN": 0}, "spec.myASN: 0 is no ASN (RFC 7607)"),
        ({"peerASN": None}, "spec: has neither; give peerASN or dynamicASN"),
        ({"dynamicASN": "internal"},
         "spec.dynamicASN: stands beside peerASN; give peerASN or dynamicASN"),
        ({"peerAddress": None}, "spec: has neither; give peerAddress or interface"),
        ({"interface": "eth0"},
         "spec.interface: stands beside peerAddress; give peerAddress or interface"),
        ({"peerAddress": "192.0.2"}, "spec.peerAddress: '192.0.2' is not an IPv4 or IPv6 address"),
        ({"routerID": "::1"},
         "spec.routerID: '::1' is no router ID, need an IPv4 address but 0.0.0.0"),
        ({"peerASN": 64500, "ebgpMultiHop": True},
         "spec.ebgpMultiHop: is for a peer of another ASN; remove it, iBGP is not bound to one "
         "hop"),
        ({"holdTime": "2s"},
         "spec.holdTime: a hold time of 2s is too short, need 0s or 3s"),
        ({"keepaliveTime": "500ms"},
         "spec.keepaliveTime: a hold time of 1500ms is too short, need 0s or 3s"),
        ({"holdTime": "30s", "keepaliveTime": "31s"},
         "spec.keepaliveTime: is longer than holdTime 30s"),
        ({"holdTime": "90"}, "spec.holdTime: '90' is not a duration; one looks like 90s or 1m30s"),
        ({"connectTime": "1500ms"}, "spec.connectTime: need whole seconds, 1s to 65535s"),
        ({"password": "x", "passwordSecret": {"name": "y"}},
         "spec.password: stands beside passwordSecret; remove one of them"),
        ({"dynamicASN": "intern", "peerASN": None},
         "spec.dynamicASN: 'intern' is none of , internal, external; did you mean internal?"),
        ({"peerAdress": "192.0.2.9"},
         "spec.peerAdress: no such field; did you mean peerAddress?"),
    ],
)  # fmt: skip
def test_a_peer_is_refused_with_a_reason(change: dict[str, Any], complaint: str) -> None:
    spec = {key: value for key, value in {**PEER, **change}.items() if value is not None}

    assert complaint in complaints("BGPPeer", spec)


def test_a_whole_peer_is_taken() -> None:
    assert complaints("BGPPeer", {**PEER, "holdTime": "0s", "keepaliveTime": "0s"}) == []


@pytest.mark.parametrize(
    ("kind", "spec", "complaint"),
    [
        ("BGPAdvertisement", {"aggregationLength": 24, "serviceSelectors": [{}]},
         "spec.aggregationLength: 24 cannot be used with serviceSelectors, need 32"),
        ("BGPAdvertisement", {"aggregationLength": 33},
         "spec.aggregationLength: 33 is too large, the most is 32"),
        ("BGPAdvertisement", {"communities": ["ok", "1:70000"]},
         "spec.communities[1]: '70000' in community '1:70000', need a number of 0 to 65535"),
        ("Community", {"communities": [{"name": "a", "value": v} for v in ("1:2", "1:3")]},
         "spec.communities[1].name: is the name of entry [0] too"),
        ("Community", {"communities": [{"name": "a", "value": "lar:1:2:3"}]},
         "spec.communities[0].value: 'lar:1:2:3' is no community; write 64512:100 or "
         "large:64512:1:2"),
        ("BFDProfile", {"receiveInterval": 9},
         "spec.receiveInterval: 9 is too small, the least is 10"),
        ("AddressPool", {"protocol": "layer2", "addresses": ["192.0.2.0/24"],
                         "bgpAdvertisements": [{}]},
         "spec.bgpAdvertisements: is for protocol bgp, not layer2; remove one of them"),
        ("AddressPool", {"protocol": "arp", "addresses": ["192.0.2.0/24"]},
         "spec.protocol: 'arp' is none of layer2, bgp"),
        ("MetalLB", {"speakerTolerations": [{"effect": "NoSchedule", "tolerationSeconds": 3}]},
         "spec.speakerTolerations[0].tolerationSeconds: is for effect NoExecute, not NoSchedule"),
        ("MetalLB", {"bgpBackend": "frr-k8s-external"},
         "spec.frrk8sConfig.namespace: is required with bgpBackend frr-k8s-external"),
        ("MetalLB", {"frrk8sConfig": {"alwaysBlock": ["192.0.2.1/24"]}},
         "spec.frrk8sConfig.alwaysBlock[0]: 192.0.2.1/24 has host bits set"),
    ],
)  # fmt: skip
def test_an_object_is_refused_with_a_reason(
    kind: str, spec: dict[str, Any], complaint: str
) -> None:
    assert complaints(kind, spec, name="metallb") == [complaint]


def test_the_operators_object_has_one_name() -> None:
    assert complaints("MetalLB", {}) == ["metadata.name: 'x' is not looked at, need 'metallb'"]


def test_an_old_peer_is_judged_as_the_new_one_it_becomes() -> None:
    spec = {**PEER, "myASN": 0}

    assert complaints("BGPPeer", spec, version="metallb.io/v1beta1") == [
        "spec.myASN: 0 is no ASN (RFC 7607)"
    ]


def test_an_old_pool_becomes_a_pool_and_an_advertisement_for_each_it_had() -> None:
    old = decode(
        {
            "apiVersion": "metallb.io/v1beta1",
            "kind": "AddressPool",
            "metadata": {"name": "old", "namespace": "lb"},
            "spec": {"protocol": "bgp", "addresses": ["192.0.2.0/24"], "autoAssign": False,
                     "bgpAdvertisements": [{"localPref": 100}, {"communities": ["1:2"]}]},
        }
    )  # fmt: skip
    assert isinstance(old, AddressPool)

    pool, *ads = [decode(raw) for raw in expanded(old)]

    assert pool.model_dump()["spec"]["auto_assign"] is False
    assert [(ad.KIND, ad.metadata.name) for ad in ads] == [
        ("BGPAdvertisement", "old-0"),
        ("BGPAdvertisement", "old-1"),
    ]


# --- conversion

TEXTS = st.text(max_size=5)


@given(st.dictionaries(st.sampled_from([*PEER, "vrf", "holdTime", "password", "x"]), TEXTS))
def test_what_both_versions_have_survives_the_way_up_and_down(spec: dict[str, str]) -> None:
    old = {"apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer", "spec": spec}

    back = down(up(old))["spec"]

    shared = {key: value for key, value in spec.items() if key not in {"vrf", "x"}}
    assert {key: value for key, value in back.items() if key in spec} == shared
    assert back.keys() - spec.keys() <= {"holdTime", "keepaliveTime"}


def test_what_the_old_version_cannot_say_is_named() -> None:
    assert lost_going_down({"spec": {**PEER, "vrf": "red", "bfdProfile": "x"}}) == ("vrf",)


# --- small languages


@pytest.mark.parametrize(
    ("text", "ns"),
    [("90s", 90 * 10**9), ("1m30s", 90 * 10**9), ("1.5h", 5400 * 10**9), ("0", 0),
     ("-2ms", -(2 * 10**6))],
)  # fmt: skip
def test_durations_are_read_as_go_reads_them(text: str, ns: int) -> None:
    assert nanoseconds(text) == ns


@given(st.integers(0, 10**15))
def test_durations_survive_their_text(ns: int) -> None:
    assert nanoseconds(duration_text(ns)) == ns


@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_durations(text: str) -> None:
    with contextlib.suppress(ValueError):
        nanoseconds(text)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3))
def test_large_communities_survive_their_literal(parts: list[int]) -> None:
    community = BgpCommunity(tuple(parts))

    assert parse_community(community.literal) == community


@given(st.text(alphabet="0123456789:large ", max_size=14))
def test_no_text_breaks_the_reading_of_communities(text: str) -> None:
    with contextlib.suppress(CommunityError):
        assert parse_community(text).literal.startswith(("large:", *"0123456789"))


def test_a_failed_condition_makes_the_state_invalid_and_says_why() -> None:
    conditions = [
        Condition(type="a", status="True"),
        Condition(type="b", status="False", reason="ConfigurationError", message="no such pool"),
    ]

    status = summarize(conditions)

    assert (status.result, status.error_summary) == ("Invalid", "b: no such pool")
