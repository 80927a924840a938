"""`stentor convert`: what older configurations become, and what is said of what they lose."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from crds.rules import check, gather
from stentor.cli.main import main

CONFIGMAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: config, namespace: lb}
data:
  config: |
    peers:
    - {my-asn: 64500, peer-asn: 64501, peer-address: 192.0.2.1, hold-time: 30s,
       bfd-profile: fast, node-selectors: [{match-labels: {rack: a}}]}
    bgp-communities: {no-export: "65535:65281"}
    bfd-profiles: [{name: fast, receive-interval: 50}]
    address-pools:
    - {name: lan, protocol: layer2, addresses: [192.0.2.128/25], auto-assign: false}
    - name: wan
      protocol: bgp
      addresses: [198.51.100.0/24]
      bgp-advertisements:
      - {aggregation-length: 32, localpref: 100, communities: [no-export]}
      - {aggregation-length: 24}
"""

KUBESPRAY = """\
metallb_enabled: true
metallb_speaker_enabled: true
metallb_avoid_buggy_ips: true
kube_proxy_strict_arp: false
some_other_variable: 1
metallb_config:
  controller: {tolerations: [{key: x}]}
  address_pools:
    primary: {ip_range: [192.0.2.0/25], auto_assign: true}
    pool_2: {ip_range: [192.0.2.128/25], auto_assign: false}
  layer2: [primary]
  layer3:
    defaults: {peer_port: 1179, hold_time: 120s}
    communities: {vpn-only: "1234:1"}
    metallb_peers:
      peer1: {peer_address: 192.0.2.1, peer_asn: 64512, my_asn: 4200000000,
              communities: [vpn-only], address_pool: [pool_2], pasword: x}
"""

OLD_POOL = """\
apiVersion: metallb.io/v1alpha1
kind: AddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {protocol: layer2, addresses: [192.0.2.0/24]}
"""

OLD_PEER = """\
apiVersion: metallb.io/v1beta1
kind: BGPPeer
metadata: {name: tor, namespace: metallb-system}
spec: {myASN: 64500, peerASN: 64501, peerAddress: 192.0.2.1}
"""


OPERATOR = """\
apiVersion: metallb.io/v1beta1
kind: MetalLB
metadata: {name: metallb, namespace: lb}
spec: {logLevel: debug, image: old, bgpBackend: frr, frrk8sConfig: {secretPassthrough: true},
       nodeSelector: {edge: ""}}
---
apiVersion: operators.coreos.com/v1
kind: OperatorGroup
metadata: {name: metallb}
"""


def run(source: str, text: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, objects, and what was said."""
    result = CliRunner().invoke(main, ["convert", "--from", source, "-"], input=text)
    return result.exit_code, list(yaml.safe_load_all(result.stdout)), result.stderr


def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Specs by kind and name."""
    return {(each["kind"], each["metadata"]["name"]): each["spec"] for each in objects}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("configmap", CONFIGMAP),
        ("kubespray", KUBESPRAY),
        ("addresspool", OLD_POOL),
        ("bgppeer-v1beta1", OLD_PEER),
        ("operator", OPERATOR),
    ],
)
def test_what_comes_out_passes_every_rule(source: str, text: str) -> None:
    code, objects, _ = run(source, text)

    gathered, findings = gather(objects)
    assert code == 0
    assert [str(each) for each in [*findings, *check(gathered)] if each.is_error] == []


def test_a_configmap_becomes_objects_of_its_namespace() -> None:
    _, objects, warnings = run("configmap", CONFIGMAP)

    assert {each["metadata"]["namespace"] for each in objects} == {"lb"}
    assert warnings == ""
    assert by_name(objects) == {
        ("BFDProfile", "fast"): {"receiveInterval": 50},
        ("Community", "communities"): {
            "communities": [{"name": "no-export", "value": "65535:65281"}]
        },
        ("BGPPeer", "peer1"): {
            "myASN": 64500,
            "peerASN": 64501,
            "peerAddress": "192.0.2.1",
            "holdTime": "30s",
            "bfdProfile": "fast",
            "nodeSelectors": [{"matchLabels": {"rack": "a"}}],
        },
        ("IPAddressPool", "lan"): {"addresses": ["192.0.2.128/25"], "autoAssign": False},
        ("L2Advertisement", "lan"): {"ipAddressPools": ["lan"]},
        ("IPAddressPool", "wan"): {"addresses": ["198.51.100.0/24"]},
        ("BGPAdvertisement", "wan-1"): {
            "ipAddressPools": ["wan"],
            "aggregationLength": 32,
            "localPref": 100,
            "communities": ["no-export"],
        },
        ("BGPAdvertisement", "wan-2"): {"ipAddressPools": ["wan"], "aggregationLength": 24},
    }


def test_kubesprays_variables_become_objects_and_what_is_lost_is_named() -> None:
    _, objects, warnings = run("kubespray", KUBESPRAY)

    found = by_name(objects)
    assert found["IPAddressPool", "pool-2"] == {
        "addresses": ["192.0.2.128/25"],
        "autoAssign": False,
        "avoidBuggyIPs": True,
    }
    assert found["L2Advertisement", "layer2"] == {"ipAddressPools": ["primary"]}
    assert found["BGPPeer", "peer1"]["peerPort"] == 1179
    assert found["BGPAdvertisement", "peer1"] == {
        "peers": ["peer1"],
        "communities": ["vpn-only"],
        "ipAddressPools": ["pool-2"],
    }
    assert warnings.splitlines() == [
        "<stdin>: warning: kube_proxy_strict_arp: false with kube-proxy in IPVS mode: every node "
        "answers ARP",
        "<stdin>: warning: metallb_config.controller: says where pods run: set it in the DaemonSet "
        "or Deployment",
        "<stdin>: warning: metallb_config.layer3.metallb_peers.peer1.pasword: is not known, left "
        "out; did you mean password?",
    ]


def test_the_operators_object_stays_but_for_what_has_no_meaning_here() -> None:
    _, objects, warnings = run("operator", OPERATOR)

    assert [(each["kind"], each["spec"]) for each in objects] == [
        ("MetalLB", {"logLevel": "debug", "nodeSelector": {"edge": ""}})
    ]
    assert [row.split(": ")[2] for row in warnings.splitlines()] == [
        "spec.bgpBackend",
        "spec.image",
        "spec.frrk8sConfig",
        "OperatorGroup",
    ]


def test_an_old_peer_keeps_its_timers_unsaid() -> None:
    _, objects, _ = run("bgppeer-v1beta1", OLD_PEER)

    [peer] = objects
    assert peer["apiVersion"] == "metallb.io/v1beta2"
    assert peer["spec"].keys() == {"myASN", "peerASN", "peerAddress"}


@pytest.mark.parametrize(
    ("source", "text", "complaint"),
    [
        ("configmap", "address-pools: [{name: a, addresses: []}]",
         "address-pools[0].protocol: is required"),
        ("configmap", "address-pools: [{name: a, protocol: arp, addresses: [192.0.2.0/24]}]",
         "address-pools[0].protocol: 'arp', need layer2 or bgp"),
        ("configmap", "peers: {a: b}", "peers: is no list, need lines that start with a dash"),
        ("configmap", "kind: ConfigMap", "ConfigMap: data.config is required"),
        ("kubespray", "metallb_config: {address_pools: {a: {}}}",
         "metallb_config.address_pools.a.ip_range: is required"),
        ("kubespray", "metallb_config:\nlayer2: [a]\naddress_pools: {}\n",
         "metallb_config: is empty, but address_pools, layer2 stands beside it; indent what "
         "belongs below it"),
        ("operator", OPERATOR.replace("name: metallb,", "name: other,"),
         "MetalLB lb/other: metadata.name: 'other' is not looked at, need 'metallb'"),
        ("operator", OLD_POOL, "holds 0 objects of kind MetalLB, need one"),
        ("kubespray", "- a", "is no file of variables, need lines of `name: value`"),
        ("addresspool", OLD_POOL.replace("layer2", "arp"),
         "AddressPool metallb-system/lan: spec.protocol: 'arp' is none of layer2, bgp"),
        ("configmap", "a: [", "is not YAML: "),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_gives_a_reason_and_nothing_else(
    source: str, text: str, complaint: str
) -> None:
    code, objects, said = run(source, text)

    assert (code, objects) == (1, [])
    assert complaint in said


def test_a_file_is_named_in_what_is_said(tmp_path: Path) -> None:
    path = tmp_path / "vars.yml"
    path.write_text("metallb_enabled: false\n")

    result = CliRunner().invoke(main, ["convert", "--from", "kubespray", str(path)])

    assert result.stderr.startswith(f"{path}: warning: metallb_enabled: ")
