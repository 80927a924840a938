"""
The world as both halves see it: narrow frozen values, whatever source they came from.

Only what a decision needs is kept: with 10,000 services and 10,000 endpoint slices every field
here is paid for 10,000 times. Mappings are never changed after they were handed out.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import attrs

from crds.matching import LabelSelector
from stentor.address_sets import AddressRange, Vip
from stentor.cluster.findings import Finding

HOSTNAME_LABEL = "kubernetes.io/hostname"
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"  # on every namespace since Kubernetes 1.22
DEFAULT_REFRESH_S = 60.0  # announcements of a VIP at rest; 0 turns them off


class Key(NamedTuple):
    """Names an object of one kind; sorts by namespace, then name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class TrafficPolicy(enum.StrEnum):
    """spec.externalTrafficPolicy of a Service."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class Protocol(enum.StrEnum):
    """Transport protocol of a Service port."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class Refusal(enum.StrEnum):
    """Why a Service that asks for a VIP has none. The value is the code that status shows."""

    NO_IP_ALLOCATED = "noIPAllocated"  # neither status nor annotation nor spec names a VIP
    INVALID_IP = "invalidIP"  # what stands there is not an address
    IP_NOT_ALLOWED = "ipNotAllowed"  # no pool holds the VIP, or the pool does not admit the Service
    FAMILY_MISMATCH = "familyMismatch"  # spec.ipFamilies asks for other families
    VIP_TAKEN = "vipTaken"  # another Service has the VIP and they may not share it
    ADDRESS_OF_A_HOST = "addressOfAHost"  # the VIP is the InternalIP of a Node
    BAD_ANNOTATION = "badAnnotation"  # an unknown key or value under stentor.io/


class Port(NamedTuple):
    """One port a Service listens on."""

    protocol: Protocol
    number: int


@attrs.frozen
class ServiceOptions:
    """What the stentor.io/ annotations of a Service say (DESIGN.md 10)."""

    failback: bool = True  # stentor.io/failback: never -> False
    refresh_s: float = DEFAULT_REFRESH_S  # stentor.io/refresh-seconds; 0 = off
    preferred_nodes: tuple[str, ...] = ()  # stentor.io/preferred-nodes, best first


@attrs.frozen
class Service:
    """
    A Service of type LoadBalancer and of our class; others never enter a World.

    `vips` are the addresses to answer for, in status order; empty with `refusal` set when there
    are none. `ports` matter for sharing alone.
    """

    key: Key
    vips: tuple[Vip, ...] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict)
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    lb_class: str | None = None
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    ports: tuple[Port, ...] = ()
    # Key of the sharers of a VIP; None without the annotation. An empty text is a key given
    # (MetalLB's selector rule counts it) but never one that two Services can share by.
    sharing_key: str | None = None
    # What tells apart the endpoints behind a Service with policy Local: its selector as text.
    backend_key: str = ""
    created: str = ""  # RFC 3339 in UTC, "" where the source has none; older keeps a disputed VIP
    pool: str | None = None  # the pool that holds the VIPs, where the source knows it
    served_everywhere: bool = False  # manifest mode, no EndpointSlice at all: any node serves it
    options: ServiceOptions = attrs.field(factory=ServiceOptions)
    refusal: Refusal | None = None
    refusal_text: str = ""


@attrs.frozen
class Endpoint:
    """One endpoint of an EndpointSlice, conditions as there: None = not said."""

    addresses: tuple[str, ...] = ()
    node: str | None = None
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None

    @property
    def can_serve(self) -> bool:
        """Ready, or not said; else still serving, as one that drains is (MetalLB's rule)."""
        return self.ready is not False or self.serving is True


@attrs.frozen
class Node:
    """A node that may answer."""

    name: str
    labels: Mapping[str, str] = attrs.field(factory=dict)
    internal_ips: tuple[Vip, ...] = ()
    network_unavailable: bool = False

    @property
    def is_excluded(self) -> bool:
        """Labelled out of load balancing; the key alone counts, whatever its value."""
        return EXCLUDE_LABEL in self.labels

    @classmethod
    def of_member(cls, name: str) -> "Node":
        """Return a ring member that no Node object describes: all it has is its hostname."""
        return cls(name, {HOSTNAME_LABEL: name})


@attrs.frozen
class Namespace:
    """A namespace and its labels, which pools select by."""

    name: str
    labels: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class PoolAllocation:
    """Whom a pool is for (spec.serviceAllocation)."""

    priority: int = 0  # lower goes first, 0 last
    namespaces: frozenset[str] = frozenset()
    namespace_selectors: tuple[LabelSelector, ...] = ()
    service_selectors: tuple[LabelSelector, ...] = ()

    def admits(self, namespace: Namespace, service_labels: Mapping[str, str]) -> bool:
        """
        Tell whether a Service may have an address of the pool.

        Namespaces by name or by label, and Service labels; a part that says nothing admits all.
        """
        if self.namespaces or self.namespace_selectors:
            by_label = any(s.matches(namespace.labels) for s in self.namespace_selectors)
            if namespace.name not in self.namespaces and not by_label:
                return False
        if not self.service_selectors:
            return True
        return any(s.matches(service_labels) for s in self.service_selectors)


@attrs.frozen
class Pool:
    """An IPAddressPool."""

    name: str
    ranges: tuple[AddressRange, ...]  # in the order listed, which is the order of allocation
    labels: Mapping[str, str] = attrs.field(factory=dict)
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    allocation: PoolAllocation | None = None

    def __contains__(self, vip: object) -> bool:
        return any(vip in span for span in self.ranges)


@attrs.frozen
class Preference:
    """One entry of spec.preferredNodeSelectors: a matching node's score grows by `weight`."""

    weight: int  # 1 to 100
    selector: LabelSelector


@attrs.frozen
class L2Ad:
    """An L2Advertisement."""

    name: str
    pools: tuple[str, ...] = ()
    pool_selectors: tuple[LabelSelector, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()
    interfaces: tuple[str, ...] = ()  # empty: all
    service_selectors: tuple[LabelSelector, ...] = ()
    preferences: tuple[Preference, ...] = ()

    def selects_pool(self, pool: Pool) -> bool:
        """By name or by label; every pool when neither is given."""
        if not self.pools and not self.pool_selectors:
            return True
        return pool.name in self.pools or any(s.matches(pool.labels) for s in self.pool_selectors)

    def selects_node(self, labels: Mapping[str, str]) -> bool:
        """Any selector, or no selectors at all."""
        return not self.node_selectors or any(s.matches(labels) for s in self.node_selectors)

    def selects_service(self, labels: Mapping[str, str]) -> bool:
        """Any selector, or no selectors at all."""
        return not self.service_selectors or any(s.matches(labels) for s in self.service_selectors)


@attrs.frozen
class World:
    """
    One moment of everything the sources know, and what they had to complain about.

    `endpoints` is keyed by Service and has no entry for a Service without an EndpointSlice.
    Pools, advertisements, nodes and namespaces are keyed by name.
    """

    services: Mapping[Key, Service] = attrs.field(factory=dict)
    endpoints: Mapping[Key, tuple[Endpoint, ...]] = attrs.field(factory=dict)
    nodes: Mapping[str, Node] = attrs.field(factory=dict)
    namespaces: Mapping[str, Namespace] = attrs.field(factory=dict)
    pools: Mapping[str, Pool] = attrs.field(factory=dict)
    l2_ads: Mapping[str, L2Ad] = attrs.field(factory=dict)
    findings: tuple[Finding, ...] = ()

    def with_members(self, names: Iterable[str]) -> "World":
        """Add ring members that no Node describes, so that they can be candidates."""
        missing = {name: Node.of_member(name) for name in names if name not in self.nodes}
        return attrs.evolve(self, nodes={**self.nodes, **missing}) if missing else self

    def namespace(self, name: str) -> Namespace:
        """Return the namespace, without labels where no object describes it."""
        return self.namespaces.get(name) or Namespace(name, {NAMESPACE_LABEL: name})
