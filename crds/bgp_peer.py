"""BGPPeer metallb.io/v1beta2: a router that VIPs are announced to."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from crds.addresses import parse_address
from crds.base import Column, Resource, Rule, Schema, Strict, empty_dict, empty_list, made
from crds.checks import readable_by
from crds.durations import Duration, duration_text, nanoseconds
from crds.errors import Problem
from crds.selectors import Selectors

_S = 10**9
SHORTEST_HOLD_S = 3  # RFC 4271 §4.2: zero, or at least three seconds
HOLD_PER_KEEPALIVE = 3  # RFC 4271 §10
LONGEST_CONNECT_S = 65_535  # FRR: timers connect


_check_address = readable_by(lambda text: text and parse_address(text), "address")


def _check_router_id(text: str) -> str:
    if text and (":" in _check_address(text) or text == "0.0.0.0"):  # noqa: S104 - not a bind
        raise PydanticCustomError(
            "router_id", "{text} is no router ID, need an IPv4 address but 0.0.0.0",
            {"text": repr(text)},
        )  # fmt: skip
    return text


Asn = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
AddressText = Annotated[str, AfterValidator(_check_address)]
RouterId = Annotated[str, AfterValidator(_check_router_id)]


PEER_COLUMNS = (
    Column("Address", ".spec.peerAddress"),
    Column("ASN", ".spec.peerASN"),
    Column("BFD Profile", ".spec.bfdProfile"),
    Column("Multi Hops", ".spec.ebgpMultiHop"),
)


def _exactly_one(one: str, other: str, empty_one: str) -> Rule:
    given = f"(has(self.{one}) && self.{one} != {empty_one})"
    other_given = f"(has(self.{other}) && self.{other} != '')"
    return Rule(f"{given} != {other_given}", f"give {one} or {other}, and not both")


class SecretReference(Strict):
    """A Secret of type kubernetes.io/basic-auth in MetalLB's namespace; its key `password`."""

    name: str = ""  # of the Secret
    namespace: str = ""  # MetalLB's own, which need not be given


class BGPPeerSpec(Strict):
    """Where the router is, and how the session is held."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        _exactly_one("peerASN", "dynamicASN", "0"),
        _exactly_one("peerAddress", "interface", "''"),
        Rule("self.myASN != 0", "0 is no ASN (RFC 7607)", "myASN"),
        Rule(
            "!has(self.password) || self.password == '' || !has(self.passwordSecret)"
            " || !has(self.passwordSecret.name) || self.passwordSecret.name == ''",
            "give password or passwordSecret, and not both",
            "password",
        ),
        Rule(
            "!has(self.ebgpMultiHop) || !self.ebgpMultiHop"
            " || (!has(self.peerASN) || self.peerASN != self.myASN)"
            " && (!has(self.dynamicASN) || self.dynamicASN != 'internal')",
            "ebgpMultiHop is for a peer of another ASN",
            "ebgpMultiHop",
        ),
        Rule(
            "!has(self.holdTime) || duration(self.holdTime) == duration('0s')"
            " || duration(self.holdTime) >= duration('3s')",
            "holdTime must be 0s or at least 3s (RFC 4271 section 4.2)",
            "holdTime",
        ),
        Rule(
            "!has(self.holdTime) || !has(self.keepaliveTime)"
            " || duration(self.keepaliveTime) <= duration(self.holdTime)",
            "keepaliveTime must not be longer than holdTime",
            "keepaliveTime",
        ),
        Rule(
            "!has(self.connectTime) || duration(self.connectTime) >= duration('1s')"
            " && duration(self.connectTime) <= duration('65535s')"
            " && duration(self.connectTime).getMilliseconds() % 1000 == 0",
            "connectTime must be whole seconds, 1s to 65535s",
            "connectTime",
        ),
        Rule(
            "has(self.enableGracefulRestart) == has(oldSelf.enableGracefulRestart) && "
            "(!has(self.enableGracefulRestart)"
            " || self.enableGracefulRestart == oldSelf.enableGracefulRestart)",
            "enableGracefulRestart cannot be changed; delete the peer and create it anew",
            "enableGracefulRestart",
        ),
    )

    my_asn: Asn = Field(alias="myASN")  # autonomous system of this side
    peer_asn: Asn = Field(default=0, alias="peerASN")  # that of the peer; or give dynamicASN
    # In place of peerASN: any peer of the same ASN (internal), or of any other (external).
    dynamic_asn: Literal["", "internal", "external"] = Field(default="", alias="dynamicASN")
    local_asn: Annotated[int, Field(ge=1, le=0xFFFF_FFFF)] | None = Field(
        default=None, alias="localASN"
    )  # told to this peer in place of myASN
    peer_address: AddressText = ""  # IPv4 or IPv6 address of the peer; or give interface
    interface: str = ""  # unnumbered: the peer behind it, by its link-local address
    source_address: AddressText = ""  # local address of the session; by default the route's
    # TCP port of the peer.
    peer_port: Annotated[int, Field(ge=0, le=16_384), Schema({"default": 179, "minimum": 1})] = 0
    hold_time: Duration | None = None  # proposed to the peer: 0s, or 3s or more; 90s by default
    keepalive_time: Duration | None = None  # between KEEPALIVEs; a third of holdTime by default
    connect_time: Duration | None = None  # between attempts to connect: whole seconds, 1s to 65535s
    # BGP identifier, spelt as an IPv4 address; by default the node's address of the session.
    router_id: RouterId = Field(default="", alias="routerID")
    # Nodes that open a session, by label: any of these. Without one, all nodes.
    node_selectors: Selectors = Field(default_factory=empty_list)
    password: str = ""  # of TCP MD5 (RFC 2385), for all to read; better give passwordSecret
    # Secret that holds the password: of type kubernetes.io/basic-auth, with the key password.
    password_secret: SecretReference = Field(default_factory=made(SecretReference))
    bfd_profile: str = ""  # BFDProfile by name; without one BFD is not spoken
    enable_graceful_restart: bool = False  # RFC 4724; cannot be changed once the peer is there
    ebgp_multi_hop: bool = False  # the peer, of another ASN, is more than one hop away
    vrf: str = ""  # interface of the VRF that the session is in
    disable_mp: bool = Field(default=False, alias="disableMP")  # deprecated, without effect
    dual_stack_address_family: bool = False  # both families on one session

    @property
    def timers_ns(self) -> tuple[int | None, int | None]:
        """Hold and keepalive time; of two the one not given follows from the other."""
        hold = None if self.hold_time is None else nanoseconds(self.hold_time)
        keepalive = None if self.keepalive_time is None else nanoseconds(self.keepalive_time)
        if hold is None and keepalive is not None:
            hold = keepalive * HOLD_PER_KEEPALIVE
        elif keepalive is None and hold is not None:
            keepalive = hold // HOLD_PER_KEEPALIVE
        return hold, keepalive


class BGPPeer(Resource):
    """A BGP neighbour."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta2"
    KIND: ClassVar[str] = "BGPPeer"
    PLURAL: ClassVar[str] = "bgppeers"
    COLUMNS: ClassVar[tuple[Column, ...]] = PEER_COLUMNS

    spec: BGPPeerSpec
    status: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind

    def problems(self) -> Iterator[Problem]:
        """What does not go together."""
        spec = self.spec
        if spec.my_asn == 0:
            yield _wrong("myASN", "0 is no ASN (RFC 7607)", "0")
        yield from _one_of(("peerASN", spec.peer_asn), ("dynamicASN", spec.dynamic_asn))
        yield from _one_of(("peerAddress", spec.peer_address), ("interface", spec.interface))
        is_internal = spec.dynamic_asn == "internal" or spec.peer_asn == spec.my_asn
        if spec.ebgp_multi_hop and is_internal:
            message = "is for a peer of another ASN; remove it, iBGP is not bound to one hop"
            yield _wrong("ebgpMultiHop", message, "true")
        if spec.password and spec.password_secret.name:
            yield _wrong("password", "stands beside passwordSecret; remove one of them")
        yield from self._timer_problems()

    def _timer_problems(self) -> Iterator[Problem]:
        spec = self.spec
        hold, keepalive = spec.timers_ns
        if hold is not None and keepalive is not None:
            if hold != 0 and hold < SHORTEST_HOLD_S * _S:
                field = "keepaliveTime" if spec.hold_time is None else "holdTime"
                message = f"a hold time of {duration_text(hold)} is too short, need 0s or 3s"
                yield _wrong(field, message, duration_text(hold))
            if keepalive > hold:
                message = f"is longer than holdTime {duration_text(hold)}"
                yield _wrong("keepaliveTime", message, str(spec.keepalive_time))
        if spec.connect_time is not None:
            connect = nanoseconds(spec.connect_time)
            if connect % _S or not 1 <= connect // _S <= LONGEST_CONNECT_S:
                message = f"need whole seconds, 1s to {LONGEST_CONNECT_S}s"
                yield _wrong("connectTime", message, spec.connect_time)


def _wrong(field: str, message: str, value: str = "") -> Problem:
    return Problem(("spec", field), message, value)


def _one_of(*fields: tuple[str, object]) -> Iterator[Problem]:
    names = " or ".join(name for name, _ in fields)
    given = [(name, value) for name, value in fields if value]
    if not given:
        yield Problem(("spec",), f"has neither; give {names}")
    elif len(given) > 1:
        name, value = given[-1]
        yield _wrong(name, f"stands beside {given[0][0]}; give {names}", str(value))
