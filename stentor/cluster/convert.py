"""From the models of crds/ to the values of `objects`: the border past which no model goes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from crds import core, selectors
from crds.address_pool import AddressPool, AddressPoolV1Alpha1, expanded
from crds.addresses import parse_address
from crds.decode import AnyKind, decode
from crds.errors import AddressError, Path, Problem
from crds.ip_address_pool import IPAddressPool, ServiceAllocation
from crds.l2_advertisement import L2Advertisement
from crds.matching import LabelSelector
from stentor.address_sets import AddressRange
from stentor.cluster.annotations import foreign_extensions, read_notes
from stentor.cluster.objects import (
    NAMESPACE_LABEL,
    Endpoint,
    Key,
    L2Ad,
    Namespace,
    Node,
    Pool,
    PoolAllocation,
    Port,
    Preference,
    Protocol,
    Refusal,
    Service,
    TrafficPolicy,
)

DEFAULT_NAMESPACE = "default"  # as kubectl takes an object that names none
INGRESS: Path = ("status", "loadBalancer", "ingress")
SPEC_IP: Path = ("spec", "loadBalancerIP")
_IN_WORLD = frozenset({IPAddressPool.KIND, L2Advertisement.KIND})  # of an AddressPool's parts


@attrs.frozen
class Claim:
    """A Service of type LoadBalancer before its VIPs are decided; `service.vips` is empty."""

    service: Service
    ingress: tuple[str, ...] = ()  # addresses of its status
    requested: tuple[str, ...] = ()
    requested_at: Path = ()
    request_problem: str = ""
    pool: str | None = None  # the only one it may have an address of
    pool_at: Path = ()
    families: frozenset[int] = frozenset()  # 4, 6; empty: not said
    takes_one_family: bool = False  # PreferDualStack: one of two families will do


@attrs.frozen
class SliceOf:
    """Endpoints of a Service, from one slice."""

    service: Key
    endpoints: tuple[Endpoint, ...]


@attrs.frozen
class PoolAndAds:
    """What an AddressPool comes to: a pool, and an advertisement where its protocol is layer2."""

    pool: Pool
    l2_ads: tuple[L2Ad, ...] = ()


Value = Claim | SliceOf | Node | Namespace | Pool | L2Ad | PoolAndAds | None


@attrs.frozen
class Converted:
    """
    A value, or None for an object that concerns nobody (a Service of another type).

    With `problems` the object is not to be used as it stands; `warnings` are only to be told.
    """

    value: Value
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def key_of(model: AnyKind) -> Key:
    """Return what identifies the object among its kind."""
    return key_named(model.KIND, model.metadata.namespace, model.metadata.name)


def key_named(kind: str, namespace: str, name: str) -> Key:
    """
    Return what identifies an object of `kind`.

    MetalLB's kinds go by name alone: its own namespace is the only one they may live in.
    """
    if kind in (core.Service.KIND, core.EndpointSlice.KIND):
        return Key(namespace or DEFAULT_NAMESPACE, name)
    return Key("", name)


def convert(model: AnyKind) -> Converted:
    """Turn a model into the value of its kind."""
    return _CONVERTERS[type(model)](model)


def _service(model: core.Service) -> Converted:
    spec, metadata = model.spec, model.metadata
    if spec.type != "LoadBalancer":
        return Converted(None)
    notes = read_notes(metadata.annotations)
    is_local = spec.external_traffic_policy == "Local"
    backend = ",".join(f"{key}={value}" for key, value in sorted(spec.selector.items()))
    refusal = Refusal.BAD_ANNOTATION if notes.problems else None
    service = Service(
        key=key_of(model),
        labels=dict(metadata.labels),
        annotations=dict(metadata.annotations),
        lb_class=spec.load_balancer_class or None,
        external_traffic_policy=TrafficPolicy(spec.external_traffic_policy),
        ports=tuple(sorted(Port(Protocol(port.protocol), port.port) for port in spec.ports)),
        sharing_key=notes.sharing_key,
        backend_key=backend if is_local else "",
        created=metadata.creation_timestamp,
        options=notes.options,
        refusal=refusal,
        refusal_text="; ".join(str(problem) for problem in notes.problems),
    )
    requested: tuple[str, ...] = ()
    requested_at, problem = notes.requested_at, ""
    if notes.requested is not None:
        requested = tuple(part.strip() for part in notes.requested.split(","))
        if spec.load_balancer_ip:
            problem = "stands beside spec.loadBalancerIP; remove one of them"
    elif spec.load_balancer_ip:
        requested, requested_at = (spec.load_balancer_ip,), SPEC_IP
    claim = Claim(
        service=service,
        ingress=tuple(entry.ip for entry in model.status.load_balancer.ingress if entry.ip),
        requested=requested,
        requested_at=requested_at,
        request_problem=problem,
        pool=notes.pool,
        pool_at=notes.pool_at,
        families=_families(spec),
        takes_one_family=spec.ip_family_policy == "PreferDualStack",
    )
    return Converted(claim, notes.problems, notes.deprecated)


def _families(spec: core.ServiceSpec) -> frozenset[int]:
    if spec.ip_families:
        return frozenset(4 if family == "IPv4" else 6 for family in spec.ip_families)
    return frozenset(6 if ":" in text else 4 for text in spec.cluster_ips if text != "None")


def _endpoint_slice(model: core.EndpointSlice) -> Converted:
    owner = model.metadata.labels.get(core.SERVICE_NAME_LABEL)
    if not owner:
        path: Path = ("metadata", "labels")
        missing = Problem(path, f"has no {core.SERVICE_NAME_LABEL}, so it is of no Service")
        return Converted(None, (missing,))
    endpoints = tuple(
        Endpoint(
            addresses=tuple(endpoint.addresses),
            node=endpoint.node_name,
            ready=endpoint.conditions.ready,
            serving=endpoint.conditions.serving,
            terminating=endpoint.conditions.terminating,
        )
        for endpoint in model.endpoints
    )
    return Converted(SliceOf(Key(key_of(model).namespace, owner), endpoints))


def _node(model: core.Node) -> Converted:
    problems, addresses = [], []
    for place, entry in enumerate(model.status.addresses):
        if entry.type != "InternalIP":
            continue
        try:
            addresses.append(parse_address(entry.address))
        except AddressError as exc:
            path = ("status", "addresses", place, "address")
            problems.append(Problem(path, str(exc), entry.address))
    node = Node(
        name=model.metadata.name,
        labels=dict(model.metadata.labels),
        internal_ips=tuple(addresses),
        network_unavailable=any(
            condition.type == "NetworkUnavailable" and condition.status == "True"
            for condition in model.status.conditions
        ),
    )
    return Converted(node, tuple(problems))


def _namespace(model: core.Namespace) -> Converted:
    name = model.metadata.name
    return Converted(Namespace(name, {NAMESPACE_LABEL: name, **model.metadata.labels}))


def _pool(model: IPAddressPool) -> Converted:
    spec = model.spec
    ranges = tuple(AddressRange.parse(entry) for entry in spec.addresses)
    hidden = tuple(
        Problem(("spec", "addresses", place), f"has host bits; {span} is meant", entry)
        for place, (entry, span) in enumerate(zip(spec.addresses, ranges, strict=True))
        if "/" in entry and parse_address(entry.partition("/")[0]) != span.first
    )
    pool = Pool(
        name=model.metadata.name,
        ranges=ranges,
        labels=dict(model.metadata.labels),
        auto_assign=spec.auto_assign,
        avoid_buggy_ips=spec.avoid_buggy_ips,
        allocation=_allocation(spec.service_allocation) if spec.service_allocation else None,
    )
    return Converted(pool, foreign_extensions(model.metadata.annotations, model.KIND), hidden)


def _old_pool(model: AddressPool | AddressPoolV1Alpha1) -> Converted:
    """
    An AddressPool as today's objects say it, but for BGPAdvertisements, which nobody reads here.

    The advertisement's name has a slash: an L2Advertisement may be called like the pool.
    """
    pool, *ads = (convert(decode(raw)) for raw in expanded(model) if raw["kind"] in _IN_WORLD)
    assert isinstance(pool.value, Pool)
    named = tuple(
        attrs.evolve(ad.value, name=f"{model.KIND}/{ad.value.name}")
        for ad in ads
        if isinstance(ad.value, L2Ad)
    )
    problems = foreign_extensions(model.metadata.annotations, model.KIND)
    return Converted(PoolAndAds(pool.value, named), problems, pool.warnings)


def _allocation(spec: ServiceAllocation) -> PoolAllocation:
    return PoolAllocation(
        priority=spec.priority,
        namespaces=frozenset(spec.namespaces),
        namespace_selectors=_selectors(spec.namespace_selectors),
        service_selectors=_selectors(spec.service_selectors),
    )


def _l2_ad(model: L2Advertisement) -> Converted:
    spec = model.spec
    ad = L2Ad(
        name=model.metadata.name,
        pools=tuple(spec.ip_address_pools),
        pool_selectors=_selectors(spec.ip_address_pool_selectors),
        node_selectors=_selectors(spec.node_selectors),
        interfaces=tuple(spec.interfaces),
        service_selectors=_selectors(spec.service_selectors),
        preferences=tuple(
            Preference(entry.weight, entry.preference.matcher())
            for entry in spec.preferred_node_selectors
        ),
    )
    return Converted(ad, foreign_extensions(model.metadata.annotations, model.KIND))


def _selectors(models: list[selectors.LabelSelector]) -> tuple[LabelSelector, ...]:
    return tuple(model.matcher() for model in models)


_CONVERTERS: Mapping[type[AnyKind], Callable[[Any], Converted]] = MappingProxyType(
    {
        core.Service: _service,
        core.EndpointSlice: _endpoint_slice,
        core.Node: _node,
        core.Namespace: _namespace,
        AddressPool: _old_pool,
        AddressPoolV1Alpha1: _old_pool,
        IPAddressPool: _pool,
        L2Advertisement: _l2_ad,
    }
)
