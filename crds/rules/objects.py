"""The objects of one configuration, by kind, each with its name for findings."""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import attrs

from crds.address_pool import AddressPool, AddressPoolV1Alpha1, expanded
from crds.addresses import Address, parse_range
from crds.base import CoreResource, Raw, Resource
from crds.bfd_profile import BFDProfile
from crds.bgp_advertisement import BGPAdvertisement
from crds.bgp_peer import BGPPeer
from crds.bgp_peer_v1beta1 import BGPPeerV1Beta1, up
from crds.community import Community
from crds.core import Namespace, Node, Secret, ServiceCIDR
from crds.decode import AnyKind, decode, model_of
from crds.errors import ConfigError
from crds.ip_address_pool import IPAddressPool, ServiceAllocation
from crds.l2_advertisement import L2Advertisement
from crds.loose import read_loosely
from crds.matching import LabelSelector as Matcher
from crds.rules.findings import Finding, Subject
from crds.selectors import LabelSelector

T = TypeVar("T", bound=Resource | CoreResource)


@attrs.frozen
class Named(Generic[T]):
    """An object and what findings call it: an AddressPool's parts carry its own name."""

    subject: Subject
    model: T

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.model.metadata.name


@attrs.frozen
class Range:
    """An entry of a pool."""

    first: Address
    last: Address
    place: int  # in spec.addresses
    shortest: int = attrs.field(init=False)  # prefix length of its largest block

    @shortest.default
    def _largest_block(self) -> int:
        """By the steps of summarize_address_range, without making its networks."""
        start, end, bits = int(self.first), int(self.last) + 1, self.first.max_prefixlen
        largest = 0
        while start < end:
            fitting = (end - start).bit_length() - 1
            aligned = (start & -start).bit_length() - 1 if start else bits
            step = min(fitting, aligned)
            largest = max(largest, step)
            start += 1 << step
        return bits - largest


@attrs.frozen
class PoolFacts:
    """A pool with its ranges read."""

    pool: Named[IPAddressPool]
    ranges: tuple[Range, ...]

    @property
    def versions(self) -> frozenset[int]:
        """The families that it holds addresses of."""
        return frozenset(span.first.version for span in self.ranges)

    @classmethod
    def of(cls, pool: Named[IPAddressPool]) -> "PoolFacts":
        """Read the ranges of a pool that was decoded."""
        spans = (parse_range(entry) for entry in pool.model.spec.addresses)
        return cls(pool, tuple(Range(*span, place) for place, span in enumerate(spans)))


@attrs.frozen
class Objects:
    """
    One configuration.

    `nodes` empty: not known, so rules of nodes that share something take all for one.
    """

    pools: tuple[PoolFacts, ...] = ()
    l2_ads: tuple[Named[L2Advertisement], ...] = ()
    bgp_ads: tuple[Named[BGPAdvertisement], ...] = ()
    peers: tuple[Named[BGPPeer], ...] = ()
    bfd_profiles: tuple[Named[BFDProfile], ...] = ()
    communities: tuple[Named[Community], ...] = ()
    nodes: tuple[Named[Node], ...] = ()
    namespaces: tuple[Named[Namespace], ...] = ()
    secrets: tuple[Named[Secret], ...] = ()
    service_cidrs: tuple[Named[ServiceCIDR], ...] = ()
    _by_name: dict[str, PoolFacts] = attrs.field(init=False, eq=False, repr=False)

    @_by_name.default
    def _index(self) -> dict[str, PoolFacts]:
        return {facts.pool.name: facts for facts in self.pools}

    @property
    def ads(self) -> tuple[Named[L2Advertisement] | Named[BGPAdvertisement], ...]:
        """All advertisements."""
        return (*self.l2_ads, *self.bgp_ads)

    def nodes_selected(self, selectors: Iterable[LabelSelector]) -> frozenset[str]:
        """Names of the nodes that any of `selectors` selects; all where there is none."""
        matchers = matchers_of(selectors)
        return frozenset(
            node.name
            for node in self.nodes
            if not matchers or any(m.matches(node.model.metadata.labels) for m in matchers)
        )

    def namespaces_allowed(self, allocation: ServiceAllocation) -> frozenset[str]:
        """Names of the known namespaces that a pool is for, by name or label."""
        matchers = matchers_of(allocation.namespace_selectors)
        return frozenset(
            space.name
            for space in self.namespaces
            if not allocation.names_namespaces
            or space.name in allocation.namespaces
            or any(m.matches(space.model.metadata.labels) for m in matchers)
        )

    def pools_selected(self, ad: L2Advertisement | BGPAdvertisement) -> tuple[PoolFacts, ...]:
        """The pools that an advertisement names or selects by label; all where it does neither."""
        names, selectors = ad.spec.ip_address_pools, ad.spec.ip_address_pool_selectors
        if not names and not selectors:
            return self.pools
        if not selectors:  # the common case, and one look-up a name
            return tuple(self._by_name[name] for name in names if name in self._by_name)
        matchers = matchers_of(selectors)
        return tuple(
            facts
            for facts in self.pools
            if facts.pool.name in names
            or any(m.matches(facts.pool.model.metadata.labels) for m in matchers)
        )


def matchers_of(selectors: Iterable[LabelSelector]) -> tuple[Matcher, ...]:
    """Selectors as values that can be asked."""
    return tuple(selector.matcher() for selector in selectors)


@attrs.define
class _Gathering:
    by_model: dict[type[AnyKind], list[Named[AnyKind]]] = attrs.field(factory=dict)
    findings: list[Finding] = attrs.field(factory=list)

    def add(self, subject: Subject, model: AnyKind) -> None:
        if isinstance(model, AddressPool | AddressPoolV1Alpha1):
            for raw in expanded(model):
                self.add(subject, decode(raw))
            return
        if isinstance(model, BGPPeerV1Beta1):
            model = read_loosely(BGPPeer, up(model.model_dump(by_alias=True, exclude_unset=True)))
        self.by_model.setdefault(type(model), []).append(Named(subject, model))

    def of(self, model: type[T]) -> tuple[Named[T], ...]:
        return tuple(self.by_model.get(model, ()))  # type: ignore[arg-type]


def gather(raws: Iterable[Raw]) -> tuple[Objects, list[Finding]]:
    """
    Decode raw objects; returns them by kind, and what is wrong with each by itself.

    Of a broken object the parts that are right take part, so that all is told at once.
    """
    work = _Gathering()
    for raw in raws:
        subject = subject_of(raw)
        try:
            work.add(subject, decode(raw))
        except ConfigError as exc:
            work.findings += [Finding(subject, problem) for problem in exc.problems]
            try:
                work.add(subject, read_loosely(model_of(raw), raw))
            except ConfigError:
                continue  # not even a kind
    pools = tuple(PoolFacts.of(pool) for pool in work.of(IPAddressPool))
    objects = Objects(
        pools, work.of(L2Advertisement), work.of(BGPAdvertisement), work.of(BGPPeer),
        work.of(BFDProfile), work.of(Community), work.of(Node), work.of(Namespace),
        work.of(Secret), work.of(ServiceCIDR),
    )  # fmt: skip
    return objects, work.findings


def subject_of(raw: Mapping[str, object]) -> Subject:
    """Name an object as far as it names itself."""
    metadata = raw.get("metadata")
    named: Mapping[str, object] = metadata if isinstance(metadata, Mapping) else {}
    return Subject(
        str(raw.get("kind") or "object"),
        str(named.get("namespace") or ""),
        str(named.get("name") or "(nameless)"),
    )
