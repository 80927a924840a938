"""
Python's mirror of bpf/include/layout.h: structs, enumerations, hashes, probe chains.

All integers are little-endian (the object is built for bpfel), addresses and LLADDRs are octets in
wire order. A test compares every offset, size and enumerator with the object's BTF, and the
hashes with what the program finds.
"""

import enum
import struct
from collections.abc import Iterator
from typing import Final

import attrs

LAYOUT_VERSION: Final = 2
MAX_CELLS: Final = 64
MAX_PROBES: Final = 16
MAX_HEARD: Final = 1024
FILTER_BITS: Final = 16
SILENCE_NS: Final = 60_000_000_000
EVENT_VIP_INTERVAL_NS: Final = 100_000_000
EVENT_CELL_INTERVAL_NS: Final = 1_000_000


class Voice(enum.IntEnum):
    """What the program does with a question about a VIP (enum slot_state)."""

    PASS = 0
    HELD = 1
    GIVEN = 2
    ELSEWHERE = 3
    COUNT = 4
    WEAK = 5
    DEAD = 6


class VoiceFlag(enum.IntFlag):
    """Bits of a voice's `flags`."""

    LISTEN = 1


NO_FLAGS: Final = VoiceFlag(0)


class CellState(enum.IntEnum):
    """State of an attached (interface, VLAN) (enum cell_state)."""

    RELEASED = 0
    OWNING = 1
    HOLDING = 2
    SUSPENDED = 3
    EXPIRED = 4


class BeatFlag(enum.IntFlag):
    """Bits of a cell's `beats`."""

    OPEN = 1  # the ring has no gossip key: the all-zero key of slot 0 is meant to be used


class ExitReason(enum.IntEnum):
    """Ways out of the program, keys of the map `exits` (enum exit_reason)."""

    OTHER = 0
    COUNTED = 1
    MALFORMED = 2
    ARP_NOT_VIP = 3
    ARP_PASSED = 4
    ND_NOT_VIP = 5
    ND_PASSED = 6
    CONFLICT = 7
    OWN_ECHO = 8
    NO_ROOM = 9
    BEAT_PASSED = 10
    BEAT_REFUSED = 11
    ARP_DROPPED = 12
    ARP_SILENT = 13
    ND_DROPPED = 14
    ND_SILENT = 15
    ARP_ANSWERED = 16
    ND_ANSWERED = 17
    BEAT_REFLECTED = 18
    ECHO = 19


class EventKind(enum.IntEnum):
    """Kinds of records in the ring buffer `events` (enum event_kind)."""

    CONFLICT = 1
    HEARD = 2
    FENCED = 3


Value = int | bytes


@attrs.frozen
class Layout:
    """
    One C struct: its members in order, each with a `struct` format of one value.

    `offsets` are in bytes. Members left out of `pack` are zero.
    """

    name: str
    members: tuple[tuple[str, str], ...]
    codec: struct.Struct = attrs.field(init=False)
    offsets: dict[str, int] = attrs.field(init=False)

    @codec.default
    def _codec(self) -> struct.Struct:
        return struct.Struct("<" + "".join(code for _, code in self.members))

    @offsets.default
    def _offsets(self) -> dict[str, int]:
        offsets, at = {}, 0
        for name, code in self.members:
            offsets[name] = at
            at += struct.calcsize("<" + code)
        return offsets

    @property
    def size_bytes(self) -> int:
        """Size of the struct, which is also the stride of an mmap-able array of it."""
        return self.codec.size

    def pack(self, **values: Value) -> bytes:
        """Octets of the struct; raises KeyError for a member that it does not have."""
        row: dict[str, Value] = {
            name: b"" if code.endswith("s") else 0 for name, code in self.members
        }
        for name, value in values.items():
            if name not in row:
                raise KeyError(name)
            row[name] = value
        return self.codec.pack(*row.values())

    def unpack(self, octets: bytes | memoryview, offset: int = 0) -> dict[str, Value]:
        """Members by name, read at `offset`; raises struct.error when it is too short."""
        values = self.codec.unpack_from(octets, offset)
        return {name: value for (name, _), value in zip(self.members, values, strict=True)}


VOICE = Layout("voice", (("lladdr", "6s"), ("state", "B"), ("flags", "B")))
SLOT4 = Layout(
    "slot4",
    (
        ("addr", "4s"),
        ("ifindex", "I"),
        ("voice", "8s"),
        ("vlan", "H"),
        ("cell", "H"),
        ("stat", "I"),
    ),
)
SLOT6 = Layout(
    "slot6",
    (
        ("addr", "16s"),
        ("voice", "8s"),
        ("ifindex", "I"),
        ("vlan", "H"),
        ("cell", "H"),
        ("stat", "I"),
        ("pad", "4s"),
    ),
)
CELL = Layout(
    "cell",
    (
        ("deadline_ns", "Q"),
        ("last_beat_ns", "Q"),
        ("state", "I"),
        ("epoch", "I"),
        ("generation", "Q"),
        ("instance_id", "Q"),
        ("ifindex", "I"),
        ("vlan", "H"),
        ("pad0", "2s"),
        ("lladdr", "6s"),
        ("pad1", "2s"),
        ("key", "32s"),
        ("last_event_ns", "Q"),
        ("fenced_epoch", "I"),
        ("beats", "B"),
        ("reserved", "27s"),
    ),
)
HEARD = Layout(
    "heard",
    (
        ("sender", "Q"),
        ("heard_ns", "Q"),
        ("sent_ns", "Q"),
        ("lladdr", "6s"),
        ("flags", "B"),
        ("cell", "B"),
    ),
)
CONTROL = Layout("control", (("active4", "I"), ("active6", "I")))
VIP_STATS = Layout(
    "vip_stats",
    (
        ("requests", "Q"),
        ("answers", "Q"),
        ("drops", "Q"),
        ("packets", "Q"),
        ("bytes", "Q"),
        ("last_event_ns", "Q"),
    ),
)
EVENT = Layout(
    "event",
    (
        ("time_ns", "Q"),
        ("kind", "I"),
        ("ifindex", "I"),
        ("vlan", "H"),
        ("lladdr", "6s"),
        ("family", "B"),
        ("pad", "1s"),
        ("cell", "H"),
        ("state", "I"),
        ("vip", "16s"),
    ),
)
LAYOUTS: Final = (VOICE, SLOT4, SLOT6, CELL, HEARD, CONTROL, VIP_STATS, EVENT)

_WORD = 0xFFFF_FFFF_FFFF_FFFF
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_PRIME = 0xC2B2_AE3D_27D4_EB4F


def pack_voice(state: Voice, lladdr: bytes, flags: VoiceFlag = NO_FLAGS) -> int:
    """One voice as the 64-bit number to be stored in one go into a slot's `voice`."""
    return int.from_bytes(VOICE.pack(lladdr=lladdr, state=state, flags=flags), "little")


def _hash_word(word: int) -> int:
    return ((word * _GOLDEN) & _WORD) >> 32


def _where(ifindex: int, vlan: int) -> int:
    return ((ifindex + vlan * 0x85EB_CA6B) & 0xFFFF_FFFF) << 32


def hash4(ifindex: int, vlan: int, addr: bytes) -> int:
    """32-bit hash of a key of `vips4`; `addr` is four octets in wire order."""
    return _hash_word(_where(ifindex, vlan) | int.from_bytes(addr, "little"))


def hash6(ifindex: int, vlan: int, addr: bytes) -> int:
    """32-bit hash of a key of `vips6`; `addr` is sixteen octets in wire order."""
    prefix, rest = int.from_bytes(addr[:8], "big"), int.from_bytes(addr[8:], "big")
    return _hash_word(((prefix * _PRIME + rest) & _WORD) ^ _where(ifindex, vlan))


def heard_index(sender: int, cell: int) -> int:
    """Which entry of `heard_beats` tells of the instance `sender` on a cell."""
    return _hash_word((sender + cell) & _WORD) % MAX_HEARD


def filter_bit(addr: bytes) -> int:
    """
    Which bit of the map `.data.filter` stands for an address of 4 or 16 octets.

    Bit b is bit b % 8 of octet b // 8. A clear bit tells the program that packets to the address
    need no counting.
    """
    if len(addr) == 4:
        product = int.from_bytes(addr, "little") * 0x9E37_79B1 & 0xFFFF_FFFF
        return product >> (32 - FILTER_BITS)
    folded = int.from_bytes(addr[:8], "little") ^ int.from_bytes(addr[8:], "little")
    return ((folded * _GOLDEN) & _WORD) >> (64 - FILTER_BITS)


def probes(hashed: int, mask: int) -> Iterator[int]:
    """
    Slot numbers within one half that the program looks at for a key, in its order.

    `mask` is slots in the half less one. The program stops at the first slot with ifindex 0, so a
    writer uses the first free (or DEAD) one; when none of them is free the table must grow.
    """
    for step in range(MAX_PROBES):
        yield (hashed + step * (step + 1) // 2) & mask
