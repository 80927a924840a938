"""What a BGP backend cannot do (METALLB_BGP_TYPE), checked only when one is named."""

import enum
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

from crds.bgp_peer import BGPPeer, BGPPeerSpec
from crds.communities import looks_literal, parse_community
from crds.errors import CommunityError
from crds.rules.findings import Finding, error
from crds.rules.objects import Named, Objects


class Backend(enum.StrEnum):
    """Who speaks BGP."""

    GOBGP = "gobgp"  # Stentor's own: all fields, one session per address and VRF
    NATIVE = "native"  # MetalLB's first speaker
    FRR = "frr"
    FRR_K8S = "frr-k8s"


def check_backend(objects: Objects, backend: Backend) -> Iterator[Finding]:
    """Whatever `backend` cannot be told."""
    match backend:
        case Backend.NATIVE:
            yield from _native(objects)
        case Backend.FRR | Backend.FRR_K8S:
            yield from _neighbours(objects, (_same_router_id, _same_place, _same_asn))
        case Backend.GOBGP:
            yield from _neighbours(objects, (_same_place,))


# --- native

_NOT_NATIVE: tuple[tuple[str, Callable[[BGPPeerSpec], Any]], ...] = (
    ("bfdProfile", lambda s: s.bfd_profile),
    ("keepaliveTime", lambda s: s.keepalive_time),
    ("vrf", lambda s: s.vrf),
    ("connectTime", lambda s: s.connect_time),
    ("enableGracefulRestart", lambda s: s.enable_graceful_restart),
    ("disableMP", lambda s: s.disable_mp),
    ("dualStackAddressFamily", lambda s: s.dual_stack_address_family),
    ("dynamicASN", lambda s: s.dynamic_asn),
    ("interface", lambda s: s.interface),
    ("localASN", lambda s: s.local_asn),
)


def _native(objects: Objects) -> Iterator[Finding]:
    for peer in objects.peers:
        for field, value_of in _NOT_NATIVE:
            if value := value_of(peer.model.spec):
                message = "is not for the native backend; remove it or choose another backend"
                yield error(peer.subject, ("spec", field), message, value)
    for profile in objects.bfd_profiles:
        yield error(profile.subject, (), "BFD is not for the native backend")
    yield from _native_advertisements(objects)
    for community in objects.communities:
        for place, alias in enumerate(community.model.spec.communities):
            if _is_large(alias.value):
                path = ("spec", "communities", place, "value")
                yield error(community.subject, path, _LARGE, alias.value)


_LARGE = "large communities are not for the native backend"


def _native_advertisements(objects: Objects) -> Iterator[Finding]:
    for ad in objects.bgp_ads:
        for place, text in enumerate(ad.model.spec.communities):
            if looks_literal(text) and _is_large(text):
                yield error(ad.subject, ("spec", "communities", place), _LARGE, text)
        for facts in objects.pools_selected(ad.model):
            if 6 in facts.versions:
                message = f"{facts.pool.subject} has IPv6 addresses, which native cannot announce"
                yield error(ad.subject, ("spec", "ipAddressPools"), message, facts.pool.name)


def _is_large(text: str) -> bool:
    try:
        return parse_community(text).is_large
    except CommunityError:
        return False


# --- peers that share a node

Clash = Callable[[BGPPeerSpec, BGPPeerSpec], tuple[str, str] | None]  # field and what is wrong


def _neighbours(objects: Objects, clashes: Iterable[Clash]) -> Iterator[Finding]:
    """Every pair of peers that some node has sessions with both of; all where none is known."""
    nodes = {id(p): objects.nodes_selected(p.model.spec.node_selectors) for p in objects.peers}
    told: set[tuple[int, str]] = set()
    for one, other in combinations(objects.peers, 2):
        if objects.nodes and nodes[id(one)].isdisjoint(nodes[id(other)]):
            continue
        for clash in clashes:
            found = clash(one.model.spec, other.model.spec)
            if found is not None and (id(other), found[0]) not in told:
                told.add((id(other), found[0]))
                yield _told(one, other, *found)


def _told(one: Named[BGPPeer], other: Named[BGPPeer], field: str, message: str) -> Finding:
    return error(other.subject, ("spec", field), f"{message} {one.subject}, on a node of both")


def _same_router_id(one: BGPPeerSpec, other: BGPPeerSpec) -> tuple[str, str] | None:
    if one.router_id == other.router_id:
        return None
    return "routerID", f"is {other.router_id or 'not given'}, need {one.router_id or 'none'} as in"


def _same_place(one: BGPPeerSpec, other: BGPPeerSpec) -> tuple[str, str] | None:
    if one.vrf != other.vrf:
        return None
    for field, mine, theirs in (
        ("peerAddress", one.peer_address, other.peer_address),
        ("interface", one.interface, other.interface),
    ):
        if mine and mine == theirs:
            return field, f"{theirs} is that of"
    return None


def _same_asn(one: BGPPeerSpec, other: BGPPeerSpec) -> tuple[str, str] | None:
    if one.vrf != other.vrf or one.my_asn == other.my_asn:
        return None
    return "myASN", f"is {other.my_asn}, need {one.my_asn} as in"
