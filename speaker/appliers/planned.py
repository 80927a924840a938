"""A layer-2 plan as the herald gets it."""

from collections.abc import Iterable

from speaker.herald.link import Plan, PlannedVip
from speaker.planners.l2_plan import L2Plan, VipPlan
from speaker.snapshot import Snapshot


def to_link(plan: L2Plan, snapshot: Snapshot, generation: int) -> Plan:
    """
    Turn a plan into the message of the link.

    A VIP without any candidate is left out: nobody is to answer for it. Nodes of the cluster are
    join targets by their InternalIPs.
    """
    nodes = snapshot.world.nodes
    return Plan(
        generation=generation,
        node=plan.node,
        vips=tuple(_vip(vip) for vip in plan.vips if vip.candidates),
        nodes=tuple(sorted(nodes)),
        join=tuple(
            str(address)
            for name, node in sorted(nodes.items())
            if name != plan.node
            for address in node.internal_ips
        ),
    )


def _vip(plan: VipPlan) -> PlannedVip:
    return PlannedVip(
        vip=str(plan.vip),
        candidates=plan.candidates,
        interfaces=plan.interfaces,
        failback=plan.failback,
        refresh_s=plan.refresh_s,
        services=_texts(plan.services),
    )


def _texts(keys: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(key) for key in keys)
