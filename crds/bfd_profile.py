"""BFDProfile metallb.io/v1beta1: how fast BFD finds that a BGP peer is gone (RFC 5880)."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from crds.base import Column, Resource, Strict, empty_dict, made

IntervalMs = Annotated[int, Field(ge=10, le=60_000)]


class BFDProfileSpec(Strict):
    """How fast, and how; fields that are left out take their defaults."""

    # Least interval in ms at which control packets can be received; 300 by default.
    receive_interval: IntervalMs | None = None
    # Least interval in ms at which control packets are sent; 300 by default.
    transmit_interval: IntervalMs | None = None
    # Packets missing in a row that take the session down; 3 by default.
    detect_multiplier: Annotated[int, Field(ge=2, le=255)] | None = None
    # Least interval in ms of echo packets, sent and received; 50 by default.
    echo_interval: IntervalMs | None = None
    # Send echo packets. Not with a VRF, nor where a pool with IPv6 addresses is announced.
    echo_mode: bool | None = None
    # Wait for the peer's packets before sending any.
    passive_mode: bool | None = None
    # Least TTL of packets received, for peers several hops away; 254 by default.
    minimum_ttl: Annotated[int, Field(ge=1, le=254)] | None = None


class BFDProfile(Resource):
    """A set of BFD timers that BGPPeers name."""

    API_VERSION: ClassVar[str] = "metallb.io/v1beta1"
    KIND: ClassVar[str] = "BFDProfile"
    PLURAL: ClassVar[str] = "bfdprofiles"
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Passive Mode", ".spec.passiveMode", "boolean"),
        Column("Transmit Interval", ".spec.transmitInterval", "integer"),
        Column("Receive Interval", ".spec.receiveInterval", "integer"),
        Column("Multiplier", ".spec.detectMultiplier", "integer"),
    )

    spec: BFDProfileSpec = Field(default_factory=made(BFDProfileSpec))
    status: dict[str, Any] = Field(default_factory=empty_dict)  # of no use in this kind
