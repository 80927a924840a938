"""Rank the candidates of a VIP as MetalLB ranks them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address


def ranked(
    candidates: Iterable[str], vip: IPv4Address | IPv6Address, scores: Mapping[str, int]
) -> tuple[str, ...]:
    """
    Node names, best first: higher score, then the smaller SHA-256 of `name#vip`.

    `vip` is hashed in its canonical text (RFC 5952 for IPv6), the digests compare as 32 raw bytes,
    and a node missing from `scores` counts 0. Every node computes the same order from the same
    facts, and taking one candidate away leaves the order of the others (rendezvous hashing), so
    that a death moves only the dead node's VIPs.
    """
    weight = weigher(vip)
    return tuple(sorted(candidates, key=lambda name: (-scores.get(name, 0), weight(name))))


def weigher(vip: IPv4Address | IPv6Address) -> Callable[[str], bytes]:
    """The function from a node name to its 32-byte weight for `vip`; the smaller one wins."""
    suffix = f"#{vip}".encode()
    return lambda name: sha256(name.encode() + suffix).digest()
