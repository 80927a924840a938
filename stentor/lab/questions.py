"""The frames in which a client asks for a VIP: an ARP request, a neighbour solicitation."""

import struct
from ipaddress import IPv4Address, IPv6Address

ETH_BROADCAST = b"\xff" * 6
_ARP_REQUEST = bytes.fromhex("0001080006040001")  # RFC 826: Ethernet, IPv4, 6, 4, request
_ETHERTYPE_ARP = b"\x08\x06"
_ETHERTYPE_IPV6 = b"\x86\xdd"
_SOLICITED_PREFIX = IPv6Address("ff02::1:ff00:0").packed[:13]  # RFC 4291 §2.7.1
_ICMPV6 = 58  # RFC 4443 §1
_HOP_LIMIT = 255  # RFC 4861 §7.1.1
_NS_TYPE = 135  # RFC 4861 §4.3
_SLLAO = b"\x01\x01"  # RFC 4861 §4.6.1


def arp_request(vip: IPv4Address, lladdr: bytes, source: IPv4Address) -> bytes:
    """A broadcast request from `source` at `lladdr`, RFC 826."""
    packet = _ARP_REQUEST + lladdr + source.packed + bytes(6) + vip.packed
    return ETH_BROADCAST + lladdr + _ETHERTYPE_ARP + packet


def neighbour_solicitation(vip: IPv6Address, lladdr: bytes, source: IPv6Address) -> bytes:
    """A solicitation with source LLADDR option, to the solicited-node group, RFC 4861 §4.3."""
    group = _SOLICITED_PREFIX + vip.packed[13:]
    body = bytes(4) + vip.packed + _SLLAO + lladdr
    pseudo = source.packed + group + struct.pack(">II", 4 + len(body), _ICMPV6)
    summed = pseudo + struct.pack(">BBH", _NS_TYPE, 0, 0) + body
    # 2^16 = 1 modulo 65535: the remainder of the whole is the ones' complement sum, RFC 1071.
    checksum = -int.from_bytes(summed, "big") % 0xFFFF
    header = struct.pack(">IHBB", 6 << 28, 4 + len(body), _ICMPV6, _HOP_LIMIT)
    packet = header + source.packed + group + struct.pack(">BBH", _NS_TYPE, 0, checksum) + body
    return b"\x33\x33" + group[12:] + lladdr + _ETHERTYPE_IPV6 + packet
