"""The values a layer-2 plan is made of."""

from collections.abc import Mapping

import attrs

from speaker.reasons import Reason, as_metallb_l2
from stentor.address_sets import Vip
from stentor.cluster.objects import Key, ServiceOptions


@attrs.frozen(kw_only=True)
class Decision:
    """
    Who answers, and why the snapshot's node does or does not: `cause` is the finest reason.

    `candidates` are ranked best first and not filtered by liveness; `owner` is the first one
    alive. `interfaces` are those of the snapshot's node: None = all, () = none.
    """

    cause: Reason
    candidates: tuple[str, ...] = ()
    owner: str | None = None
    interfaces: tuple[str, ...] | None = ()
    is_mixed: bool = False  # a candidate runs no Stentor: our extras are off (Reason.MIXED_RING)

    @property
    def reason(self) -> Reason:
        """The code that MetalLB would log."""
        return as_metallb_l2(self.cause)


@attrs.frozen(kw_only=True)
class ServicePlan(Decision):
    """What one Service gets."""

    key: Key
    vips: tuple[Vip, ...] = ()
    options: ServiceOptions = attrs.field(factory=ServiceOptions)


@attrs.frozen(kw_only=True)
class VipPlan(Decision):
    """What one VIP gets: the decision for its leading Service, interfaces of all its Services."""

    vip: Vip
    failback: bool
    refresh_s: float
    services: tuple[Key, ...]


@attrs.frozen
class L2Plan:
    """The plan of one node: VIPs in address order (IPv4 first), Services in key order."""

    node: str
    vips: tuple[VipPlan, ...]
    services: Mapping[Key, ServicePlan]
