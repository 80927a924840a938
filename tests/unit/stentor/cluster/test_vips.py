"""Which VIPs the Services of a directory get, and what is told where they get none."""

import pytest

from stentor.cluster.findings import Cause, Severity
from stentor.cluster.objects import Refusal
from tests.unit.stentor.cluster.yaml_of import (
    VIP,
    VIP6,
    document,
    found,
    l2_ad,
    named,
    node,
    pool,
    service,
    vips,
    world,
)

GROUND = (pool(), l2_ad())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(service(), [VIP], id="annotation"),
        pytest.param(service(vips=f" {VIP6} , {VIP}"), [VIP6, VIP], id="two_with_blanks"),
        pytest.param(service(vips="", loadBalancerIP=VIP), [VIP], id="spec_loadBalancerIP"),
        pytest.param(service(vips="", status=(VIP, VIP6)), [VIP, VIP6], id="status"),
        pytest.param(service(vips=VIP, status=(VIP,)), [VIP], id="status_and_annotation_agree"),
        pytest.param(service(notes={"metallb.io/address-pool": "lan"}), [VIP], id="its_pool"),
        pytest.param(
            service(ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv4", "IPv6"]),
            [VIP],
            id="one_family_does_for_prefer_dual_stack",
        ),
        pytest.param(service(clusterIPs=["198.51.100.1"]), [VIP], id="family_of_the_cluster_ip"),
        pytest.param(service(vips=VIP6, clusterIPs=["2001:db8:1::1"]), [VIP6], id="and_of_ipv6"),
    ],
)  # fmt: skip
def test_where_vips_come_from(text: str, expected: list[str]) -> None:
    seen = world(*GROUND, text)

    assert expected == vips(seen)
    assert named(seen).refusal is None
    assert named(seen).pool == "lan"
    assert found(seen) == []


def test_the_address_that_a_controller_gave_is_read_from_the_status_directory() -> None:
    seen = world(*GROUND, service(vips=""), web=service(vips="", status=("192.0.2.9",)))

    assert vips(seen) == ["192.0.2.9"]


def test_the_status_in_the_manifest_goes_before_the_status_directory() -> None:
    seen = world(
        *GROUND, service(vips="", status=(VIP,)), web=service(vips="", status=("192.0.2.9",))
    )

    assert vips(seen) == [VIP]


def test_host_names_in_the_status_are_passed_over() -> None:
    status = {"loadBalancer": {"ingress": [{"hostname": "a.example"}, {"ip": VIP}]}}

    seen = world(*GROUND, document("Service", "web", spec={"type": "LoadBalancer"}, status=status))

    assert vips(seen) == [VIP]


def test_a_request_that_differs_from_the_status_is_told_and_the_status_stays() -> None:
    seen = world(*GROUND, service(vips="192.0.2.6", status=(VIP,)))

    assert vips(seen) == [VIP]
    assert found(seen) == [
        "warning: Service default/web: differs from the status, 192.0.2.5, which counts; "
        "remove one of them"
    ]


BAD_POOL = {"metallb.io/address-pool": "wan"}
DUAL = ["IPv4", "IPv6"]


@pytest.mark.parametrize(
    ("text", "refusal", "field", "message"),
    [
        pytest.param(
            service(vips=""), Refusal.NO_IP_ALLOCATED, "",
            "has no VIP: neither status nor metallb.io/loadBalancerIPs names one, and no "
            "controller has given one yet", id="no_vip_at_all"),
        pytest.param(
            service(vips="192.0.2.20"), Refusal.IP_NOT_ALLOWED, "metadata.annotations",
            "192.0.2.20 lies in no IPAddressPool; pools here: lan, tight", id="outside_every_pool"),
        pytest.param(
            service(vips="", status=("192.0.2.20",)), Refusal.IP_NOT_ALLOWED, "status.loadBalancer",
            "192.0.2.20 lies in no IPAddressPool; pools here: lan, tight", id="status_outside"),
        pytest.param(
            service(vips="192.0.2.2O"), Refusal.INVALID_IP, "metadata.annotations",
            "'192.0.2.2O' is not an IPv4 or IPv6 address", id="a_letter_for_a_digit"),
        pytest.param(
            service(vips="192.0.2.1,192.0.2.2"), Refusal.INVALID_IP, "metadata.annotations",
            "names two IPv4 addresses, need at most one of a family", id="two_of_a_family"),
        pytest.param(
            service(vips="224.0.0.5"), Refusal.INVALID_IP, "metadata.annotations",
            "224.0.0.5 can be no VIP, need the address of a host on the network", id="multicast"),
        pytest.param(
            service(loadBalancerIP=VIP), Refusal.INVALID_IP, "metadata.annotations",
            "stands beside spec.loadBalancerIP; remove one of them", id="asked_for_in_two_ways"),
        pytest.param(
            service(vips="192.0.2.5,2001:db8:1::1"), Refusal.IP_NOT_ALLOWED, "metadata.annotations",
            "192.0.2.5 is of IPAddressPool lan and 2001:db8:1::1 of tight, need both of one pool",
            id="two_pools"),
        pytest.param(
            service(notes=BAD_POOL), Refusal.IP_NOT_ALLOWED, "metadata.annotations",
            "asks for pool wan, but 192.0.2.5 is of lan", id="another_pool_than_asked_for"),
        pytest.param(
            service(vips="198.51.100.1"), Refusal.IP_NOT_ALLOWED, "metadata.annotations",
            "198.51.100.1 is of IPAddressPool tight, whose serviceAllocation does not admit "
            "default/web", id="a_pool_for_others"),
        pytest.param(
            service(vips="198.51.100.0", labels={"app": "dns"}), Refusal.IP_NOT_ALLOWED,
            "metadata.annotations",
            "198.51.100.0 ends in .0 or .255, which avoidBuggyIPs of tight rules out",
            id="a_buggy_address"),
        pytest.param(
            service(ipFamilies=["IPv6"]), Refusal.FAMILY_MISMATCH, "metadata.annotations",
            "192.0.2.5 does not fit the families of the Service, IPv6", id="another_family"),
        pytest.param(
            service(ipFamilies=DUAL, ipFamilyPolicy="RequireDualStack"), Refusal.FAMILY_MISMATCH,
            "metadata.annotations",
            "192.0.2.5 does not fit the families of the Service, IPv4 and IPv6",
            id="one_family_of_two_required"),
        pytest.param(
            service(vips="192.0.2.14"), Refusal.ADDRESS_OF_A_HOST, "metadata.annotations",
            "192.0.2.14 is the InternalIP of Node n1, need one of no host", id="a_nodes_address"),
    ],
)  # fmt: skip
def test_a_service_without_a_good_vip_is_told_why_and_the_rest_stays(
    text: str, refusal: Refusal, field: str, message: str
) -> None:
    tight = pool(
        "tight", "198.51.100.0/28", "2001:db8:1::/120", avoidBuggyIPs=True,
        serviceAllocation={"serviceSelectors": [{"matchLabels": {"app": "dns"}}]},
    )  # fmt: skip

    seen = world(*GROUND, tight, node("n1", "192.0.2.14"), service("good", "192.0.2.1"), text)

    [finding] = seen.findings
    assert (finding.message, finding.object) == (message, "Service default/web")
    assert finding.field.startswith(field)
    assert finding.file == "a.yaml"
    assert named(seen).vips == ()
    assert (named(seen).refusal, named(seen).refusal_text) == (refusal, message)
    assert vips(seen, "good") == ["192.0.2.1"]


def test_waiting_for_a_controller_is_a_warning_and_a_bad_vip_an_error() -> None:
    [waiting] = world(*GROUND, service(vips="")).findings
    [refused] = world(*GROUND, service(vips="192.0.2.99")).findings

    assert (waiting.severity, waiting.cause) == (Severity.WARNING, Cause.NO_VIP)
    assert (refused.severity, refused.cause) == (Severity.ERROR, Cause.VIP_REFUSED)


def test_a_finding_points_at_the_line_of_the_annotation() -> None:
    text = """\
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations:
    example.com/x: y
    metallb.io/loadBalancerIPs: 192.0.2.99
spec:
  type: LoadBalancer
"""
    [finding] = [f for f in world(text).findings if f.object == "Service default/web"]

    assert str(finding) == (
        "a.yaml:7: error: Service default/web: metadata.annotations[metallb.io/loadBalancerIPs]: "
        "192.0.2.99 lies in no IPAddressPool; there is none here"
    )


@pytest.mark.parametrize(
    ("asked", "wanted", "is_ours"),
    [
        pytest.param("", None, True, id="no_class_wanted_none_given"),
        pytest.param("", "example.com/lb", False, id="of_another"),
        pytest.param("example.com/lb", "example.com/lb", True, id="of_ours"),
        pytest.param("example.com/lb", None, False, id="without_class_when_we_want_one"),
    ],
)
def test_services_of_another_class_are_none_of_our_business(
    asked: str, wanted: str | None, is_ours: bool
) -> None:
    seen = world(*GROUND, service(loadBalancerClass=wanted), lb_class=asked)

    assert is_ours == bool(seen.services)


def test_a_service_of_another_class_holds_no_vip_against_ours() -> None:
    seen = world(*GROUND, service("alpha", loadBalancerClass="example.com/lb"), service("beta"))

    assert vips(seen, "beta") == [VIP]
