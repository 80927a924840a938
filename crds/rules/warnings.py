"""What works as written but hardly does what was meant."""

from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_network

from crds.bgp_advertisement import HOST_BITS
from crds.explain import suggestion
from crds.rules.advertisements import LENGTH_FIELDS
from crds.rules.findings import Finding, Subject, warning
from crds.rules.objects import Objects, PoolFacts, Range
from crds.rules.taken import check_taken


def check_loose_ends(objects: Objects) -> Iterator[Finding]:
    """Pools nobody announces, selectors that select nothing, addresses that are somebody's."""
    yield from _unannounced(objects)
    yield from _selecting_nothing(objects)
    yield from check_taken(objects)
    yield from _swallowed(objects)


def _unannounced(objects: Objects) -> Iterator[Finding]:
    announced = {
        facts.pool.name for ad in objects.ads for facts in objects.pools_selected(ad.model)
    }
    for facts in objects.pools:
        if facts.pool.name not in announced:
            message = "no L2Advertisement or BGPAdvertisement selects it: nobody announces its VIPs"
            yield warning(facts.pool.subject, (), message)


def _selecting_nothing(objects: Objects) -> Iterator[Finding]:
    pools = frozenset(facts.pool.name for facts in objects.pools)
    for ad in objects.ads:
        spec = ad.model.spec
        yield from _unknown(
            ad.subject, "ipAddressPools", "IPAddressPool", spec.ip_address_pools, pools
        )
        if spec.ip_address_pool_selectors and not objects.pools_selected(ad.model):
            path = ("spec", "ipAddressPoolSelectors")
            yield warning(ad.subject, path, "matches no IPAddressPool")
        if objects.nodes and not objects.nodes_selected(spec.node_selectors):
            yield warning(ad.subject, ("spec", "nodeSelectors"), "matches no Node")
    for facts in objects.pools:
        allocation = facts.pool.model.spec.service_allocation
        if objects.namespaces and allocation and not objects.namespaces_allowed(allocation):
            path = ("spec", "serviceAllocation")
            yield warning(facts.pool.subject, path, "matches no Namespace")
    peers = frozenset(peer.name for peer in objects.peers)
    for bgp_ad in objects.bgp_ads:
        yield from _unknown(bgp_ad.subject, "peers", "BGPPeer", bgp_ad.model.spec.peers, peers)
    for peer in objects.peers:
        if objects.nodes and not objects.nodes_selected(peer.model.spec.node_selectors):
            message = "matches no Node: nobody opens this session"
            yield warning(peer.subject, ("spec", "nodeSelectors"), message)


def _unknown(
    subject: Subject, field: str, kind: str, given: Iterable[str], known: Collection[str]
) -> Iterator[Finding]:
    """Names of a list that no object has."""
    for place, name in enumerate(given):
        if name not in known:
            message = f"there is no {kind} {name}{suggestion(name, sorted(known))}"
            yield warning(subject, ("spec", field, place), message, name)


def _swallowed(objects: Objects) -> Iterator[Finding]:
    """Aggregates that attract the traffic of pools that the advertisement does not select."""
    for ad in objects.bgp_ads:
        lengths = {version: ad.model.spec.length(version) for version in HOST_BITS}
        if all(lengths[version] == bits for version, bits in HOST_BITS.items()):
            continue
        selected = objects.pools_selected(ad.model)
        names = {facts.pool.name for facts in selected}
        others = [facts for facts in objects.pools if facts.pool.name not in names]
        for facts in selected:
            for span in facts.ranges:
                yield from (
                    warning(
                        ad.subject,
                        ("spec", LENGTH_FIELDS[span.first.version]),
                        f"/{lengths[span.first.version]} of {facts.pool.subject} takes in "
                        f"addresses of {other.pool.subject}, which it does not select",
                    )
                    for other in others
                    if _reaches(span, lengths[span.first.version], other)
                )


def _reaches(span: Range, length: int, other: PoolFacts) -> bool:
    """Whether the aggregates of a range hold an address of another pool."""
    first = int(ip_network((span.first, length), strict=False).network_address)
    last = int(ip_network((span.last, length), strict=False).broadcast_address)
    return any(
        theirs.first.version == span.first.version
        and int(theirs.first) <= last
        and int(theirs.last) >= first
        for theirs in other.ranges
    )
