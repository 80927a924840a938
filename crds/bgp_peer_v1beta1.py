"""BGPPeer metallb.io/v1beta1, deprecated, and what becomes of it: the conversion webhook's work."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from crds.base import Column, Raw, Resource, Strict, empty_dict, empty_list
from crds.bgp_peer import PEER_COLUMNS, AddressText, Asn, BGPPeer, RouterId
from crds.durations import Duration
from crds.errors import Problem
from crds.selectors import LabelKey, LabelValue, Operator

V1BETA1: Final = "metallb.io/v1beta1"
V1BETA2: Final = BGPPeer.API_VERSION

_SHARED: Final = (
    "myASN", "peerASN", "peerAddress", "sourceAddress", "peerPort", "holdTime", "keepaliveTime",
    "routerID", "nodeSelectors", "password", "bfdProfile", "ebgpMultiHop",
)  # fmt: skip
_TIMERS: Final = ("holdTime", "keepaliveTime")
_ZERO: Final = "0s"  # a time that v1beta1 does not give: the backend's default, as MetalLB has it


class MatchExpression(Strict):
    """As a LabelSelector's, but with at least one value whatever the operator."""

    key: LabelKey  # of the label
    operator: Operator  # how the label's value is compared with values
    values: Annotated[list[LabelValue], Field(min_length=1)]  # at least one


class NodeSelector(Strict):
    """All of matchLabels and all of matchExpressions."""

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=empty_dict
    )  # labels and values
    # Comparisons that must hold as well.
    match_expressions: list[MatchExpression] = Field(default_factory=empty_list)


class BGPPeerV1Beta1Spec(Strict):
    """The fields of v1beta2 that there were then."""

    my_asn: Asn = Field(alias="myASN")  # autonomous system of this side
    peer_asn: Asn = Field(alias="peerASN")  # autonomous system of the peer
    peer_address: AddressText  # IPv4 or IPv6 address of the peer
    source_address: AddressText = ""  # local address of the session; by default the route's
    peer_port: Annotated[int, Field(ge=0, le=16_384)] = 0  # TCP port of the peer; 0: 179
    hold_time: Duration | None = None  # proposed to the peer: 0s, or 3s or more
    keepalive_time: Duration | None = None  # between KEEPALIVEs; a third of holdTime by default
    # BGP identifier, spelt as an IPv4 address; by default the node's address of the session.
    router_id: RouterId = Field(default="", alias="routerID")
    # Nodes that open a session, by label: any of these. Without one, all nodes.
    node_selectors: list[NodeSelector] = Field(default_factory=empty_list)
    password: str = ""  # of TCP MD5 (RFC 2385), for all to read
    bfd_profile: str = ""  # BFDProfile by name; without one BFD is not spoken
    ebgp_multi_hop: bool = False  # the peer, of another ASN, is more than one hop away


class BGPPeerV1Beta1(Resource):
    """A BGP neighbour, as written before v1beta2."""

    API_VERSION: ClassVar[str] = V1BETA1
    KIND: ClassVar[str] = "BGPPeer"
    PLURAL: ClassVar[str] = "bgppeers"
    COLUMNS: ClassVar[tuple[Column, ...]] = PEER_COLUMNS

    spec: BGPPeerV1Beta1Spec
    status: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind

    def problems(self) -> Iterator[Problem]:
        """Those of the same peer written as v1beta2."""
        raw = self.model_dump(by_alias=True, exclude_unset=True)
        return BGPPeer.model_validate(up(raw)).problems()


def up(raw: Raw) -> Raw:
    """
    A v1beta1 object as v1beta2.

    Whatever it holds, right or wrong, is carried over: checking is not conversion's business. Hold
    and keepalive time are always given afterwards, 0s where they were not.
    """
    spec = _kept(raw.get("spec"), _SHARED)
    for field in _TIMERS:
        spec.setdefault(field, _ZERO)
    return {**raw, "apiVersion": V1BETA2, "spec": spec}


def down(raw: Raw) -> Raw:
    """A v1beta2 object as v1beta1; fields of v1beta2 alone are lost, see `lost_going_down`."""
    return {**raw, "apiVersion": V1BETA1, "spec": _kept(raw.get("spec"), _SHARED)}


def lost_going_down(raw: Raw) -> tuple[str, ...]:
    """Names of the fields of a v1beta2 object that v1beta1 cannot say."""
    spec = raw.get("spec")
    given = spec if isinstance(spec, Mapping) else {}
    return tuple(sorted(field for field in given if field not in _SHARED))


def _kept(spec: object, fields: tuple[str, ...]) -> Raw:
    if not isinstance(spec, Mapping):
        return {}
    return {field: spec[field] for field in fields if field in spec}
