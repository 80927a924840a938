"""Sets of objects that are right but for what a test changes, and what is said of them."""

from typing import Any

from crds.decode import KINDS
from crds.rules import Backend, Finding, Options, check, gather

Raw = dict[str, Any]


def raw(kind: str, name: str = "x", *, labels: Raw | None = None, **spec: Any) -> Raw:
    """An object of one of our kinds."""
    metadata = {"name": name, "namespace": "metallb-system", "labels": labels or {}}
    version = next(iter(KINDS[kind]))
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def pool(name: str = "lan", *addresses: str, **spec: Any) -> Raw:
    return raw("IPAddressPool", name, addresses=[*(addresses or ["192.0.2.0/24"])], **spec)


def peer(name: str = "tor", **spec: Any) -> Raw:
    fields = {"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.250", **spec}
    return raw("BGPPeer", name, **{k: v for k, v in fields.items() if v is not None})


def node(name: str, address: str = "198.51.100.1") -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }


def on(name: str) -> list[Raw]:
    return [{"matchLabels": {"kubernetes.io/hostname": name}}]


def bgp(name: str = "ad", **spec: Any) -> Raw:
    return raw("BGPAdvertisement", name, **spec)


ECHO = raw("BFDProfile", "echo", echoMode=True)
L2 = raw("L2Advertisement", "l2")
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pw"}, "type": "Opaque"}


def findings(*objects: Raw, backend: Backend | None = None) -> list[Finding]:
    """All that is wrong with a set of objects."""
    gathered, alone = gather(objects)
    return [*alone, *check(gathered, Options(backend=backend))]


def errors(*objects: Raw, backend: Backend | None = None) -> list[str]:
    """What refuses it."""
    return [str(each) for each in findings(*objects, backend=backend) if each.is_error]


def warnings(*objects: Raw) -> list[str]:
    """What is only told."""
    return [str(each) for each in findings(*objects) if not each.is_error]
