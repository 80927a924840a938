"""Beats in their frames, and a responder whose cell has keys."""

import struct
from ipaddress import IPv6Address

import attrs

from speaker.beats import BEAT_BYTES, ETHERTYPE, HOP_LIMIT, PORT, BeatRequest, Keys, encode_request
from speaker.dataplane.layout import CELL, BeatFlag, CellState
from tests.bpf.frames import CLIENT_LLADDR, ETH_IPV4, ETH_IPV6, checksum, ethernet
from tests.bpf.harness import FOREVER_NS, LO_IFINDEX, OWN_LLADDR, Responder

PEER4, OWN4 = b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02"
PEER6, OWN6 = IPv6Address("2001:db8::1").packed, IPv6Address("2001:db8::2").packed
KEYS = Keys(bytes(range(16)))
OLD_KEYS = Keys(bytes(range(100, 116)))
EPOCH = 7
OWN_INSTANCE, PEER_INSTANCE = 0x0123456789ABCDEF, 0xFEDCBA9876543210
GENERATION = 3
REQUEST = BeatRequest(
    sender=PEER_INSTANCE, target=OWN_INSTANCE, seq=5, sent_ns=1_000, has_witness=True
)


def set_cell(
    responder: Responder,
    state: CellState = CellState.OWNING,
    *,
    deadline_ns: int = FOREVER_NS,
    last_beat_ns: int = 0,
    epoch: int = EPOCH,
    keys: Keys = KEYS,
    flags: BeatFlag = BeatFlag(0),  # noqa: B008  (an immutable value)
    index: int = 0,
    vlan: int = 0,
    lladdr: bytes = OWN_LLADDR,
) -> None:
    """Write a cell of `lo`; by default one whose lease never ends, with KEYS."""
    row = CELL.pack(
        state=state,
        deadline_ns=deadline_ns,
        last_beat_ns=last_beat_ns,
        epoch=epoch,
        generation=GENERATION,
        instance_id=OWN_INSTANCE,
        ifindex=LO_IFINDEX,
        vlan=vlan,
        lladdr=lladdr,
        key=keys.slots,
        beats=flags,
    )
    responder.tables["cells"][index * CELL.size_bytes : (index + 1) * CELL.size_bytes] = row


@attrs.frozen
class Beat:
    """A beat in a frame of its own EtherType."""

    payload: bytes = encode_request(REQUEST, KEYS)
    dest: bytes = OWN_LLADDR
    source: bytes = CLIENT_LLADDR
    vlan: int | None = None

    def build(self) -> bytes:
        """Octets on the wire, without FCS."""
        return ethernet(self.dest, self.source, ETHERTYPE, self.payload, self.vlan)


def udp(source: bytes, dest: bytes, ports: tuple[int, int], payload: bytes) -> bytes:
    """A UDP datagram with its checksum over the pseudo-header of either family, RFC 768."""
    length = 8 + len(payload)
    header = struct.pack(">HHHH", *ports, length, 0)
    pseudo = source + dest + struct.pack(">II", length, 17)
    padding = bytes(len(payload) % 2)
    found = checksum(pseudo + header + payload + padding) or 0xFFFF
    return header[:6] + struct.pack(">H", found) + payload


@attrs.frozen
class Beat4:
    """A beat in UDP over IPv4."""

    payload: bytes = encode_request(REQUEST, KEYS)
    dest: bytes = OWN_LLADDR
    source: bytes = CLIENT_LLADDR
    vlan: int | None = None
    src: bytes = PEER4
    dst: bytes = OWN4
    ports: tuple[int, int] = (40_000, PORT)
    ttl: int = HOP_LIMIT
    first: int = 0x45
    fragment: int = 0x4000
    protocol: int = 17
    total_length: int | None = None
    checksum: int | None = None

    def build(self) -> bytes:
        """Octets on the wire, without FCS."""
        datagram = udp(self.src, self.dst, self.ports, self.payload)
        if self.checksum is not None:
            datagram = datagram[:6] + struct.pack(">H", self.checksum) + datagram[8:]
        length = 20 + len(datagram) if self.total_length is None else self.total_length
        header = struct.pack(
            ">BBHHHBBH4s4s",
            *(self.first, 0, length, 1, self.fragment, self.ttl, self.protocol, 0),
            *(self.src, self.dst),
        )
        header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
        return ethernet(self.dest, self.source, ETH_IPV4, header + datagram, self.vlan)


@attrs.frozen
class Beat6:
    """A beat in UDP over IPv6."""

    payload: bytes = encode_request(REQUEST, KEYS)
    dest: bytes = OWN_LLADDR
    source: bytes = CLIENT_LLADDR
    vlan: int | None = None
    src: bytes = PEER6
    dst: bytes = OWN6
    ports: tuple[int, int] = (40_000, PORT)
    hop_limit: int = HOP_LIMIT
    length: int | None = None

    def build(self) -> bytes:
        """Octets on the wire, without FCS."""
        datagram = udp(self.src, self.dst, self.ports, self.payload)
        length = len(datagram) if self.length is None else self.length
        header = struct.pack(">IHBB", 0x6000_0000, length, 17, self.hop_limit)
        packet = header + self.src + self.dst + datagram
        return ethernet(self.dest, self.source, ETH_IPV6, packet, self.vlan)


CARRIERS = (Beat, Beat4, Beat6)


def payload_of(frame: bytes) -> bytes:
    """The beat at the end of a frame."""
    return frame[-BEAT_BYTES:]
