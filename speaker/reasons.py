"""Why a VIP is announced from a node, or is not: the one vocabulary of status, events and logs."""

import enum
from typing import Self


class Reason(enum.StrEnum):
    """
    A reason code. The value is the log field and the metric label; `condition` is the same in
    CamelCase for status and events; `text` is the line `stentor explain` prints.

    Codes in camelCase are MetalLB's own words with MetalLB's meaning, so that a log search written
    for it keeps working. Codes in snake_case are ours: MetalLB has no such case, or does not tell.
    """

    text: str

    def __new__(cls, code: str, text: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.text = text
        return member

    @property
    def condition(self) -> str:
        """The code as a Kubernetes condition reason, CamelCase."""
        return "".join(part[:1].upper() + part[1:] for part in self.value.split("_"))

    @property
    def announces(self) -> bool:
        """Whether the node speaks for the VIP."""
        return self is Reason.ANNOUNCED

    # The one yes. MetalLB logs an empty string here.
    ANNOUNCED = "announced", "this node announces the VIP"

    # A Service that has no VIP to plan for.
    NOT_LOAD_BALANCER = "notLoadBalancer", "the Service is not of type LoadBalancer"
    SERVICE_DELETED = "serviceDeleted", "the Service is gone"
    NO_IP_ALLOCATED = "noIPAllocated", "the Service has no address in its status yet"
    INVALID_IP = "invalidIP", "an address in the Service's status is not an IP address"
    IP_NOT_ALLOWED = "ipNotAllowed", "no one address pool holds every address of the Service"
    LOAD_BALANCER_IP_CHANGED = (
        "loadBalancerIPChanged",
        "the Service has another address now; the old one is withdrawn",
    )
    INTERNAL_ERROR = "internalError", "an invariant of ours is broken; please report it"
    OTHER_LOAD_BALANCER_CLASS = (
        "other_load_balancer_class",
        "the Service's loadBalancerClass belongs to another implementation",
    )
    FAMILY_MISMATCH = (
        "family_mismatch",
        "the addresses are not of the families the Service asks for",
    )
    VIP_TAKEN = (
        "vip_taken",
        "another Service has this address and the two do not share it by a common sharing key",
    )
    BAD_ANNOTATION = "bad_annotation", "a stentor.io annotation has an unknown key or value"

    # Rules of layer 2 and BGP that speak against this node.
    NO_MATCHING_ADVERTISEMENT = (
        "noMatchingAdvertisement",
        "no advertisement of the pool selects both this Service and this node",
    )
    SHARED_IP_WITH_SERVICE_SELECTOR = (
        "sharedIPWithServiceSelector",
        "the address may be shared, and an advertisement picks Services by label: refused, since "
        "the sharers could end up on different nodes",
    )
    CONFLICTING_ADVERTISEMENTS = (
        "conflictingAdvertisements",
        "two advertisements that apply disagree on localPref",
    )
    NODE_NETWORK_UNAVAILABLE = (
        "nodeNetworkUnavailable",
        "the node has condition NetworkUnavailable=True",
    )
    NODE_LABELED_EXCLUDE_BALANCERS = (
        "nodeLabeledExcludeBalancers",
        "the node carries label node.kubernetes.io/exclude-from-external-load-balancers",
    )
    NO_LOCAL_ENDPOINTS = (
        "noLocalEndpoints",
        "externalTrafficPolicy is Local and no endpoint on this node can serve",
    )
    NO_ENDPOINTS = "noEndpoints", "no endpoint of the Service can serve, on any node"
    NOT_OWNER = "notOwner", "another node announces the VIP"

    # Finer than notOwner.
    LOWER_RANK = "lower_rank", "a candidate that ranks before this node is alive"
    NODE_NOT_ALIVE = "node_not_alive", "this node is not an alive member of the ring"
    NODE_UNKNOWN = "node_unknown", "this node is neither a Node object nor a member of the ring"

    # What the herald finds on the wire.
    HELD_ELSEWHERE = "held_elsewhere", "a foreign LLADDR answers for the VIP on the segment"
    ADDRESS_OF_A_HOST = (
        "address_of_a_host",
        "the VIP is an address of a host or of a gateway and is never touched",
    )
    MIXED_RING = (
        "mixed_ring",
        "a candidate does not run Stentor: MetalLB's rule alone decides this VIP",
    )
    RUNG_UNPROVEN = (
        "rung_unproven",
        "no peer has confirmed an answer by native XDP through this interface yet",
    )
    VLAN_OFFLOAD = "vlan_offload", "the NIC strips VLAN tags before XDP sees them"
    FOREIGN_PROGRAM = "foreign_program", "the interface's XDP hook holds a program that is not ours"
    DUPLICATE_NODE = "duplicate_node", "another live node of the ring has this node's name"
    LEASE_EXPIRED = "lease_expired", "the herald did not renew the lease in time"
    NO_INTERFACE = "no_interface", "none of the advertised interfaces exists on this node"


_IN_METALLB_L2 = {
    Reason.NO_ENDPOINTS: Reason.NOT_OWNER,
    Reason.NO_LOCAL_ENDPOINTS: Reason.NOT_OWNER,
    Reason.NODE_NETWORK_UNAVAILABLE: Reason.NOT_OWNER,
    Reason.NODE_LABELED_EXCLUDE_BALANCERS: Reason.NOT_OWNER,
    Reason.LOWER_RANK: Reason.NOT_OWNER,
    Reason.NODE_NOT_ALIVE: Reason.NOT_OWNER,
    Reason.NODE_UNKNOWN: Reason.NO_MATCHING_ADVERTISEMENT,
}


def as_metallb_l2(cause: Reason) -> Reason:
    """
    The code MetalLB's layer-2 speaker logs where we know the finer `cause`.

    It says notOwner for every node that is not the first candidate, whatever kept it from being
    one; only its BGP speaker uses the finer codes of the camelCase set.
    """
    return _IN_METALLB_L2.get(cause, cause)
