"""BFDProfile metallb.io/v1beta1: how fast BFD finds that a BGP peer is gone (RFC 5880)."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from crds.base import Column, Resource, Strict

IntervalMs = Annotated[int, Field(ge=10, le=60_000)]


class BFDProfileSpec(Strict):
    """Fields that are left out take the defaults of docs/reference/crds.md."""

    receive_interval: IntervalMs | None = None  # ms; 300
    transmit_interval: IntervalMs | None = None  # ms; 300
    detect_multiplier: Annotated[int, Field(ge=2, le=255)] | None = None  # 3
    echo_interval: IntervalMs | None = None  # ms; 50
    echo_mode: bool | None = None  # not with a VRF, nor where an IPv6 pool is advertised
    passive_mode: bool | None = None
    minimum_ttl: Annotated[int, Field(ge=1, le=254)] | None = None  # multi-hop only; 254


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

    spec: BFDProfileSpec = BFDProfileSpec()
    status: dict[str, Any] = Field(default_factory=dict)
