"""The values a layer-2 plan is made of."""

from collections.abc import Mapping

import attrs

from speaker.reasons import Reason, as_metallb_l2
from stentor.address_sets import Vip
from stentor.cluster.objects import Key, ServiceOptions


@attrs.frozen
class ServicePlan:
    """
    What one Service gets. `cause` is the finest reason; `reason` is the code MetalLB would log.

    `candidates` are ranked best first and not filtered by liveness; `owner` is the first one
    alive. `interfaces` are those of the snapshot's node: None = all, () = none.
    """

    key: Key
    vips: tuple[Vip, ...]
    cause: Reason
    candidates: tuple[str, ...] = ()
    owner: str | None = None
    interfaces: tuple[str, ...] | None = ()
    options: ServiceOptions = attrs.field(factory=ServiceOptions)
    is_mixed: bool = False  # a candidate runs no Stentor: our extras are off (Reason.MIXED_RING)

    @property
    def reason(self) -> Reason:
        """The code in MetalLB's vocabulary."""
        return as_metallb_l2(self.cause)


@attrs.frozen
class VipPlan:
    """What one VIP gets: the plan of its leading Service, interfaces of all its Services."""

    vip: Vip
    cause: Reason
    candidates: tuple[str, ...]
    owner: str | None
    interfaces: tuple[str, ...] | None
    failback: bool
    refresh_s: float
    services: tuple[Key, ...]
    is_mixed: bool

    @property
    def reason(self) -> Reason:
        """The code in MetalLB's vocabulary."""
        return as_metallb_l2(self.cause)


@attrs.frozen
class L2Plan:
    """The plan of one node: VIPs in address order (IPv4 first), Services in key order."""

    node: str
    vips: tuple[VipPlan, ...]
    services: Mapping[Key, ServicePlan]
