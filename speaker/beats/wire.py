"""
Beats on the wire: bytes to values and back. The C side is bpf/include/beat.h.

    offset  size  field
         0     4  magic, "STBT"
         4     1  version, 1
         5     1  flags: 1 has_witness, 2 claims, 4 hears
         6     2  zero
         8     4  claimed epoch, with the flag
        12     4  seq
        16     8  sent_ns
        24     8  sender's instance id
        32     8  target's instance id, 0 greets whoever is there
        40     1  type: 1 request, 2 reply
        41     1  cell_state
        42     2  VLAN
        44     4  epoch
        48     4  remaining_ms
        52     4  beat_age_ms
        56     4  ifindex
        60     4  fenced epoch
        64     8  reflector's instance id
        72     8  generation
        80     6  LLADDR of the cell
        86     2  zero
        88     8  SipHash-2-4 of octets 0..87, in the octet order of its paper

Integers are in network order. Octets 0..39 are the asker's and come back unchanged, 40..95 are the
reflector's; a request has zeroes there but for type and tag. The same 96 octets travel in frames
of EtherType 0x88B5 and in UDP to port 7947 with TTL or hop limit 255.
"""

import enum
import struct
from typing import Final

import attrs

from speaker.beats.errors import DecodeError
from speaker.beats.keys import Keys

ETHERTYPE: Final = 0x88B5  # IEEE 802 local experimental 1
PORT: Final = 7947
HOP_LIMIT: Final = 255  # RFC 5082 3
BEAT_BYTES: Final = 96
MAGIC: Final = b"STBT"
VERSION: Final = 1

_ASKED: Final = struct.Struct(">4sBBHIIQQQ")
_SAID: Final = struct.Struct(">BBHIIIIIQQ6sH")
_TYPE_AT: Final = _ASKED.size
_TAG_AT: Final = _ASKED.size + _SAID.size
_NO_LLADDR: Final = bytes(6)


class BeatType(enum.IntEnum):
    """What a beat is."""

    REQUEST = 1
    REPLY = 2


# Flags; plain numbers, since those of an IntFlag take a microsecond for each beat.
_HAS_WITNESS: Final = 1
_CLAIMS: Final = 2
_HEARS: Final = 4


class BeatState(enum.IntEnum):
    """What a reflector's cell says (enum cell_state of bpf/include/layout.h)."""

    RELEASED = 0
    OWNING = 1
    HOLDING = 2
    SUSPENDED = 3
    EXPIRED = 4


@attrs.frozen
class BeatRequest:
    """What a node asks of another's program. Numbers are unsigned, of the width in the table."""

    sender: int  # our instance id
    target: int  # its instance id, 0 greets whoever is there
    seq: int
    sent_ns: int  # grows from beat to beat of one instance; comes back
    has_witness: bool
    claimed: int | None = None  # epoch of the fence record that we act on
    hears: bool = False  # its reflections reach us


@attrs.frozen
class BeatReply:
    """What a program says about its cell; `asked` is the request as it came there."""

    asked: BeatRequest
    state: BeatState
    epoch: int
    remaining_ms: int  # of the lease or hold by the program's coarse clock; 0: there is none
    beat_age_ms: int  # since its herald last beat; 4,398,045 stands for that and more
    ifindex: int  # of the reflector
    vlan: int
    fenced_epoch: int  # the highest claim that it obeyed, 0 = none
    instance: int
    generation: int
    lladdr: bytes = attrs.field(default=_NO_LLADDR)


def encode_request(request: BeatRequest, keys: Keys) -> bytes:
    """The 96 octets of a request, signed; raises struct.error for numbers out of range."""
    said = _SAID.pack(BeatType.REQUEST, 0, 0, 0, 0, 0, 0, 0, 0, 0, _NO_LLADDR, 0)
    return _signed(_pack_asked(request) + said, keys)


def encode_reply(reply: BeatReply, keys: Keys) -> bytes:
    """The 96 octets of a reply, for rungs on which user space reflects; raises struct.error."""
    said = _SAID.pack(
        BeatType.REPLY, reply.state, reply.vlan, reply.epoch, reply.remaining_ms,
        reply.beat_age_ms, reply.ifindex, reply.fenced_epoch, reply.instance, reply.generation,
        reply.lladdr, 0,
    )  # fmt: skip
    return _signed(_pack_asked(reply.asked) + said, keys)


def decode(octets: bytes, keys: Keys) -> BeatRequest | BeatReply:
    """
    The beat in `octets`, whose tag one of `keys` makes.

    Raises DecodeError when it is none, or unsigned by these keys; never anything else.
    """
    if len(octets) != BEAT_BYTES:
        raise DecodeError(f"{len(octets)} octets, need {BEAT_BYTES}")
    magic, version, flags, _, claimed, seq, sent_ns, sender, target = _ASKED.unpack_from(octets)
    if magic != MAGIC or version != VERSION:
        raise DecodeError(f"magic {magic!r} version {version}, need {MAGIC!r} {VERSION}")
    kind = octets[_TYPE_AT]
    if kind not in {BeatType.REQUEST, BeatType.REPLY}:
        raise DecodeError(f"type {kind}, need 1 or 2")
    if not keys.verifies(octets[:_TAG_AT], octets[_TAG_AT:]):
        raise DecodeError("a tag that none of our keys makes")
    asked = BeatRequest(
        sender=sender,
        target=target,
        seq=seq,
        sent_ns=sent_ns,
        has_witness=flags & _HAS_WITNESS != 0,
        claimed=claimed if flags & _CLAIMS else None,
        hears=flags & _HEARS != 0,
    )
    return asked if kind == BeatType.REQUEST else _decode_said(octets, asked)


def _decode_said(octets: bytes, asked: BeatRequest) -> BeatReply:
    (
        _, state, vlan, epoch, remaining_ms, beat_age_ms, ifindex, fenced_epoch, instance,
        generation, lladdr, _,
    ) = _SAID.unpack_from(octets, _TYPE_AT)  # fmt: skip
    try:
        known = BeatState(state)
    except ValueError as exc:
        raise DecodeError(f"cell state {state}, need 0..{max(BeatState)}") from exc
    return BeatReply(
        asked=asked,
        state=known,
        epoch=epoch,
        remaining_ms=remaining_ms,
        beat_age_ms=beat_age_ms,
        ifindex=ifindex,
        vlan=vlan,
        fenced_epoch=fenced_epoch,
        instance=instance,
        generation=generation,
        lladdr=lladdr,
    )


def _pack_asked(request: BeatRequest) -> bytes:
    flags = _HAS_WITNESS if request.has_witness else 0
    if request.claimed is not None:
        flags |= _CLAIMS
    if request.hears:
        flags |= _HEARS
    return _ASKED.pack(
        MAGIC, VERSION, flags, 0, request.claimed or 0, request.seq, request.sent_ns,
        request.sender, request.target,
    )  # fmt: skip


def _signed(message: bytes, keys: Keys) -> bytes:
    return message + keys.sign(message)
