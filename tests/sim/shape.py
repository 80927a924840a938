"""Which networks the nodes of a run have: one for everything, or VIP segments and gossip apart."""

from ipaddress import IPv4Address, IPv4Network

import attrs

NETWORKS = {
    "eth0": IPv4Network("203.0.113.0/24"),
    "eth1": IPv4Network("198.18.0.0/24"),
    "mgmt0": IPv4Network("198.51.100.0/24"),
}


@attrs.frozen
class Shape:
    """`segments` carry VIPs; `management`, if there is one, carries the gossip instead of eth0."""

    segments: tuple[str, ...] = ("eth0",)
    management: str = ""

    @property
    def networks(self) -> tuple[str, ...]:
        """All of them, by the name of the interface that every node has there."""
        return (*self.segments, self.management) if self.management else self.segments

    @property
    def ring(self) -> str:
        """The network of the gossip."""
        return self.management or self.segments[0]

    def serving(self, index: int) -> frozenset[str] | None:
        """Interfaces of the n-th VIP: in turn each segment alone, then all; None = whatever."""
        if not self.management:
            return None
        turn = index % (len(self.segments) + 1)
        return frozenset(self.segments[turn : turn + 1] or self.segments)

    def addresses(self, index: int) -> dict[str, IPv4Address]:
        """The addresses of the n-th node, where they matter to beats."""
        if not self.management:
            return {}
        return {name: NETWORKS[name][index + 1] for name in self.networks}

    def on_link(self, name: str) -> tuple[IPv4Network, ...]:
        """What a node knows to be on-link there."""
        return (NETWORKS[name],) if self.management else ()


ONE = Shape()
APART = Shape(management="mgmt0")
TWO = Shape(("eth0", "eth1"), "mgmt0")
