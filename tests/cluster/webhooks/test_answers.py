"""What people see of the webhooks: refusals, conversion, and what happens while they are down."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.webhooks.certificates import Lifetime
from crds.bgp_peer_v1beta1 import V1BETA1, V1BETA2
from tests.cluster.webhooks.rig import NAMESPACE, Judged
from tests.eventually import DEADLINES, eventually

Raw = dict[str, Any]
DEPLOY = Path(__file__).parents[3] / "deploy" / "webhooks"
PEER = {
    "myASN": 64500,
    "peerASN": 64501,
    "peerAddress": "192.0.2.1",
    "holdTime": "90s",
    "keepaliveTime": "30s",
    "peerPort": 1179,
    "routerID": "192.0.2.9",
    "nodeSelectors": [{"matchLabels": {"rack": "a"}}],
}


def raw(kind: str, name: str, spec: Raw, version: str = "metallb.io/v1beta1") -> Raw:
    """An object in our namespace."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def pool(name: str, entry: str) -> Raw:
    return raw("IPAddressPool", name, {"addresses": [entry]})


@pytest.mark.usefixtures("replica")
def test_of_two_objects_applied_at_once_the_second_is_judged_beside_the_first(
    installation: Judged,
) -> None:
    """They come within milliseconds: a copy kept by a watch would not have the first yet."""
    answer = installation.kubectl.apply(pool("st-a", "192.0.2.0/24"), pool("st-b", "192.0.2.7/32"))
    installation.kubectl("delete", "ipaddresspool", "st-a", "-n", NAMESPACE)

    assert answer.code != 0
    assert "st-a serverside-applied" in answer.output
    assert "IPAddressPool metallb-system/st-b: spec.addresses[0]: overlaps" in answer.errors


@pytest.mark.parametrize(("first", "second"), [(V1BETA1, V1BETA2), (V1BETA2, V1BETA1)])
@pytest.mark.usefixtures("replica")
def test_a_peer_comes_back_unchanged_from_the_other_version(
    installation: Judged, first: str, second: str
) -> None:
    group = "bgppeers.{}.metallb.io"
    kubectl = installation.kubectl
    written = kubectl.apply(raw("BGPPeer", "st-peer", PEER, first))
    try:
        other = kubectl.get(group.format(second.split("/")[1]), "st-peer", "-n", NAMESPACE)
        kubectl.apply(raw("BGPPeer", "st-peer", other["spec"], second))
        again = kubectl.get(group.format(first.split("/")[1]), "st-peer", "-n", NAMESPACE)
    finally:
        kubectl("delete", "bgppeer", "st-peer", "-n", NAMESPACE)

    assert written.code == 0, written.errors
    assert (other["apiVersion"], again["apiVersion"]) == (second, first)
    assert {field: again["spec"].get(field) for field in PEER} == PEER
    assert other["metadata"]["generation"] == again["metadata"]["generation"] == 1


@pytest.mark.usefixtures("replica")
def test_what_is_missing_but_may_yet_come_is_a_warning(installation: Judged) -> None:
    peer = raw("BGPPeer", "st-peer", {**PEER, "bfdProfile": "later"}, V1BETA2)

    answer = installation.kubectl.apply(peer)
    installation.kubectl("delete", "bgppeer", "st-peer", "-n", NAMESPACE)

    assert answer.code == 0
    assert "Warning: BGPPeer metallb-system/st-peer: spec.bfdProfile: there is no BFDProfile" in (
        answer.errors
    )


def test_while_nobody_answers_our_objects_are_refused_and_no_others(judged: Judged) -> None:
    """failurePolicy Fail, as MetalLB's. What is stored can still be read and deleted."""
    replica = judged.start()
    judged.aim(replica)
    judged.kubectl.apply(pool("st-a", "192.0.2.0/24"))
    judged.stop_all()

    refused = judged.kubectl.apply(pool("st-b", "198.51.100.0/24"))
    other = judged.kubectl("create", "configmap", "st-other", "-n", NAMESPACE)
    judged.kubectl.good("get", "ipaddresspool", "st-a", "-n", NAMESPACE)
    judged.kubectl.good("delete", "ipaddresspool", "st-a", "-n", NAMESPACE)
    judged.kubectl("delete", "configmap", "st-other", "-n", NAMESPACE)

    assert refused.code != 0
    assert 'failed calling webhook "ipaddresspoolvalidationwebhook.metallb.io"' in refused.errors
    assert other.code == 0


def test_what_was_stored_unjudged_is_named_and_refuses_nobody(judged: Judged) -> None:
    """Two pools that overlap came in while nobody answered, by failurePolicy Ignore."""
    with judged.policy("Ignore"):
        unjudged = judged.kubectl.apply(pool("st-a", "192.0.2.0/24"), pool("st-b", "192.0.2.7/32"))
    judged.aim(judged.start())

    third = judged.kubectl.apply(pool("st-c", "198.51.100.0/24"))
    judged.kubectl("delete", "ipaddresspool", "st-a", "st-b", "st-c", "-n", NAMESPACE)

    assert unjudged.code == 0, unjudged.errors
    assert third.code == 0, third.errors
    assert "Warning: stored before: IPAddressPool metallb-system/st-b" in third.errors


def test_what_may_not_be_read_is_told_and_refuses_nobody(judged: Judged, tmp_path: Path) -> None:
    """The first rule of the role lets our kinds be read."""
    role = ("role", "stentor-webhooks", "-n", NAMESPACE)
    judged.kubectl.good("apply", "-f", str(DEPLOY / "rbac.yaml"))
    removed = '[{"op": "remove", "path": "/rules/0"}]'
    judged.kubectl.good("patch", *role, "--type=json", "-p", removed)
    token = judged.kubectl.good("create", "token", "stentor-controller", "-n", NAMESPACE).strip()
    judged.aim(judged.start(kubeconfig=str(kubeconfig_of(judged, token, tmp_path))))

    answer = judged.kubectl.apply(pool("st-a", "192.0.2.0/24"))
    judged.kubectl("delete", "ipaddresspool", "st-a", "-n", NAMESPACE)
    judged.kubectl("delete", *role)

    assert answer.code == 0, answer.errors
    assert "Warning: not compared with any IPAddressPool, which cannot be read" in answer.errors


def test_the_roles_are_enough_and_the_node_labels_reach_the_rules(
    judged: Judged, tmp_path: Path
) -> None:
    """A controller with the ServiceAccount of deploy/webhooks/rbac.yaml, and nothing more."""
    judged.kubectl.good("apply", "-f", str(DEPLOY / "rbac.yaml"))
    token = judged.kubectl.good("create", "token", "stentor-controller", "-n", NAMESPACE).strip()
    replica = judged.start(kubeconfig=str(kubeconfig_of(judged, token, tmp_path)))
    judged.aim(replica)
    on = [
        raw("BGPPeer", f"st-{node}", {**PEER, "nodeSelectors": [selector(node)]}, V1BETA2)
        for node in ("node1", "node2")
    ]
    try:
        apart = judged.kubectl.apply(*on)
        same = judged.kubectl.apply(raw("BGPPeer", "st-third", on[0]["spec"], V1BETA2))
    finally:
        judged.kubectl("delete", "bgppeer", "st-node1", "st-node2", "-n", NAMESPACE)

    assert (apart.code, apart.errors) == (0, "")
    assert "on a node of both" in same.errors
    assert [e for e in replica.lines.events if e["level"] in {"warn", "error"}] == []


def selector(node: str) -> Raw:
    return {"matchLabels": {"kubernetes.io/hostname": node}}


def kubeconfig_of(judged: Judged, token: str, folder: Path) -> Path:
    """The administrator's, with a token in place of the certificate."""
    config = yaml.safe_load(judged.kubectl.plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_controller_that_may_not_tell_whom_to_trust_serves_in_the_end(
    judged: Judged, tmp_path: Path
) -> None:
    """The error that people then see names the certificate; the log has the missing right."""
    role = ("clusterrole", "stentor-webhooks")
    judged.kubectl.good("apply", "-f", str(DEPLOY / "rbac.yaml"))
    steps = [
        {"op": "replace", "path": f"/rules/{number}/verbs", "value": ["get", "list", "watch"]}
        for number in (1, 2)
    ]
    judged.kubectl.good("patch", *role, "--type=json", "-p", json.dumps(steps))
    token = judged.kubectl.good("create", "token", "stentor-controller", "-n", NAMESPACE).strip()
    replica = judged.start(kubeconfig=str(kubeconfig_of(judged, token, tmp_path)))
    judged.aim(replica)

    refused = judged.kubectl.apply(pool("st-a", "192.0.2.0/24"))
    judged.kubectl.good("delete", *role)

    assert "certificate signed by unknown authority" in refused.errors
    told = [event["message"] for event in replica.lines.of("certificate_not_kept")]
    assert any("metallb-webhook-configuration: 403 Forbidden" in message for message in told)
    assert any("bgppeers.metallb.io: 403 Forbidden" in message for message in told)


def test_a_certificate_that_is_due_and_may_not_be_replaced_is_served_by_who_starts(
    judged: Judged, tmp_path: Path
) -> None:
    """A controller that restarts where a right was taken away must not stop at that."""
    judged.aim(judged.start())
    judged.stop_all()
    role = ("role", "stentor-webhooks", "-n", NAMESPACE)
    judged.kubectl.good("apply", "-f", str(DEPLOY / "rbac.yaml"))
    reads_only = '[{"op": "replace", "path": "/rules/3/verbs", "value": ["get", "list", "watch"]}]'
    judged.kubectl.good("patch", *role, "--type=json", "-p", reads_only)
    token = judged.kubectl.good("create", "token", "stentor-controller", "-n", NAMESPACE).strip()
    always_due = Lifetime(timedelta(days=90), timedelta(days=91))
    path = kubeconfig_of(judged, token, tmp_path)
    replica = judged.start(kubeconfig=str(path), lifetime=always_due)
    judged.aim(replica)

    answer = judged.kubectl.apply(pool("st-a", "192.0.2.0/24"))
    judged.kubectl("delete", "ipaddresspool", "st-a", "-n", NAMESPACE)
    judged.kubectl("delete", *role)

    assert answer.code == 0, answer.errors
    assert replica.lines.of("certificate_made") == []
    told = [event["message"] for event in replica.lines.of("certificate_not_kept")]
    assert any("metallb-webhook-cert: 403 Forbidden" in message for message in told)


def test_a_controller_that_may_not_read_says_so(judged: Judged, tmp_path: Path) -> None:
    """Without a role nothing can be read; it is not ready, and tells why."""
    judged.kubectl("create", "serviceaccount", "st-nobody", "-n", NAMESPACE)
    token = judged.kubectl.good("create", "token", "st-nobody", "-n", NAMESPACE).strip()

    replica = judged.start(kubeconfig=str(kubeconfig_of(judged, token, tmp_path)))

    failed = eventually(
        lambda: replica.lines.of("watch_failed"), within_s=DEADLINES.answered, what="watch_failed"
    )
    judged.kubectl("delete", "serviceaccount", "st-nobody", "-n", NAMESPACE)
    assert "403 Forbidden" in failed[0]["message"]
    assert replica.controller.obstacle.startswith("no certificate yet")
