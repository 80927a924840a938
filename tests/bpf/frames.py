"""Frames built from named fields: what clients, other nodes and bystanders put on the wire."""

import struct
from ipaddress import IPv4Address, IPv6Address

import attrs

BROADCAST = b"\xff" * 6
CLIENT_LLADDR = bytes.fromhex("020000000099")
CLIENT4 = IPv4Address("192.0.2.1").packed
CLIENT6 = IPv6Address("2001:db8::1").packed
UNSPECIFIED = bytes(16)
ALL_NODES = IPv6Address("ff02::1").packed
ETH_ARP, ETH_IPV4, ETH_IPV6, ETH_VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
NS, NA = 135, 136
SLLAO, TLLAO, NONCE = 1, 2, 14


def solicited_node(target: bytes) -> bytes:
    """The group of RFC 4291 2.7.1 in which `target` listens."""
    return IPv6Address("ff02::1:ff00:0").packed[:13] + target[13:]


def group_lladdr(address: bytes) -> bytes:
    """LLADDR of an IPv6 group, RFC 2464 7."""
    return b"\x33\x33" + address[12:]


def checksum(octets: bytes) -> int:
    """Internet checksum, RFC 1071, over an even number of octets."""
    total: int = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(
    dest: bytes, source: bytes, proto: int, payload: bytes, vlan: int | None = None
) -> bytes:
    """An Ethernet II frame, tagged with TCI `vlan` unless that is None."""
    tag = b"" if vlan is None else struct.pack(">HH", ETH_VLAN, vlan)
    return dest + source + tag + struct.pack(">H", proto) + payload


@attrs.frozen
class Arp:
    """An ARP packet in its frame; the defaults ask for 192.0.2.9."""

    dest: bytes = BROADCAST
    source: bytes = CLIENT_LLADDR
    vlan: int | None = None
    hrd: int = 1
    pro: int = ETH_IPV4
    hln: int = 6
    pln: int = 4
    op: int = 1
    sha: bytes = CLIENT_LLADDR
    spa: bytes = CLIENT4
    tha: bytes = bytes(6)
    tpa: bytes = IPv4Address("192.0.2.9").packed
    padding: bytes = bytes(18)

    def build(self) -> bytes:
        """Octets on the wire, without FCS."""
        packet = struct.pack(">HHBBH", self.hrd, self.pro, self.hln, self.pln, self.op)
        packet += self.sha + self.spa + self.tha + self.tpa + self.padding
        return ethernet(self.dest, self.source, ETH_ARP, packet, self.vlan)


def option(kind: int, lladdr: bytes, units: int = 1) -> bytes:
    """An ND option of 8 octets that says it has `units` times 8."""
    return bytes((kind, units)) + lladdr


@attrs.frozen
class Nd:
    """A solicitation or advertisement in its frame; None means the right value."""

    type: int = NS
    target: bytes = IPv6Address("2001:db8::9").packed
    src: bytes = CLIENT6
    dst: bytes | None = None
    dest: bytes | None = None
    source: bytes = CLIENT_LLADDR
    vlan: int | None = None
    version_class_flow: int = 0x6000_0000
    hop_limit: int = 255
    next_header: int = 58
    code: int = 0
    flags: int = 0
    options: bytes = option(SLLAO, CLIENT_LLADDR)
    length: int | None = None
    checksum_error: int = 0
    padding: bytes = b""

    def build(self) -> bytes:
        """Octets on the wire, without FCS."""
        dst = solicited_node(self.target) if self.dst is None else self.dst
        dest = group_lladdr(dst) if self.dest is None else self.dest
        body = struct.pack(">BBHI", self.type, self.code, 0, self.flags)
        body += self.target + self.options
        length = len(body) if self.length is None else self.length
        pseudo = self.src + dst + struct.pack(">II", len(body), 58)
        sound = checksum(pseudo + body + bytes(len(body) % 2))
        body = body[:2] + struct.pack(">H", (sound + self.checksum_error) & 0xFFFF) + body[4:]
        header = struct.pack(
            ">IHBB", self.version_class_flow, length, self.next_header, self.hop_limit
        )
        packet = header + self.src + dst + body + self.padding
        return ethernet(dest, self.source, ETH_IPV6, packet, self.vlan)


def tcp4(dst: bytes, *, vlan: int | None = None, size: int = 64) -> bytes:
    """A TCP segment over IPv4 in a frame of `size` octets."""
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 1, 0x4000, 64, 6, 0, CLIENT4, dst)
    frame = ethernet(b"\x02" + bytes(5), CLIENT_LLADDR, ETH_IPV4, header, vlan)
    return frame.ljust(size, b"\0")


def tcp6(dst: bytes, *, next_header: int = 6, vlan: int | None = None, size: int = 78) -> bytes:
    """A TCP segment over IPv6 in a frame of `size` octets."""
    header = struct.pack(">IHBB16s16s", 0x6000_0000, 20, next_header, 64, CLIENT6, dst)
    frame = ethernet(b"\x02" + bytes(5), CLIENT_LLADDR, ETH_IPV6, header, vlan)
    return frame.ljust(size, b"\0")
