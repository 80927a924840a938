"""
Whole Ethernet frames that the herald sends, and the claim that an answer makes.

All of them are untagged Ethernet II, unpadded: the driver pads ARP to 60 octets.
"""

import struct
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import attrs

Vip = IPv4Address | IPv6Address

ETH_BROADCAST = b"\xff" * 6
ETH_ALL_NODES = bytes.fromhex("333300000001")  # RFC 2464 §7 of ff02::1
ETHERTYPE_ARP = b"\x08\x06"
ETHERTYPE_IPV6 = b"\x86\xdd"
ETH_HEADER_BYTES = 14

ARP_ETHERNET_IPV4 = bytes.fromhex("000108000604")  # RFC 826: hrd 1, pro 0x0800, hln 6, pln 4
ARP_REQUEST = b"\x00\x01"
ARP_REPLY = b"\x00\x02"
ARP_BYTES = 28
NO_LLADDR = bytes(6)
NO_IPV4 = bytes(4)

ALL_NODES = IPv6Address("ff02::1").packed
UNSPECIFIED = bytes(16)
ND_HOP_LIMIT = 255  # RFC 4861 §7.1
ICMPV6 = 58  # RFC 4443 §1
NS_TYPE = 135  # RFC 4861 §4.3
NA_TYPE = 136  # RFC 4861 §4.4
NA_OVERRIDE = 0x20000000  # flags word: R S O, RFC 4861 §4.4
TLLAO = b"\x02\x01"  # option type 2, one unit of eight octets, RFC 4861 §4.6.1
IPV6_HEADER_BYTES = 40
ND_FIXED_BYTES = 24  # type, code, checksum, flags, target
GARP_BYTES = ETH_HEADER_BYTES + ARP_BYTES
NA_BYTES = ETH_HEADER_BYTES + IPV6_HEADER_BYTES + ND_FIXED_BYTES + 8  # and its TLLAO
_ARP_SPA_AT = ETH_HEADER_BYTES + 14
_NA_CHECKSUM_AT = ETH_HEADER_BYTES + IPV6_HEADER_BYTES + 2


@attrs.frozen
class Claim:
    """Somebody on the segment says that `vip` is at `lladdr` (six octets, wire order)."""

    vip: Vip
    lladdr: bytes


@attrs.frozen
class Rounds:
    """
    Rounds of frames that tell a segment where VIPs are: forms with the VIPs filled in.

    IPv4: a gratuitous request and reply. IPv6: one unsolicited NA from `source`, the interface's
    link-local address, or from the VIP itself where the interface has none.
    """

    lladdr: bytes
    source: IPv6Address | None
    _request: bytes = attrs.field(init=False)  # up to its first VIP
    _reply: bytes = attrs.field(init=False)
    _advert: bytes = attrs.field(init=False)  # up to its checksum
    _sum: int = attrs.field(init=False)  # of all that the checksum covers but the target

    @_request.default
    def _make_request(self) -> bytes:
        return garp_request(IPv4Address(0), self.lladdr)[:_ARP_SPA_AT]

    @_reply.default
    def _make_reply(self) -> bytes:
        return garp_reply(IPv4Address(0), self.lladdr)[:_ARP_SPA_AT]

    @_advert.default
    def _make_advert(self) -> bytes:
        source = self.source or IPv6Address(0)
        return unsolicited_na(IPv6Address(0), self.lladdr, source)[:_NA_CHECKSUM_AT]

    @_sum.default
    def _make_sum(self) -> int:
        body = struct.pack(">I", NA_OVERRIDE) + UNSPECIFIED + TLLAO + self.lladdr
        source = self.source or IPv6Address(0)
        return -_checksum(NA_TYPE, body, source.packed, ALL_NODES) % 0xFFFF

    def garps(self, vips: Iterable[IPv4Address]) -> bytes:
        """A request and a reply for each VIP, of GARP_BYTES each."""
        request, reply, lladdr = self._request, self._reply, self.lladdr
        return b"".join(
            [
                b"".join((request, vip, NO_LLADDR, vip, reply, vip, lladdr, vip))
                for vip in [each.packed for each in vips]
            ]
        )

    def adverts(self, vips: Iterable[IPv6Address]) -> bytes:
        """An unsolicited NA for each VIP, of NA_BYTES each."""
        if self.source is None:
            return b"".join([unsolicited_na(vip, self.lladdr, vip) for vip in vips])
        head, base = self._advert, self._sum
        flags, tail = struct.pack(">I", NA_OVERRIDE), TLLAO + self.lladdr
        return b"".join(
            [
                b"".join(
                    (
                        head,
                        (-(base + int(vip)) % 0xFFFF).to_bytes(2, "big"),
                        flags,
                        vip.packed,
                        tail,
                    )
                )
                for vip in vips
            ]
        )


def probe(vip: Vip, lladdr: bytes) -> bytes:
    """Build the question whether anybody has `vip`, in the form that changes no neighbour cache."""
    return arp_probe(vip, lladdr) if isinstance(vip, IPv4Address) else dad_probe(vip, lladdr)


def garp_request(vip: IPv4Address, lladdr: bytes) -> bytes:
    """ARP announcement, RFC 5227 §2.3: request, sender and target are the VIP."""
    return _arp(ARP_REQUEST, lladdr, vip.packed, NO_LLADDR, vip.packed)


def garp_reply(vip: IPv4Address, lladdr: bytes) -> bytes:
    """
    Build a gratuitous reply, RFC 5944 §4.6: the target LLADDR is the sender's own.

    Linux calls a reply gratuitous only then, and a gratuitous one overrides an entry that changed
    less than a second ago (locktime).
    """
    return _arp(ARP_REPLY, lladdr, vip.packed, lladdr, vip.packed)


def arp_probe(vip: IPv4Address, lladdr: bytes) -> bytes:
    """ARP probe, RFC 5227 §2.1.1: the sender address is zero."""
    return _arp(ARP_REQUEST, lladdr, NO_IPV4, NO_LLADDR, vip.packed)


def _arp(op: bytes, sha: bytes, spa: bytes, tha: bytes, tpa: bytes) -> bytes:
    return b"".join((ETH_BROADCAST, sha, ETHERTYPE_ARP, ARP_ETHERNET_IPV4, op, sha, spa, tha, tpa))


def unsolicited_na(vip: IPv6Address, lladdr: bytes, source: IPv6Address) -> bytes:
    """Unsolicited neighbour advertisement, RFC 4861 §7.2.6: R=0 S=0 O=1 with TLLAO, to ff02::1."""
    body = struct.pack(">I", NA_OVERRIDE) + vip.packed + TLLAO + lladdr
    packet = _icmpv6(NA_TYPE, body, source.packed, ALL_NODES)
    return ETH_ALL_NODES + lladdr + ETHERTYPE_IPV6 + packet


def dad_probe(vip: IPv6Address, lladdr: bytes) -> bytes:
    """
    Build the solicitation of duplicate address detection, RFC 4862 §5.4.2.

    From ::, to the solicited-node group, and so without source LLADDR option (RFC 4861 §4.3).
    """
    group = solicited_node(vip)
    packet = _icmpv6(NS_TYPE, bytes(4) + vip.packed, UNSPECIFIED, group)
    return b"\x33\x33" + group[12:] + lladdr + ETHERTYPE_IPV6 + packet


def solicited_node(vip: IPv6Address) -> bytes:
    """Solicited-node multicast address of `vip`, packed, RFC 4291 §2.7.1."""
    return _SOLICITED_PREFIX + vip.packed[13:]


_SOLICITED_PREFIX = IPv6Address("ff02::1:ff00:0").packed[:13]


def _icmpv6(kind: int, body: bytes, source: bytes, destination: bytes) -> bytes:
    """Build an IPv6 packet with one ICMPv6 message, hop limit 255, checksum filled in."""
    size = 4 + len(body)
    checksum = _checksum(kind, body, source, destination)
    return b"".join(
        (
            struct.pack(">IHBB", 6 << 28, size, ICMPV6, ND_HOP_LIMIT),
            source,
            destination,
            struct.pack(">BBH", kind, 0, checksum),
            body,
        )
    )


def _checksum(kind: int, body: bytes, source: bytes, destination: bytes) -> int:
    """Compute the ICMPv6 checksum over the pseudo-header, RFC 4443 §2.3 and RFC 8200 §8.1."""
    # 2^16 = 1 modulo 65535, so the ones' complement of the sum is one big remainder, taken in C.
    octets = b"".join(
        (source, destination, struct.pack(">IIBBH", 4 + len(body), ICMPV6, kind, 0, 0), body)
    )
    return -int.from_bytes(octets, "big") % 0xFFFF


def read_claim(frame: bytes) -> Claim | None:
    """
    Read who says to have which address: any ARP with a sender address, or an advertisement.

    None for every frame that claims nothing or is not whole. The NA's TLLAO counts; without one
    the Ethernet source does (RFC 4861 §4.4 lets a unicast answer omit it).
    """
    ethertype = frame[12:14]
    if ethertype == ETHERTYPE_ARP:
        return _arp_claim(frame[ETH_HEADER_BYTES : ETH_HEADER_BYTES + ARP_BYTES])
    if ethertype == ETHERTYPE_IPV6:
        return _na_claim(frame[6:12], frame[ETH_HEADER_BYTES:])
    return None


def _arp_claim(arp: bytes) -> Claim | None:
    if len(arp) < ARP_BYTES or arp[:6] != ARP_ETHERNET_IPV4 or arp[14:18] == NO_IPV4:
        return None
    return Claim(_address(arp[14:18]), arp[8:14])


def _na_claim(source_lladdr: bytes, packet: bytes) -> Claim | None:
    icmp = packet[IPV6_HEADER_BYTES:]
    if (
        len(icmp) < ND_FIXED_BYTES
        or packet[6] != ICMPV6
        or packet[7] != ND_HOP_LIMIT
        or icmp[:2] != bytes((NA_TYPE, 0))
    ):
        return None
    options = icmp[ND_FIXED_BYTES:]
    lladdr = options[2:8] if options[:2] == TLLAO and len(options) >= 8 else source_lladdr
    return Claim(_address(icmp[8:24]), lladdr)


@lru_cache(maxsize=256)
def _address(packed: bytes) -> Vip:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
