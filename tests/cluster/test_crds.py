"""Our CustomResourceDefinitions as a real API server takes them."""

from typing import Any

import pytest

from crds.decode import KINDS, OUR_KINDS, decode
from crds.errors import ConfigError
from crds.generate import FILES
from tests.cluster.kubectl import Kubectl

PEER = {"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1"}
GOOD: dict[str, dict[str, Any]] = {
    "IPAddressPool": {
        "addresses": ["192.0.2.0/25", "192.0.2.200 - 192.0.2.210", "2001:db8::/64"],
        "serviceAllocation": {
            "priority": 10,
            "namespaces": ["a", "b"],
            "serviceSelectors": [{"matchExpressions": [{"key": "x/y", "operator": "Exists"}]}],
        },
    },
    "L2Advertisement": {
        "ipAddressPools": ["lan"],
        "interfaces": ["eth0"],
        "preferredNodeSelectors": [{"weight": 5, "preference": {"matchLabels": {"rack": "a"}}}],
    },
    "BGPAdvertisement": {
        "communities": ["64512:100", "large:64512:1:2", "fast"],
        "localPref": 4294967295,
        "peers": ["tor"],
    },
    "BGPPeer": {**PEER, "holdTime": "90s", "keepaliveTime": "30s", "connectTime": "10s"},
    "BFDProfile": {"receiveInterval": 50, "echoMode": True, "minimumTtl": 254},
    "Community": {"communities": [{"name": "fast", "value": "64512:100"}]},
    "AddressPool": {"protocol": "bgp", "addresses": ["198.51.100.0/24"],
                    "bgpAdvertisements": [{"localPref": 1, "communities": ["64512:1"]}]},
    "ServiceL2Status": {},
    "ServiceBGPStatus": {},
    "ConfigurationState": {},
    "MetalLB": {"speakerTolerations": [
        {"key": "x", "effect": "NoExecute", "tolerationSeconds": 3}]},
}  # fmt: skip


def raw(
    kind: str, namespace: str, spec: dict[str, Any], *, version: str = "", name: str = "metallb"
) -> dict[str, Any]:
    """An object of one of our kinds."""
    return {
        "apiVersion": version or next(iter(KINDS[kind])),
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_object_is_stored_as_written_and_applied_twice_without_a_change(
    kubectl: Kubectl, namespace: str, kind: str
) -> None:
    written = raw(kind, namespace, GOOD[kind])

    first = kubectl.apply(written)
    stored = kubectl.get(kind, "metallb", "-n", namespace)
    kubectl.apply(written)
    again = kubectl.get(kind, "metallb", "-n", namespace)

    assert (first.code, "Error" in first.errors) == (0, False), first.errors
    assert GOOD[kind].items() <= stored.get("spec", {}).items()
    assert again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]
    assert decode(stored)


@pytest.mark.parametrize("model", OUR_KINDS, ids=lambda m: f"{m.KIND}-{m.API_VERSION[11:]}")
def test_kubectl_explains_every_field(kubectl: Kubectl, model: Any) -> None:
    output = kubectl.good(
        "explain", model.PLURAL, "--recursive", "--api-version", model.API_VERSION
    )

    spec = model.model_fields["spec"].annotation
    fields = getattr(spec, "model_fields", {})
    assert [name for name, f in fields.items() if f"{f.alias or name}\t" not in output] == []


def test_kubectl_explains_a_field_in_words(kubectl: Kubectl) -> None:
    output = kubectl.good("explain", "l2advertisements.spec.preferredNodeSelectors.weight")

    assert "Added to the score of nodes that match." in output


@pytest.mark.parametrize(
    ("kind", "spec", "part"),
    [
        ("BGPPeer", {**PEER, "dynamicASN": "internal"}, "give peerASN or dynamicASN"),
        ("BGPPeer", {**PEER, "interface": "eth0"}, "give peerAddress or interface"),
        ("BGPPeer", {**PEER, "holdTime": "2s"}, "holdTime must be 0s or at least 3s"),
        ("BGPPeer", {**PEER, "holdTime": "9s", "keepaliveTime": "10s"}, "not be longer than"),
        ("BGPPeer", {**PEER, "connectTime": "1500ms"}, "connectTime must be whole seconds"),
        ("BGPPeer", {**PEER, "myASN": 0}, "0 is no ASN"),
        ("BGPPeer", {**PEER, "peerASN": 64500, "ebgpMultiHop": True}, "of another ASN"),
        ("BGPPeer", {**PEER, "password": "x", "passwordSecret": {"name": "pw"}}, "not both"),
        ("BGPPeer", {**PEER, "peerPort": 0}, "spec.peerPort"),
        ("BGPAdvertisement", {"aggregationLength": 24, "serviceSelectors": [{}]}, "must be 32"),
        ("BGPAdvertisement", {"ipAddressPools": ["a", "a"]}, "duplicate entries"),
        ("AddressPool", {"protocol": "layer2", "addresses": ["192.0.2.0/24"],
                         "bgpAdvertisements": [{}]}, "are for protocol bgp"),
        ("IPAddressPool", {"addresses": ["192.0.2.1"]}, "spec.addresses[0]"),
        ("IPAddressPool", {"addresses": []}, "spec.addresses"),
        ("IPAddressPool", {"addreses": ["192.0.2.0/24"]}, "not declared in schema"),
        ("L2Advertisement", {"nodeSelectors": [{"matchExpressions": [
            {"key": "a", "operator": "Inn"}]}]}, "Unsupported value"),
        ("Community", {"communities": [{"name": "x", "value": "1:2:3"}]}, "communities[0].value"),
        ("BFDProfile", {"detectMultiplier": 1}, "spec.detectMultiplier"),
    ],
)  # fmt: skip
def test_what_the_schema_refuses_the_models_refuse_too(
    kubectl: Kubectl, namespace: str, kind: str, spec: dict[str, Any], part: str
) -> None:
    written = raw(kind, namespace, spec)

    answer = kubectl.apply(written)

    assert answer.code != 0
    assert part in answer.errors
    if spec.get("peerPort") != 0:  # in a model 0 is what the API server has not filled in
        with pytest.raises(ConfigError):
            decode(written)


def test_a_field_that_is_fixed_once_set_cannot_be_changed(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(raw("BGPPeer", namespace, {**PEER, "enableGracefulRestart": True}))

    answer = kubectl.apply(raw("BGPPeer", namespace, {**PEER, "enableGracefulRestart": False}))

    assert "enableGracefulRestart cannot be changed" in answer.errors


def test_kubectl_get_shows_the_columns_of_metallb(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(raw("IPAddressPool", namespace, GOOD["IPAddressPool"]))

    header, row = kubectl.good("get", "ipaddresspools", "-n", namespace).splitlines()

    assert header.split("   ")[0] == "NAME"
    assert [word in header for word in ("AUTO ASSIGN", "AVOID BUGGY IPS", "ADDRESSES")] == [
        True
    ] * 3
    assert row.split()[:3] == ["metallb", "true", "false"]


def test_an_old_version_is_served_with_a_warning(kubectl: Kubectl, namespace: str) -> None:
    written = raw("AddressPool", namespace, GOOD["AddressPool"], version="metallb.io/v1alpha1")

    answer = kubectl.apply(written)

    assert (answer.code, "AddressPool is deprecated, write IPAddressPool" in answer.errors) == (
        0,
        True,
    )


def test_a_peer_is_served_in_both_versions(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(raw("BGPPeer", namespace, {**PEER, "vrf": "red"}))

    old = kubectl.get("bgppeers.v1beta1.metallb.io", "metallb", "-n", namespace)

    assert old["apiVersion"] == "metallb.io/v1beta1"
    assert (old["spec"]["peerAddress"], old["spec"].get("vrf")) == ("192.0.2.1", None)


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1"])
def test_kubectl_describes_an_old_pool(kubectl: Kubectl, namespace: str, version: str) -> None:
    """What the books of old tell people to look at: names, ranges, and what was filled in."""
    spec = {"protocol": "layer2", "addresses": ["192.0.2.1-192.0.2.10", "192.0.2.65-192.0.2.75"]}
    kubectl.apply(raw("AddressPool", namespace, spec, version=f"metallb.io/{version}"))

    answer = kubectl("describe", "addresspool", "metallb", "-n", namespace)

    rows = [row.strip() for row in answer.output.splitlines()]
    assert answer.code == 0, answer.errors
    assert [row for row in rows if row.startswith(("192.", "Auto Assign", "Protocol"))] == [
        "192.0.2.1-192.0.2.10",
        "192.0.2.65-192.0.2.75",
        "Auto Assign:  true",
        "Protocol:     layer2",
    ]
