"""What shows only when all files are seen together."""

from ipaddress import ip_address

import pytest

from stentor.cluster.assemble import assemble
from stentor.cluster.documents import FileContent
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.objects import HOSTNAME_LABEL, Key, World
from tests.unit.stentor.cluster.yaml_of import (
    content,
    document,
    endpoint_slice,
    found,
    joined,
    l2_ad,
    named,
    node,
    old_pool,
    pool,
    service,
    vips,
    world,
)

WEB = Key("default", "web")


def files(**texts: str) -> dict[str, FileContent]:
    return {f"{name}.yaml": content(text, name=f"{name}.yaml") for name, text in texts.items()}


def only(seen: World) -> Finding:
    [finding] = seen.findings
    return finding


def test_of_an_object_in_two_files_the_first_by_path_counts() -> None:
    seen = assemble(
        files(b=service(vips="192.0.2.2"), a=joined(pool(), l2_ad(), service(vips="192.0.2.1"))),
        {},
    )

    assert vips(seen) == ["192.0.2.1"]
    assert str(only(seen)) == (
        "b.yaml:1: error: Service default/web: stands in a.yaml:11 too, which counts; remove one"
    )


def test_a_pool_in_two_namespaces_is_one_pool() -> None:
    """MetalLB reads one namespace, and knows pools by name."""
    one = document(
        "IPAddressPool", "lan", "metallb.io/v1beta1",
        metadata={"namespace": "a"}, spec={"addresses": ["192.0.2.0/28"]},
    )  # fmt: skip

    seen = assemble(files(a=joined(one, l2_ad()), b=pool("lan", "198.51.100.0/28")), {})

    assert [str(span) for span in seen.pools["lan"].ranges] == ["192.0.2.0/28"]
    assert only(seen).cause is Cause.DUPLICATE


def test_the_first_pool_by_name_keeps_addresses_that_two_list() -> None:
    seen = world(
        l2_ad(),
        pool("wan", "198.51.100.0/28", "192.0.2.8-192.0.2.20"),
        pool("lan", "192.0.2.0/28"),
        service("web", "192.0.2.9"),
        service("dns", "198.51.100.1"),
    )

    assert [str(span) for span in seen.pools["wan"].ranges] == ["198.51.100.0/28"]
    assert named(seen, "web").pool == "lan"
    assert named(seen, "dns").pool == "wan"
    assert (only(seen).field, only(seen).line) == ("spec.addresses[1]", 9)
    assert found(seen) == [
        "error: IPAddressPool wan: 192.0.2.8-192.0.2.20 overlaps 192.0.2.0/28 of IPAddressPool lan "
        "(a.yaml), which keeps it; this entry is unused"
    ]


def test_a_pool_that_loses_all_its_entries_is_no_pool() -> None:
    seen = world(l2_ad(), pool("lan", "192.0.2.0/28"), pool("wan", "192.0.2.0/29"))

    assert set(seen.pools) == {"lan"}


@pytest.mark.parametrize(
    ("documents", "name", "message"),
    [
        pytest.param(
            (l2_ad("x", ipAddressPools=["lan", "lna"]),), "L2Advertisement x",
            "there is no IPAddressPool lna", id="an_unknown_pool"),
        pytest.param(
            (l2_ad(), l2_ad("x", ipAddressPoolSelectors=[{"matchLabels": {"a": "b"}}])),
            "L2Advertisement x", "matches no IPAddressPool", id="a_label_of_no_pool"),
        pytest.param(
            (l2_ad("x", nodeSelectors=[{"matchLabels": {"a": "b"}}]), node("n1")),
            "L2Advertisement x", "matches no Node manifest", id="a_label_of_no_node"),
        pytest.param(
            (l2_ad("x", serviceSelectors=[{"matchLabels": {"a": "b"}}]), service()),
            "L2Advertisement x", "matches no Service of type LoadBalancer", id="of_no_service"),
        pytest.param(
            (pool("wan", "198.51.100.0/28"), l2_ad("x", ipAddressPools=["lan"])),
            "IPAddressPool wan",
            "no L2Advertisement selects this pool; its VIPs are not answered for",
            id="a_pool_that_no_advertisement_selects"),
        pytest.param(
            (l2_ad(), node("alpha"), service(notes={"stentor.io/preferred-nodes": "alpha,alhpa"})),
            "Service default/web", "there is no Node alhpa; did you mean alpha?",
            id="an_unknown_preferred_node"),
        pytest.param(
            (l2_ad(), node("n1"), service(), endpoint_slice(
                "web-1", "web", {"addresses": ["198.51.100.1"], "nodeName": "elsewhere"})),
            "EndpointSlice default/web-1", "there is no Node elsewhere", id="an_unknown_host"),
        pytest.param(
            (), "IPAddressPool lan",
            "no L2Advertisement selects this pool; its VIPs are not answered for",
            id="no_advertisement_at_all"),
    ],
)  # fmt: skip
def test_loose_ends_are_warned_of(documents: tuple[str, ...], name: str, message: str) -> None:
    seen = world(pool(), *documents)

    assert found(seen) == [f"warning: {name}: {message}"]


def test_nodes_are_not_missed_where_they_come_from_the_ring() -> None:
    seen = world(
        pool(),
        l2_ad("x", nodeSelectors=[{"matchLabels": {"a": "b"}}]),
        service(notes={"stentor.io/preferred-nodes": "alpha"}),
    )

    assert seen.findings == ()


def test_two_nodes_with_one_address_are_told() -> None:
    seen = world(node("n1", "192.0.2.1"), node("n2", "192.0.2.1"))

    assert found(seen) == [
        "error: Node n2: InternalIP 192.0.2.1 is that of Node n1 too, need one of its own"
    ]


def test_two_nodes_with_one_name_are_told_and_the_first_counts() -> None:
    seen = assemble(files(a=node("n1", "192.0.2.1"), b=node("n1", "192.0.2.2")), {})

    assert seen.nodes["n1"].internal_ips == (ip_address("192.0.2.1"),)
    assert found(seen) == ["error: Node n1: stands in a.yaml:1 too, which counts; remove one"]


def test_a_service_without_any_slice_is_served_everywhere() -> None:
    assert named(world(service())).served_everywhere


@pytest.mark.parametrize(
    "slice_text",
    [
        pytest.param(endpoint_slice("web-1", "web"), id="empty"),
        pytest.param(
            endpoint_slice("web-1", "web", {"addresses": ["198.51.100.1"], "nodeName": "n1"}),
            id="one_endpoint",
        ),
        pytest.param(endpoint_slice("web-1", "web", {"addresses": 5}), id="unusable"),
    ],
)
def test_a_service_with_a_slice_is_served_where_the_slice_says(slice_text: str) -> None:
    seen = world(service(), slice_text)

    assert not named(seen).served_everywhere
    assert WEB in seen.endpoints


def test_the_slices_of_a_service_are_joined() -> None:
    one = {"addresses": ["198.51.100.1"], "nodeName": "n1", "conditions": {"ready": True}}
    two = {"addresses": ["198.51.100.2"], "conditions": {"ready": False, "serving": True}}
    three = {"addresses": ["198.51.100.3"], "conditions": {"ready": False}}
    four = {"addresses": ["198.51.100.4"]}

    seen = world(
        service(),
        endpoint_slice("web-2", "web", two, three, four),
        endpoint_slice("web-1", "web", one),
    )

    assert [endpoint.addresses[0][-1] for endpoint in seen.endpoints[WEB]] == list("1234")
    assert [endpoint.can_serve for endpoint in seen.endpoints[WEB]] == [True, True, False, True]
    assert seen.endpoints[WEB][0].node == "n1"


def test_a_slice_of_no_service_is_told() -> None:
    text = document("EndpointSlice", "x", "discovery.k8s.io/v1", addressType="IPv4", endpoints=[])

    assert found(world(text)) == [
        "error: EndpointSlice default/x: has no kubernetes.io/service-name, so it is of no Service"
    ]


def test_namespaces_carry_the_label_that_kubernetes_gives_them() -> None:
    pool_text = pool(
        serviceAllocation={
            "namespaceSelectors": [
                {"matchLabels": {"team": "a"}},
                {"matchLabels": {"kubernetes.io/metadata.name": "b"}},
            ]
        }
    )
    a = service("web", "192.0.2.1").replace('"name": "web"', '"name": "web", "namespace": "a"')
    b = service("web", "192.0.2.2").replace('"name": "web"', '"name": "web", "namespace": "b"')
    labelled = document("Namespace", "a", metadata={"labels": {"team": "a"}})

    seen = world(pool_text, l2_ad(), labelled, a, b, service("web", "192.0.2.3"))

    assert {str(key): len(one.vips) for key, one in seen.services.items()} == {
        "a/web": 1,
        "b/web": 1,
        "default/web": 0,
    }


def test_a_node_says_whether_it_has_a_network_and_may_balance() -> None:
    text = document(
        "Node",
        "n1",
        metadata={"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}},
        status={"conditions": [{"type": "NetworkUnavailable", "status": "True"}]},
    )
    seen = world(text, node("n2"))

    assert (seen.nodes["n1"].network_unavailable, seen.nodes["n1"].is_excluded) == (True, True)
    assert (seen.nodes["n2"].network_unavailable, seen.nodes["n2"].is_excluded) == (False, False)


def test_ring_members_without_a_manifest_are_nodes_with_their_hostname() -> None:
    seen = world(node("n1", labels={"a": "b"})).with_members(["n1", "n2"])

    assert seen.nodes["n1"].labels == {"a": "b"}
    assert seen.nodes["n2"].labels == {HOSTNAME_LABEL: "n2"}


def test_errors_come_with_their_place_and_sorted() -> None:
    seen = assemble(files(b=service(vips="x"), a=service("dns", "y")), {})

    assert [(finding.file, finding.severity) for finding in seen.findings] == [
        ("a.yaml", Severity.ERROR),
        ("b.yaml", Severity.ERROR),
    ]


def test_an_old_pool_and_a_pool_cannot_share_a_name() -> None:
    seen = world(joined(pool("lan"), l2_ad(), old_pool("lan", addresses=["198.51.100.0/28"])))

    assert str(seen.pools["lan"].ranges[0]) == "192.0.2.0/28"
    assert [finding.object for finding in seen.findings] == ["AddressPool lan"]


def test_an_old_pool_and_an_advertisement_can_share_a_name() -> None:
    seen = world(joined(pool("lan"), l2_ad("old"), old_pool("old", addresses=["198.51.100.0/28"])))

    assert (set(seen.l2_ads), seen.findings) == ({"old", "AddressPool/old"}, ())


def test_an_old_pool_for_bgp_is_not_answered_for() -> None:
    seen = world(old_pool("lan", "bgp"))

    assert (set(seen.pools), set(seen.l2_ads)) == ({"lan"}, set())
    assert "no L2Advertisement selects this pool" in str(seen.findings[0])
