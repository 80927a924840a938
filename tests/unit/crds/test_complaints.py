"""What is said about objects that do not fit their kind."""

from typing import Any

import pytest

from crds.decode import decode
from crds.errors import ConfigError
from tests.unit.crds.objects import allocation, expressing, l2_ad, pool, selecting, service


def complaints(raw: dict[str, Any]) -> list[str]:
    """Return all that `decode` says against an object, failing when it says nothing."""
    with pytest.raises(ConfigError) as caught:
        decode(raw)
    return [str(problem) for problem in caught.value.problems]


def test_a_complaint_names_the_object() -> None:
    with pytest.raises(ConfigError) as caught:
        decode(pool(addresses=[]))

    assert caught.value.subject == "IPAddressPool metallb-system/lan"
    assert str(caught.value).startswith("IPAddressPool metallb-system/lan: spec.addresses: ")


def test_complaints_needs_something_to_complain_of() -> None:
    with pytest.raises(pytest.fail.Exception):
        complaints(pool())


def test_all_of_an_objects_problems_are_told_at_once() -> None:
    bad = pool(addresses=["192.0.2.0/33"], autoAssign="yes", avoidBugyIPs=True)

    assert [line.partition(":")[0] for line in complaints(bad)] == [
        "spec.addresses[0]",
        "spec.autoAssign",
        "spec.avoidBugyIPs",
    ]


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        pytest.param(
            pool(addresses=["192.0.2.0/28", "192.0.2.1"]),
            "spec.addresses[1]: '192.0.2.1' is a bare address; write 192.0.2.1/32",
            id="a_bare_address",
        ),
        pytest.param(
            pool(addresses=[]),
            "spec.addresses: is empty, need at least one entry",
            id="a_pool_without_addresses",
        ),
        pytest.param(
            pool(addresses=None), "spec.addresses: is required", id="a_field_without_value"
        ),
        pytest.param(
            pool(addresses="192.0.2.0/28"),
            "spec.addresses: '192.0.2.0/28' is text, need a list: lines that start with a dash",
            id="text_for_a_list",
        ),
        pytest.param(
            pool(addresses=["192.0.2.0/28", "192.0.2.15-192.0.2.20"]),
            "spec.addresses[1]: '192.0.2.15-192.0.2.20' overlaps 192.0.2.0/28 of the same pool; "
            "list each address once",
            id="entries_of_a_pool_overlap",
        ),
        pytest.param(
            pool(addresses=["192.0.2.0/28", "198.51.100.0/28", "192.0.2.0/28"]),
            "spec.addresses[2]: '192.0.2.0/28' overlaps 192.0.2.0/28 of the same pool; "
            "list each address once",
            id="an_entry_stands_twice",
        ),
        pytest.param(
            pool(autoAssign="no"),
            "spec.autoAssign: 'no' is text, need true or false, without quotes",
            id="text_for_a_boolean",
        ),
        pytest.param(
            pool(autoasign=False),
            "spec.autoasign: no such field; did you mean autoAssign?",
            id="a_misspelt_field",
        ),
        pytest.param(
            pool(auto_assign=False),
            "spec.auto_assign: no such field; did you mean autoAssign?",
            id="a_field_by_its_python_name",
        ),
        pytest.param(
            pool(color="red"),
            "spec.color: no such field; fields here are addresses, autoAssign, avoidBuggyIPs, "
            "serviceAllocation",
            id="a_field_like_no_other",
        ),
        pytest.param(
            {**pool(), "serviceAllocation": {"priority": 5}},
            "serviceAllocation: no such field here; did you mean spec.serviceAllocation? "
            "(indent it below spec)",
            id="a_field_that_belongs_deeper",
        ),
        pytest.param(
            pool(serviceAllocation={"autoAssign": True}),
            "spec.serviceAllocation.autoAssign: no such field here; did you mean spec.autoAssign?",
            id="a_field_that_belongs_elsewhere",
        ),
        pytest.param(
            {**pool(), "spec:addresses": []},
            "spec:addresses: no such field; a colon ends a key only before a blank or the end of "
            "the line",
            id="a_key_that_swallowed_another",
        ),
        pytest.param(
            pool(addresses=["192,0,2,1-192,0,2,5"]),
            "spec.addresses[0]: '192,0,2,1' is not an IPv4 or IPv6 address; write 192.0.2.1",
            id="commas_for_dots",
        ),
        pytest.param(
            allocation(priority=1.5),
            "spec.serviceAllocation.priority: 1.5 is a number, need a whole number, without quotes",
            id="a_fraction_for_an_integer",
        ),
        pytest.param(
            allocation(namespaces=["a", "b", "a"]),
            "spec.serviceAllocation.namespaces[2]: says the same as entry [0]; "
            "remove one of them",
            id="a_namespace_twice",
        ),
        pytest.param(
            allocation(
                serviceSelectors=[
                    {"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]},
                    {"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]},
                ]
            ),
            "spec.serviceAllocation.serviceSelectors[1]: says the same as entry [0]; "
            "remove one of them",
            id="a_selector_twice_with_values_in_another_order",
        ),
        pytest.param(
            l2_ad(ipAddressPools=["lan", "lan"]),
            "spec.ipAddressPools[1]: says the same as entry [0]; remove one of them",
            id="a_pool_name_twice",
        ),
        pytest.param(
            l2_ad(preferredNodeSelectors=[{"weight": 101, "preference": {}}]),
            "spec.preferredNodeSelectors[0].weight: 101 is too large, the most is 100",
            id="a_weight_too_large",
        ),
        pytest.param(
            l2_ad(preferredNodeSelectors=[{"weight": 0, "preference": {}}]),
            "spec.preferredNodeSelectors[0].weight: 0 is too small, the least is 1",
            id="a_weight_too_small",
        ),
        pytest.param(
            l2_ad(preferredNodeSelectors=[{"weight": 5}]),
            "spec.preferredNodeSelectors[0].preference: is required",
            id="a_weight_without_preference",
        ),
        pytest.param(
            selecting(matchLables={"a": "b"}),
            "spec.nodeSelectors[0].matchLables: no such field; did you mean matchLabels?",
            id="a_misspelt_field_in_a_list",
        ),
        pytest.param(
            selecting(matchLabels={"edge": True}),
            "spec.nodeSelectors[0].matchLabels.edge: true is a boolean, need text; "
            "put it in quotes",
            id="a_boolean_for_a_label_value",
        ),
        pytest.param(
            selecting(matchLabels={"edge": "a b"}),
            "spec.nodeSelectors[0].matchLabels.edge: 'a b' is not a label value: up to 63 letters, "
            "digits, '-', '_', '.', starting and ending with a letter or digit",
            id="a_label_value_with_a_blank",
        ),
        pytest.param(
            expressing(key="a", operator="in", values=["x"]),
            "spec.nodeSelectors[0].matchExpressions[0].operator: 'in' is none of In, NotIn, "
            "Exists, DoesNotExist; did you mean In?",
            id="an_operator_in_lower_case",
        ),
        pytest.param(
            expressing(key="a", operator="In"),
            "spec.nodeSelectors[0].matchExpressions[0].values: operator In needs values",
            id="in_without_values",
        ),
        pytest.param(
            expressing(key="a", operator="Exists", values=["x"]),
            "spec.nodeSelectors[0].matchExpressions[0].values: operator Exists takes no values; "
            "remove them or write In",
            id="exists_with_values",
        ),
        pytest.param(
            expressing(key="a", operator="In", values=["x", "x"]),
            "spec.nodeSelectors[0].matchExpressions[0].values[1]: says the same as entry [0]; "
            "remove one of them",
            id="a_value_twice",
        ),
        pytest.param(
            expressing(key="/a", operator="Exists"),
            "spec.nodeSelectors[0].matchExpressions[0].key: '/a' is not a label key; "
            "one looks like app or example.com/app",
            id="a_key_with_an_empty_prefix",
        ),
        pytest.param(
            service(type="Loadbalancer"),
            "spec.type: 'Loadbalancer' is none of ClusterIP, NodePort, LoadBalancer, ExternalName; "
            "did you mean LoadBalancer?",
            id="a_misspelt_service_type",
        ),
        pytest.param(
            service(ports=[{"port": 70000}]),
            "spec.ports[0].port: 70000 is too large, the most is 65535",
            id="a_port_too_large",
        ),
        pytest.param(
            service(ports={"port": 80}),
            "spec.ports: is a mapping of 1, need a list: lines that start with a dash",
            id="a_mapping_for_a_list",
        ),
        pytest.param(
            {**service(), "metadata": {"labels": {"a": "b"}}},
            "metadata.name: is required",
            id="an_object_without_name",
        ),
        pytest.param(
            {**service(), "metadata": {"name": "web", "annotations": {"example.com/n": 5}}},
            "metadata.annotations[example.com/n]: 5 is a number, need text; put it in quotes",
            id="a_number_for_an_annotation",
        ),
        pytest.param(
            {**service(), "kind": "Servcie"},
            "kind: unknown kind; did you mean Service?",
            id="a_misspelt_kind",
        ),
        pytest.param(
            {**pool(), "apiVersion": "metallb.io/v1beta2"},
            "apiVersion: 'metallb.io/v1beta2' has no IPAddressPool that Stentor reads; "
            "write metallb.io/v1beta1",
            id="another_version",
        ),
        pytest.param({"kind": "Service"}, "apiVersion: is required, as text", id="no_version"),
        pytest.param({"apiVersion": "v1"}, "kind: is required, as text", id="no_kind"),
    ],
)  # fmt: skip
def test_a_bad_object_is_told_field_value_and_remedy(raw: dict[str, Any], complaint: str) -> None:
    assert [complaint] == complaints(raw)


def test_a_complaint_carries_the_value_it_is_about() -> None:
    with pytest.raises(ConfigError) as caught:
        decode(pool(addresses=["192.0.2.0/28", "x" * 200]))

    [problem] = caught.value.problems
    assert problem.path == ("spec", "addresses", 1)
    assert problem.value == "x" * 80 + "…"
