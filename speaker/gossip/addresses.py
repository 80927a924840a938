"""Addresses as the ring's messages carry them (raw bytes) and as sockets want them (text)."""

import ipaddress
from functools import lru_cache

from speaker.gossip.outputs import Address, Endpoint


@lru_cache(maxsize=4096)
def parse_address(raw: bytes) -> Address | None:
    """
    Read 4 or 16 raw bytes; v4-mapped ones (::ffff:0:0/96) give the IPv4 address.

    None for any other length, and for addresses nobody can be reached at (unspecified, multicast).
    """
    if len(raw) not in {4, 16}:
        return None
    address: Address = ipaddress.ip_address(raw)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified or address.is_multicast:
        return None
    return address


@lru_cache(maxsize=4096)
def parse_endpoint(raw: bytes, port: int) -> Endpoint | None:
    """Give where raw address bytes and a port lead, None when nowhere."""
    address = parse_address(raw)
    if address is None or not 0 < port <= 0xFFFF:
        return None
    return str(address), port
