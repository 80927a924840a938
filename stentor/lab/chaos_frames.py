"""
What a listener on the segment writes down of each frame about an address, 32 octets a record.

    offset  size  field
         0     8  when the segment carried it, CLOCK_MONOTONIC nanoseconds, big-endian
         8     1  Kind
         9     1  of a question of the prober and of its answer: last octet of the asking address
        10     6  LLADDR: who claims the address, or who asks for it
        16    16  the address; IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2)

A record of Kind.LOST has the number of frames that the listener lost in place of the address.
"""

import enum
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import attrs

from speaker.herald.frames import Vip, read_claim

RECORD = struct.Struct(">QBB6s16s")
PROBER_LLADDR = bytes.fromhex("02005e010002")  # no host's, so that its answers are told apart
_MAPPED = bytes(10) + b"\xff\xff"
_ETHERTYPE_ARP = b"\x08\x06"
_ETHERTYPE_IPV6 = b"\x86\xdd"
_ARP_END = 42  # Ethernet and ARP for IPv4
_ND_END = 78  # Ethernet, IPv6 and the fixed part of NS or NA
_ARP_REQUEST, _ARP_REPLY = 1, 2  # RFC 826
_ICMPV6 = 58  # RFC 4443 §1
_NS, _NA = 135, 136  # RFC 4861 §4.3, §4.4
_NA_SOLICITED = 0x40  # RFC 4861 §4.4


class Kind(enum.IntEnum):
    """What a frame says about an address."""

    LOST = 0  # says nothing: how many frames the listener missed
    QUESTION = 1  # ARP request or NS of the prober
    ARP_REPLY = 2
    GARP = 3  # sender and target are the same address, request or reply
    ARP_SENDER = 4  # a request for something else, sent from the address
    NA_SOLICITED = 5
    NA_UNSOLICITED = 6


VOICES = frozenset(Kind) - {Kind.LOST, Kind.QUESTION}


@attrs.frozen
class Heard:
    """One record."""

    at_ns: int
    kind: Kind
    vip: Vip
    lladdr: bytes = bytes(6)
    asker: int = 0

    @property
    def is_voice(self) -> bool:
        """Whether it says that the address is at `lladdr`."""
        return self.kind in VOICES


def encode(heard: Heard) -> bytes:
    """The record of one frame."""
    packed = heard.vip.packed if heard.vip.version == 6 else _MAPPED + heard.vip.packed
    return RECORD.pack(heard.at_ns, heard.kind, heard.asker, heard.lladdr, packed)


def encode_lost(at_ns: int, frames: int) -> bytes:
    """The record that says how many frames are missing."""
    return RECORD.pack(at_ns, Kind.LOST, 0, bytes(6), frames.to_bytes(16, "big"))


def decode(octets: bytes) -> Iterator[Heard]:
    """All whole records. The address of one of Kind.LOST is the number of frames, as IPv6."""
    whole = len(octets) - len(octets) % RECORD.size
    for at_ns, kind, asker, lladdr, packed in RECORD.iter_unpack(octets[:whole]):
        mapped = packed.startswith(_MAPPED) and kind != Kind.LOST
        vip = IPv4Address(packed[12:]) if mapped else IPv6Address(packed)
        yield Heard(at_ns, Kind(kind), vip, lladdr, asker)


def read(frame: bytes, at_ns: int) -> Heard | None:
    """What an untagged frame says about an address; None when it says nothing of interest."""
    ethertype = frame[12:14]
    if ethertype == _ETHERTYPE_ARP and len(frame) >= _ARP_END:
        return _arp(frame, at_ns)
    if ethertype == _ETHERTYPE_IPV6 and len(frame) >= _ND_END and frame[20] == _ICMPV6:
        return _nd(frame, at_ns)
    return None


def _arp(frame: bytes, at_ns: int) -> Heard | None:
    sender, target, op = frame[28:32], frame[38:42], frame[21]
    if op == _ARP_REQUEST and frame[6:12] == PROBER_LLADDR:
        return Heard(at_ns, Kind.QUESTION, IPv4Address(target), PROBER_LLADDR, sender[3])
    claim = read_claim(frame)
    if claim is None:
        return None
    if sender == target:
        kind = Kind.GARP
    else:
        kind = Kind.ARP_REPLY if op == _ARP_REPLY else Kind.ARP_SENDER
    asker = target[3] if kind is Kind.ARP_REPLY and frame[:6] == PROBER_LLADDR else 0
    return Heard(at_ns, kind, claim.vip, claim.lladdr, asker)


def _nd(frame: bytes, at_ns: int) -> Heard | None:
    if frame[54] == _NS and frame[6:12] == PROBER_LLADDR:
        target = IPv6Address(frame[62:78])
        return Heard(at_ns, Kind.QUESTION, target, PROBER_LLADDR, frame[37])
    claim = read_claim(frame)
    if claim is None:
        return None
    kind = Kind.NA_SOLICITED if frame[58] & _NA_SOLICITED else Kind.NA_UNSOLICITED
    asker = frame[53] if kind is Kind.NA_SOLICITED and frame[:6] == PROBER_LLADDR else 0
    return Heard(at_ns, kind, claim.vip, claim.lladdr, asker)


@attrs.define
class Tape:
    """Reads what a listener goes on writing to a file, each record once."""

    path: Path
    heard: list[Heard] = attrs.field(factory=list)
    _offset: int = 0

    def rewind(self) -> None:
        """Forget everything, on disk too; the listener appends, so that it goes on at 0."""
        with self.path.open("r+b") as file:
            file.truncate(0)
        self._offset = 0
        self.heard.clear()

    def read(self) -> list[Heard]:
        """Everything since `rewind`, oldest first."""
        self.news()
        return self.heard

    def news(self) -> list[Heard]:
        """What was written since `news` or `read` was called last."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            octets = file.read()
        self._offset += len(octets) - len(octets) % RECORD.size
        fresh = list(decode(octets))
        self.heard.extend(fresh)
        return fresh
