"""Small worlds for planner tests: one Service, some nodes, one pool, one advertisement."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from speaker.snapshot import Snapshot
from stentor.address_sets import AddressRange
from stentor.cluster.objects import (
    HOSTNAME_LABEL,
    Endpoint,
    Key,
    L2Ad,
    Node,
    Pool,
    Service,
    World,
)

VIP = ip_address("192.0.2.135")
VIP6 = ip_address("2001:db8::81")
POOL = Pool("public", (AddressRange.parse("192.0.2.0/24"), AddressRange.parse("2001:db8::/64")))
AD = L2Ad("all")


def nodes(*names: str) -> dict[str, Node]:
    """Nodes that carry nothing but their hostname label."""
    return {name: Node(name, {HOSTNAME_LABEL: name}) for name in names}


def service(name: str = "web", **fields: Any) -> Service:
    """A Service with one VIP that any node can serve."""
    return Service(
        **{"key": Key("shop", name), "vips": (VIP,), "served_everywhere": True, **fields}
    )


def served_on(*names: str) -> tuple[Endpoint, ...]:
    """A ready endpoint on each node."""
    return tuple(Endpoint(node=name, ready=True) for name in names)


def world(*services: Service, names: Iterable[str] = ("n1", "n2"), **fields: Any) -> World:
    """A world of these Services (one by default), nodes by name, one pool and one advertisement."""
    listed = services or (service(),)
    defaults: dict[str, Any] = {
        "services": {item.key: item for item in listed},
        "nodes": nodes(*names),
        "pools": {POOL.name: POOL},
        "l2_ads": {AD.name: AD},
    }
    return World(**{**defaults, **fields})


def seen_by(node: str, what: World, **fields: Any) -> Snapshot:
    """The snapshot of `node`."""
    return Snapshot(node, what, **fields)
