"""All files of a directory to one World: what only shows when objects are seen together. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import attrs

from crds.errors import Path
from crds.explain import suggestion
from crds.ip_address_pool import IPAddressPool
from crds.l2_advertisement import L2Advertisement
from stentor.address_sets import AddressIndex, Vip
from stentor.cluster.annotations import PREFERRED_AT
from stentor.cluster.convert import Claim, PoolAndAds, SliceOf
from stentor.cluster.documents import Entry, FileContent, Ident
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.objects import (
    Endpoint,
    Key,
    L2Ad,
    Namespace,
    Node,
    Pool,
    Service,
    World,
)
from stentor.cluster.vips import Ground, decide

T = TypeVar("T")


def assemble(
    files: Mapping[str, FileContent],
    status_files: Mapping[str, FileContent],
    *,
    lb_class: str = "",
    trouble: Iterable[Finding] = (),
) -> World:
    """
    Build the World of a directory.

    `files` and `status_files` (DIR/.status/Service) are keyed by path; of an object in two files
    the first path counts. Services of another loadBalancerClass than `lb_class` are left out, as
    are those without a class when one is given. `trouble` is what reading the directory found.
    """
    findings = [*trouble]
    for content in (*files.values(), *status_files.values()):
        findings += content.findings
    entries = _distinct(files, findings)
    nodes = {node.name: node for node in _values(entries, Node)}
    namespaces = {space.name: space for space in _values(entries, Namespace)}
    pools, index = _pools(entries, findings)
    ads = {ad.name: ad for ad in _values(entries, L2Ad)}
    endpoints = _endpoints(entries)
    world = World(endpoints=endpoints, nodes=nodes, namespaces=namespaces, pools=pools, l2_ads=ads)
    ground = Ground(
        pools=index,
        pool_names=tuple(sorted(pools)),
        namespace=world.namespace,
        hosts=_hosts(entries, findings),
        allocated=_allocated(status_files),
    )
    verdicts = decide((entry for entry in entries if _is_ours(entry, lb_class)), ground)
    services: dict[Key, Service] = {}
    for verdict in verdicts:
        findings += verdict.findings
        key = verdict.service.key
        services[key] = attrs.evolve(verdict.service, served_everywhere=key not in endpoints)
    world = attrs.evolve(world, services=dict(sorted(services.items())))
    findings += _loose_ends(world, entries)
    return attrs.evolve(world, findings=tuple(sorted(set(findings))))


def _distinct(files: Mapping[str, FileContent], findings: list[Finding]) -> list[Entry]:
    """Return each object once, in order of path, and tell the other places of it."""
    chosen: dict[Ident, Entry] = {}
    for _, content in sorted(files.items()):
        for entry in chain.from_iterable(map(_parts, content.entries.values())):
            winner = chosen.setdefault(entry.ident, entry)
            if winner is not entry:
                message = f"stands in {winner.file}:{winner.line} too, which counts; remove one"
                findings.append(entry.finding((), message, cause=Cause.DUPLICATE))
    return list(chosen.values())


def _parts(entry: Entry) -> Iterator[Entry]:
    """An AddressPool as a pool, which it may not share its name with, and advertisements."""
    match entry.value:
        case PoolAndAds(pool=pool, l2_ads=ads):
            key = entry.ident[1]
            yield attrs.evolve(entry, ident=(IPAddressPool.KIND, key), value=pool)
            for ad in ads:
                ident = (L2Advertisement.KIND, key._replace(name=ad.name))
                yield attrs.evolve(entry, ident=ident, value=ad)
        case _:
            yield entry


def _values(entries: Iterable[Entry], kind: type[T]) -> list[T]:
    return [entry.value for entry in entries if isinstance(entry.value, kind)]


def _is_ours(entry: Entry, lb_class: str) -> bool:
    value = entry.value
    return isinstance(value, Claim) and (value.service.lb_class or "") == lb_class


def _pools(
    entries: Iterable[Entry], findings: list[Finding]
) -> tuple[dict[str, Pool], AddressIndex[Pool]]:
    """
    Return the pools without the entries that overlap another pool's, and who holds an address.

    The first pool by name keeps disputed addresses; the other keeps its other entries.
    """
    listed = [(entry, entry.value) for entry in entries if isinstance(entry.value, Pool)]
    listed.sort(key=lambda pair: pair[1].name)
    disputed = AddressIndex(
        (span, (entry, pool, place))
        for entry, pool in listed
        for place, span in enumerate(pool.ranges)
    )
    lost: dict[str, set[int]] = {}
    for overlap in disputed.overlaps:
        entry, pool, place = overlap.refused
        lost.setdefault(pool.name, set()).add(place)
        message = (
            f"{overlap.refused_range} overlaps {overlap.kept_range} of IPAddressPool "
            f"{overlap.kept[1].name} ({overlap.kept[0].file}), which keeps it; this entry is unused"
        )
        path = ("spec", "addresses", place)
        findings.append(
            entry.finding(path, message, cause=Cause.OVERLAP, value=str(overlap.refused_range))
        )
    pools: dict[str, Pool] = {}
    for _, pool in listed:
        gone = lost.get(pool.name, set())
        kept = tuple(span for place, span in enumerate(pool.ranges) if place not in gone)
        if kept:
            pools[pool.name] = attrs.evolve(pool, ranges=kept) if gone else pool
    index = AddressIndex((span, pool) for pool in pools.values() for span in pool.ranges)
    return pools, index


def _hosts(entries: Iterable[Entry], findings: list[Finding]) -> dict[Vip, str]:
    hosts: dict[Vip, str] = {}
    for entry in entries:
        if not isinstance(entry.value, Node):
            continue
        for address in entry.value.internal_ips:
            owner = hosts.setdefault(address, entry.value.name)
            if owner != entry.value.name:
                message = f"InternalIP {address} is that of Node {owner} too, need one of its own"
                path = ("status", "addresses")
                findings.append(
                    entry.finding(path, message, cause=Cause.DUPLICATE, value=str(address))
                )
    return hosts


def _allocated(status_files: Mapping[str, FileContent]) -> dict[Key, tuple[str, ...]]:
    return {
        entry.ident[1]: entry.value.ingress
        for content in status_files.values()
        for entry in content.entries.values()
        if isinstance(entry.value, Claim)
    }


def _endpoints(entries: Iterable[Entry]) -> dict[Key, tuple[Endpoint, ...]]:
    found: dict[Key, list[Endpoint]] = {}
    for entry in sorted(entries, key=lambda entry: entry.ident):
        if isinstance(entry.value, SliceOf):
            found.setdefault(entry.value.service, []).extend(entry.value.endpoints)
    return {key: tuple(endpoints) for key, endpoints in found.items()}


def _loose_ends(world: World, entries: Iterable[Entry]) -> list[Finding]:
    """Warn of what works as written but hardly does what was meant."""
    found: list[Finding] = []
    for entry in entries:
        match entry.value:
            case L2Ad() as ad:
                found += _ad_findings(world, entry, ad)
            case Pool() as pool if _is_unadvertised(world, pool):
                message = "no L2Advertisement selects this pool; its VIPs are not answered for"
                cause, severity = Cause.NOT_ADVERTISED, Severity.WARNING
                found.append(entry.finding((), message, cause=cause, severity=severity))
            case Claim(service=service):
                names = [(PREFERRED_AT, name) for name in service.options.preferred_nodes]
                found += _unknown_nodes(world, entry, names)
            case SliceOf(endpoints=endpoints):
                found += _unknown_nodes(
                    world,
                    entry,
                    [
                        (("endpoints", place, "nodeName"), endpoint.node)
                        for place, endpoint in enumerate(endpoints)
                        if endpoint.node is not None
                    ],
                )
            case _:
                pass
    return found


def _unknown_nodes(
    world: World, entry: Entry, named: Sequence[tuple[Path, str]]
) -> Iterator[Finding]:
    """Warn of names that no Node has, but only where Nodes are described at all."""
    for path, name in named if world.nodes else ():
        if name not in world.nodes:
            message = f"there is no Node {name}{suggestion(name, list(world.nodes))}"
            cause, severity = Cause.UNKNOWN_NODE, Severity.WARNING
            yield entry.finding(path, message, cause=cause, value=name, severity=severity)


def _is_unadvertised(world: World, pool: Pool) -> bool:
    return not any(ad.selects_pool(pool) for ad in world.l2_ads.values())


def _ad_findings(world: World, entry: Entry, ad: L2Ad) -> list[Finding]:
    complaints: list[tuple[Path, str, str]] = [
        (("spec", "ipAddressPools", place), f"there is no IPAddressPool {name}", name)
        for place, name in enumerate(ad.pools)
        if name not in world.pools
    ]
    if ad.pool_selectors and not any(
        selector.matches(pool.labels)
        for selector in ad.pool_selectors
        for pool in world.pools.values()
    ):
        complaints.append((("spec", "ipAddressPoolSelectors"), "matches no IPAddressPool", ""))
    if world.nodes and not any(ad.selects_node(node.labels) for node in world.nodes.values()):
        complaints.append((("spec", "nodeSelectors"), "matches no Node manifest", ""))
    if world.services and not any(
        ad.selects_service(service.labels) for service in world.services.values()
    ):
        complaints.append(
            (("spec", "serviceSelectors"), "matches no Service of type LoadBalancer", "")
        )
    return [
        entry.finding(
            path, message, cause=Cause.SELECTS_NOTHING, value=value, severity=Severity.WARNING
        )
        for path, message, value in complaints
    ]
