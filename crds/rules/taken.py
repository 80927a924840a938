"""Addresses of pools that are somebody else's: a node's, pods', or cluster IPs of Services."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from itertools import accumulate

import attrs

from crds.addresses import parse_address
from crds.errors import AddressError
from crds.rules.findings import Finding, warning
from crds.rules.objects import Objects, PoolFacts, Range

_OF_NODES = frozenset({"InternalIP", "ExternalIP"})


@attrs.frozen
class Taken:
    """A block of addresses that no pool should hold any of."""

    version: int
    first: int
    last: int
    text: str
    whose: str  # ends the sentence "holds 192.0.2.1, "


def check_taken(objects: Objects) -> Iterator[Finding]:
    """Warn of every entry of a pool that holds an address of nodes, pods or cluster IPs."""
    blocks = [*_of_nodes(objects), *_of_services(objects)]
    for version in (4, 6) if blocks else ():
        index = _Index.of(objects.pools, version)
        for block in blocks:
            if block.version == version:
                yield from (_told(facts, span, block) for facts, span in index.holders(block))


def _told(facts: PoolFacts, span: Range, block: Taken) -> Finding:
    path = ("spec", "addresses", span.place)
    return warning(facts.pool.subject, path, f"holds {block.text}, {block.whose}", block.text)


def _of_nodes(objects: Objects) -> Iterator[Taken]:
    for node in objects.nodes:
        for entry in node.model.status.addresses:
            if entry.type in _OF_NODES:
                whose = f"an address of Node {node.name}, which is never announced"
                yield from _address(entry.address, whose)
        spec = node.model.spec
        yield from _blocks(
            dict.fromkeys([*spec.pod_cidrs, spec.pod_cidr]),
            f"addresses of pods on Node {node.name}",
        )


def _of_services(objects: Objects) -> Iterator[Taken]:
    for cidr in objects.service_cidrs:
        yield from _blocks(cidr.model.spec.cidrs, f"cluster IPs by ServiceCIDR {cidr.name}")


def _address(text: str, whose: str) -> Iterator[Taken]:
    try:
        address = parse_address(text)
    except AddressError:
        return  # told where the object itself is read
    yield Taken(address.version, int(address), int(address), str(address), whose)


def _blocks(texts: Iterable[str], whose: str) -> Iterator[Taken]:
    for text in texts:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            continue  # the API server would have refused it
        first, last = int(network.network_address), int(network.broadcast_address)
        yield Taken(network.version, first, last, str(network), whose)


@attrs.frozen
class _Index:
    """The entries of all pools of one family by first address, for questions by address."""

    entries: list[tuple[PoolFacts, Range]]
    firsts: list[int]
    reaches: list[int]  # the last address of any entry up to and including this one

    @classmethod
    def of(cls, pools: Iterable[PoolFacts], version: int) -> "_Index":
        """Index what the pools hold of family 4 or 6."""
        entries = [
            (facts, span)
            for facts in pools
            for span in facts.ranges
            if span.first.version == version
        ]
        entries.sort(key=lambda entry: int(entry[1].first))
        firsts = [int(span.first) for _, span in entries]
        reaches = list(accumulate((int(span.last) for _, span in entries), max))
        return cls(entries, firsts, reaches)

    def holders(self, block: Taken) -> Iterator[tuple[PoolFacts, Range]]:
        """Entries that share an address with `block`."""
        place = bisect_right(self.firsts, block.last) - 1
        while place >= 0 and self.reaches[place] >= block.first:
            facts, span = self.entries[place]
            if int(span.last) >= block.first:
                yield facts, span
            place -= 1
