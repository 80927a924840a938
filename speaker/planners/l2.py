"""
Decide which node answers ARP and ND for each VIP, by MetalLB's rules. Pure and total.

The herald gets the ranked candidates and decides by who is alive; the verdicts made here are for
status, events and `explain`, and for rings in which MetalLB's rule alone counts.
"""

from collections.abc import Iterable, Mapping

import attrs

from speaker.planners.election import ranked
from speaker.planners.l2_ads import Reach, applicable, reach
from speaker.planners.l2_plan import L2Plan, ServicePlan, VipPlan
from speaker.reasons import Reason
from speaker.snapshot import Snapshot
from stentor.address_sets import AddressIndex, Vip
from stentor.cluster.objects import (
    Endpoint,
    Pool,
    Refusal,
    Service,
    ServiceOptions,
    TrafficPolicy,
)

_REFUSED = {
    Refusal.NO_IP_ALLOCATED: Reason.NO_IP_ALLOCATED,
    Refusal.INVALID_IP: Reason.INVALID_IP,
    Refusal.IP_NOT_ALLOWED: Reason.IP_NOT_ALLOWED,
    Refusal.FAMILY_MISMATCH: Reason.FAMILY_MISMATCH,
    Refusal.VIP_TAKEN: Reason.VIP_TAKEN,
    Refusal.ADDRESS_OF_A_HOST: Reason.ADDRESS_OF_A_HOST,
    Refusal.BAD_ANNOTATION: Reason.BAD_ANNOTATION,
}


def plan_l2(snapshot: Snapshot) -> L2Plan:
    """
    Plan every Service and VIP of the snapshot for its node.

    A VIP that several Services share follows the first of them, by namespace and name, that has
    candidates. Their sharing rules make the others agree, and one seat must have one ranking.
    """
    rules = _Rules(snapshot)
    services = {
        key: _judge(service, rules) for key, service in sorted(snapshot.world.services.items())
    }
    sharers: dict[Vip, list[ServicePlan]] = {}
    for plan in services.values():
        for vip in plan.vips:
            sharers.setdefault(vip, []).append(plan)
    order = sorted(sharers, key=lambda vip: (vip.version, int(vip)))
    return L2Plan(snapshot.node, tuple(_merge(vip, sharers[vip]) for vip in order), services)


def servable_nodes(endpoints: Iterable[Endpoint]) -> frozenset[str]:
    """The nodes that have an endpoint able to serve; endpoints without a node count for none."""
    return frozenset(e.node for e in endpoints if e.node is not None and e.can_serve)


class _Rules:
    """The pools and advertisements of one snapshot, each evaluated once per planner run."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        world = snapshot.world
        ads = [ad for _, ad in sorted(world.l2_ads.items())]
        self._pools = [pool for _, pool in sorted(world.pools.items())]
        self._ads_of = {
            pool.name: tuple(ad for ad in ads if ad.selects_pool(pool)) for pool in self._pools
        }
        self._index = AddressIndex((span, pool) for pool in self._pools for span in pool.ranges)
        self._reaches: dict[tuple[str, ...], Reach] = {}

    def pool_of(self, vips: tuple[Vip, ...]) -> Pool | None:
        """
        The first pool by name that holds all of `vips`.

        The index answers for disjoint pools, which are all that validation admits; where it does
        not settle the matter every pool is asked.
        """
        first = self._index.find(vips[0])
        if first is not None and all(self._index.find(vip) is first for vip in vips[1:]):
            return first
        return next((pool for pool in self._pools if all(vip in pool for vip in vips)), None)

    def reach_of(self, pool: Pool, service: Service) -> Reach:
        """Where the pool's advertisements for this Service let it be announced."""
        ads = applicable(self._ads_of[pool.name], service.labels)
        names = tuple(ad.name for ad in ads)
        if names not in self._reaches:
            self._reaches[names] = reach(ads, self.snapshot)
        return self._reaches[names]


def _judge(service: Service, rules: _Rules) -> ServicePlan:
    """Apply MetalLB's rules in MetalLB's order to one Service."""
    snapshot = rules.snapshot
    if service.refusal is not None or not service.vips:
        refusal = service.refusal or Refusal.NO_IP_ALLOCATED
        return ServicePlan(key=service.key, cause=_REFUSED[refusal])
    pool = rules.pool_of(service.vips)
    if pool is None:
        return ServicePlan(key=service.key, vips=service.vips, cause=Reason.IP_NOT_ALLOWED)

    bare = ServicePlan(
        key=service.key,
        vips=service.vips,
        cause=Reason.NO_ENDPOINTS,
        options=service.options,
    )
    endpoints = snapshot.world.endpoints.get(service.key, ())
    if not service.served_everywhere and not any(e.can_serve for e in endpoints):
        return bare
    where = rules.reach_of(pool, service)
    if where.by_service_label and service.sharing_key is not None:
        return attrs.evolve(bare, cause=Reason.SHARED_IP_WITH_SERVICE_SELECTOR)

    eligible = where.eligible
    if service.external_traffic_policy is TrafficPolicy.LOCAL and not service.served_everywhere:
        eligible &= servable_nodes(endpoints)
    is_mixed = not snapshot.foreign.isdisjoint(eligible)
    options = _without_extras(service.options) if is_mixed else service.options
    candidates = _rank(eligible, service.vips[0], where.scores, options.preferred_nodes)
    owner = next((name for name in candidates if snapshot.is_alive(name)), None)
    return attrs.evolve(
        bare,
        cause=_cause(snapshot, where, eligible, owner),
        candidates=candidates,
        owner=owner,
        interfaces=where.interfaces,
        options=options,
        is_mixed=is_mixed,
    )


def _rank(
    eligible: frozenset[str], vip: Vip, scores: Mapping[str, int], preferred: tuple[str, ...]
) -> tuple[str, ...]:
    """MetalLB's order, with the nodes of stentor.io/preferred-nodes ahead in their own order."""
    order = ranked(eligible, vip, scores)
    if not preferred:
        return order
    ahead = tuple(dict.fromkeys(name for name in preferred if name in eligible))
    return ahead + tuple(name for name in order if name not in ahead)


def _cause(snapshot: Snapshot, where: Reach, eligible: frozenset[str], owner: str | None) -> Reason:
    """Why the snapshot's node does, or does not, answer for a VIP with these candidates."""
    name = snapshot.node
    node = snapshot.world.nodes.get(name)
    if node is None:
        return Reason.NODE_UNKNOWN
    obstacles = (
        (not where.selects_me, Reason.NO_MATCHING_ADVERTISEMENT),
        (node.network_unavailable, Reason.NODE_NETWORK_UNAVAILABLE),
        (name not in where.eligible, Reason.NODE_LABELED_EXCLUDE_BALANCERS),
        (name not in eligible, Reason.NO_LOCAL_ENDPOINTS),
        (not snapshot.is_alive(name), Reason.NODE_NOT_ALIVE),
        (owner != name, Reason.LOWER_RANK),
    )
    return next((cause for applies, cause in obstacles if applies), Reason.ANNOUNCED)


def _without_extras(options: ServiceOptions) -> ServiceOptions:
    """Only what does not bear on who answers: MetalLB's nodes know nothing of the rest."""
    return ServiceOptions(refresh_s=options.refresh_s)


def _merge(vip: Vip, plans: list[ServicePlan]) -> VipPlan:
    """
    One plan for the Services that share `vip`, which come in key order.

    The strictest options count: no failback if one Service says so, the shortest refresh.
    """
    lead = next((plan for plan in plans if plan.candidates), plans[0])
    active = [plan for plan in plans if plan.candidates] or [lead]
    refreshes = [plan.options.refresh_s for plan in active if plan.options.refresh_s > 0]
    return VipPlan(
        vip=vip,
        cause=lead.cause,
        candidates=lead.candidates,
        owner=lead.owner,
        interfaces=_union(plan.interfaces for plan in active),
        failback=all(plan.options.failback for plan in active),
        refresh_s=min(refreshes, default=0.0),
        services=tuple(plan.key for plan in plans),
        is_mixed=lead.is_mixed,
    )


def _union(lists: Iterable[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    names: set[str] = set()
    for interfaces in lists:
        if interfaces is None:
            return None
        names.update(interfaces)
    return tuple(sorted(names))
