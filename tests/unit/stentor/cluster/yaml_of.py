"""Manifests as text, right in all that a test does not change, and the World they make."""

import json
from collections.abc import Mapping
from typing import Any

from stentor.cluster.assemble import assemble
from stentor.cluster.documents import FileContent, read_text
from stentor.cluster.objects import Key, Service, World

VIP, VIP6 = "192.0.2.5", "2001:db8::5"
WEB = Key("default", "web")


def document(kind: str, name: str, api: str = "v1", **fields: Any) -> str:
    """Return one object as a YAML document of one line a field; JSON is YAML."""
    metadata = {"name": name, **fields.pop("metadata", {})}
    parts = {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in parts.items())


def pool(name: str = "lan", *addresses: str, **spec: Any) -> str:
    """Return an IPAddressPool, by default of 192.0.2.0/28 and 2001:db8::/120."""
    listed = list(addresses) or ["192.0.2.0/28", "2001:db8::/120"]
    spec = {"addresses": listed, **spec}
    return document("IPAddressPool", name, "metallb.io/v1beta1", spec=spec)


def old_pool(name: str = "old", protocol: str = "layer2", **spec: Any) -> str:
    """Return an AddressPool of 192.0.2.0/28."""
    spec = {"protocol": protocol, "addresses": ["192.0.2.0/28"], **spec}
    return document("AddressPool", name, "metallb.io/v1beta1", spec=spec)


def l2_ad(name: str = "all", **spec: Any) -> str:
    return document("L2Advertisement", name, "metallb.io/v1beta1", spec=spec)


def service(
    name: str = "web",
    vips: str = VIP,
    *,
    notes: Mapping[str, str] | None = None,
    created: str = "",
    labels: Mapping[str, str] | None = None,
    status: tuple[str, ...] = (),
    **spec: Any,
) -> str:
    """Return a Service of type LoadBalancer that asks for `vips` by annotation, if for any."""
    annotations = {**({"metallb.io/loadBalancerIPs": vips} if vips else {}), **(notes or {})}
    metadata: dict[str, Any] = {"annotations": annotations, "labels": dict(labels or {})}
    if created:
        metadata["creationTimestamp"] = created
    ingress = {"loadBalancer": {"ingress": [{"ip": vip} for vip in status]}}
    spec = {"type": "LoadBalancer", **spec}
    return document("Service", name, metadata=metadata, spec=spec, status=ingress)


def node(name: str, *addresses: str, labels: Mapping[str, str] | None = None) -> str:
    listed = [{"type": "InternalIP", "address": address} for address in addresses]
    metadata = {"labels": dict(labels or {})}
    return document("Node", name, metadata=metadata, status={"addresses": listed})


def endpoint_slice(name: str, owner: str, *endpoints: dict[str, Any]) -> str:
    return document(
        "EndpointSlice",
        name,
        "discovery.k8s.io/v1",
        metadata={"labels": {"kubernetes.io/service-name": owner}},
        addressType="IPv4",
        endpoints=list(endpoints),
    )


def joined(*documents: str) -> str:
    return "---\n".join(documents)


def content(text: str, last: FileContent | None = None, name: str = "a.yaml") -> FileContent:
    return read_text(name, text, last.entries if last else {})


def world(*documents: str, lb_class: str = "", **allocations: str) -> World:
    """Return the World of one file a.yaml, with status files by name where given."""
    status = {name: content(text, name=name) for name, text in allocations.items()}
    return assemble({"a.yaml": content(joined(*documents))}, status, lb_class=lb_class)


def found(world: World) -> list[str]:
    """Return what findings say, without the place."""
    return [
        f"{finding.severity}: {finding.object}: {finding.message}" for finding in world.findings
    ]


def named(world: World, name: str = "web") -> Service:
    return world.services[Key("default", name)]


def vips(world: World, name: str = "web") -> list[str]:
    """Return the VIPs of a Service as text."""
    return [str(vip) for vip in named(world, name).vips]
