"""The objects of a lab, as the YAML files that the speakers are given."""

from pathlib import Path
from typing import Any

import yaml

from stentor.lab.topology import INTERFACE, Topology

NAMESPACE = "demo"
METALLB_NAMESPACE = "metallb-system"


def write(topology: Topology, directory: Path) -> None:
    """Write pool, advertisement and Services into `directory`, over what is there."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        "pool.yaml": [_pool(), _advertisement(topology)],
        "services.yaml": [
            _service(f"web-{index + 1}", [str(vip) for vip in vips])
            for index, vips in enumerate(topology.vips)
        ],
    }
    for name, objects in files.items():
        (directory / name).write_text(yaml.safe_dump_all(objects, sort_keys=False))


def _pool() -> dict[str, Any]:
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "lab", "namespace": METALLB_NAMESPACE},
        "spec": {"addresses": ["192.0.2.100-192.0.2.199", "2001:db8::100-2001:db8::199"]},
    }


def _advertisement(topology: Topology) -> dict[str, Any]:
    interfaces = {"interfaces": [INTERFACE]} if topology.management else {}
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "L2Advertisement",
        "metadata": {"name": "lab", "namespace": METALLB_NAMESPACE},
        "spec": {"ipAddressPools": ["lab"], **interfaces},
    }


def _service(name: str, vips: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "type": "LoadBalancer",
            "ipFamilyPolicy": "RequireDualStack",
            "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": vip} for vip in vips]}},
    }
