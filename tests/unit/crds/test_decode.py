"""Objects as YAML gives them: what is read of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.core import EndpointSlice, Node, Service
from crds.decode import KINDS, decode
from crds.errors import ConfigError, path_text
from crds.ip_address_pool import IPAddressPool
from crds.l2_advertisement import L2Advertisement
from tests.unit.crds.objects import l2_ad, pool, service


def test_a_pool_reads_all_its_fields() -> None:
    selector = {"matchLabels": {"app": "web"}}

    model = decode(
        pool(
            addresses=["192.0.2.0/28", "2001:db8::1 - 2001:db8::9"],
            autoAssign=False,
            avoidBuggyIPs=True,
            serviceAllocation={
                "priority": 5,
                "namespaces": ["a"],
                "namespaceSelectors": [selector],
                "serviceSelectors": [selector],
            },
        )
        | {
            "status": {
                "assignedIPv4": 1,
                "assignedIPv6": 0,
                "availableIPv4": 15,
                "availableIPv6": 9,
            }
        }
    )

    assert isinstance(model, IPAddressPool)
    assert not model.spec.auto_assign
    assert model.spec.avoid_buggy_ips
    assert model.spec.service_allocation is not None
    assert model.spec.service_allocation.priority == 5
    assert model.spec.service_allocation.service_selectors[0].match_labels == {"app": "web"}
    assert model.status.available_ipv4 == 15


def test_a_pool_is_automatic_and_takes_every_address_unless_told_otherwise() -> None:
    model = decode(pool())

    assert isinstance(model, IPAddressPool)
    assert model.spec.auto_assign
    assert not model.spec.avoid_buggy_ips
    assert model.spec.service_allocation is None


def test_an_advertisement_reads_all_its_fields() -> None:
    selector = {"matchExpressions": [{"key": "example.com/rack", "operator": "Exists"}]}

    model = decode(
        l2_ad(
            ipAddressPools=["lan"],
            ipAddressPoolSelectors=[selector],
            nodeSelectors=[selector],
            interfaces=["eth0"],
            serviceSelectors=[selector],
            preferredNodeSelectors=[{"weight": 100, "preference": selector}],
        )
    )

    assert isinstance(model, L2Advertisement)
    assert model.spec.ip_address_pools == ["lan"]
    assert model.spec.interfaces == ["eth0"]
    assert model.spec.preferred_node_selectors[0].weight == 100
    assert model.spec.service_selectors == model.spec.node_selectors


def test_an_advertisement_needs_no_spec() -> None:
    raw = l2_ad()
    del raw["spec"]

    model = decode(raw)

    assert isinstance(model, L2Advertisement)
    assert model.spec.ip_address_pools == []


def test_fields_of_kubernetes_that_we_do_not_read_are_passed_over() -> None:
    model = decode(
        {
            **service(
                type="LoadBalancer", sessionAffinity="None", ports=[{"port": 80, "name": "x"}]
            ),
            "status": {"conditions": [], "loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        }
    )

    assert isinstance(model, Service)
    assert model.spec.ports[0].protocol == "TCP"
    assert model.status.load_balancer.ingress[0].ip == "192.0.2.1"


def test_an_endpoint_says_no_more_than_it_was_told() -> None:
    model = decode(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "managedFields": [{"manager": "kubectl"}]},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.9"], "conditions": {"ready": None}}],
        }
    )

    assert isinstance(model, EndpointSlice)
    assert model.endpoints[0].conditions.ready is None
    assert model.endpoints[0].node_name is None


def test_a_node_reads_addresses_and_conditions() -> None:
    model = decode(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n1"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }
    )

    assert isinstance(model, Node)
    assert model.status.addresses[0].address == "192.0.2.1"
    assert model.status.conditions[0].status == "True"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("spec", "addresses", 1), "spec.addresses[1]"),
        (("metadata", "annotations", "metallb.io/pool"), "metadata.annotations[metallb.io/pool]"),
        (("metadata", "labels", "app"), "metadata.labels.app"),
    ],
)
def test_a_path_is_spelt_as_in_yaml(path: tuple[str | int, ...], text: str) -> None:
    assert text == path_text(path)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_FIELDS = st.sampled_from(
    ["metadata", "spec", "status", "name", "addresses", "nodeSelectors", "matchExpressions",
     "values", "operator", "key", "ports", "port", "endpoints", "conditions", "x",
     "myASN", "peerASN", "peerAddress", "holdTime", "keepaliveTime", "passwordSecret", "protocol",
     "communities", "bgpAdvertisements", "aggregationLength", "name", "value", "echoInterval"]
)  # fmt: skip
_NAMED = [(kind, version) for kind, versions in sorted(KINDS.items()) for version in versions]
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=4),
)


@given(
    named=st.sampled_from(_NAMED),
    parts=st.dictionaries(_FIELDS, _VALUES, max_size=4),
    spec=st.none() | st.dictionaries(_FIELDS, _VALUES, max_size=4),
)
def test_any_object_is_taken_or_complained_of(
    named: tuple[str, str], parts: dict[str, Any], spec: dict[str, Any] | None
) -> None:
    """Whatever a file holds, nothing but ConfigError comes out, and it says something."""
    raw = {"metadata": {"name": "x"}, **parts}
    if spec is not None:
        raw["spec"] = spec
    raw |= {"kind": named[0], "apiVersion": named[1]}

    try:
        decode(raw)
        messages = ["taken"]
    except ConfigError as exc:
        messages = [problem.message for problem in exc.problems]

    assert messages
    assert all(messages)
