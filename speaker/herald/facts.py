"""
What heralds tell one another inside memberlist user messages and push/pull user state.

    offset  size  field
         0     4  magic, "STNT": members that are not Stentor ignore what they do not know
         4     1  version of everything below, 1
         5     …  one msgpack array: the name of the message, then its fields in the order below

A datagram holds at most MAX_DATAGRAM bytes, so the seats of a node go in several; the user state of
a push/pull holds all of them. Names are node names, VIPs are their 4 or 16 octets, `seq` grows with
every message its author writes, `via` is who put the datagram on the wire (it takes the ack).
"""

import enum
from typing import Annotated, Final, NamedTuple

import msgspec

from speaker.herald.errors import DecodeError

MAGIC: Final = b"STNT"
VERSION: Final = 1
HEADER: Final = MAGIC + bytes((VERSION,))
# memberlist's datagram is 1,400 bytes; label, encryption, CRC and the user message byte take 60.
MAX_DATAGRAM: Final = 1_300
MAX_STATE: Final = 4 << 20  # 100,000 IPv6 seats; memberlist itself allows 20 MiB
MAX_COUNTER: Final = 1 << 62

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]  # RFC 1123 section 2.1
Octets16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Lladdr = Annotated[bytes, msgspec.Meta(min_length=6, max_length=6)]
Packed = Annotated[bytes, msgspec.Meta(min_length=4, max_length=16)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNTER)]
Digest = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class Claim(enum.IntEnum):
    """What a node says about a seat."""

    NONE = 0  # not mine any more; `to`, if any, names who has it now
    HELD = 1  # I answer for it
    GIVING = 2  # I answer with the LLADDR of `to` until its TAKE reaches me


class Word(NamedTuple):
    """The last word of one node on one seat."""

    claim: Claim
    counter: int
    to: str
    seq: int


class Flag:
    """States of a node that are so or not: bits of Hello.flags. Plain ints, read per message."""

    STARTED: Final = 1  # done with the start rules: takes and is given seats
    LEAVING: Final = 2  # nobody's candidate
    AGENT_FRESH: Final = 4  # its policy process spoke within 5 s
    LINKED: Final = 8  # at least one attached interface with carrier
    WITNESS: Final = 16  # has a witness on its segment (with beats)
    TRIAL: Final = 32  # tries native XDP out: its silence says nothing


class Fence(msgspec.Struct, frozen=True, array_like=True):
    """A TAKE acted on this: (node, segment, epoch)."""

    node: Name
    segment: str
    epoch: Count


class LinkFact(msgspec.Struct, frozen=True, array_like=True):
    """An attached interface of a node."""

    name: Annotated[str, msgspec.Meta(max_length=15)]  # IFNAMSIZ - 1
    lladdr: Lladdr
    epoch: Count


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """A node in short, once a second to every member; gossiped when more than seq changed."""

    node: Name
    instance: Octets16
    seq: Count
    age_ms: Count  # since this instance started
    flags: Count
    version: Annotated[str, msgspec.Meta(max_length=32)]
    held: Count  # seats held or being given
    digest: Digest  # sum of `weigh` over those, modulo 2**62
    hosts: Digest  # of its own addresses, see Hosts
    links: Annotated[tuple[LinkFact, ...], msgspec.Meta(max_length=64)] = ()
    fences: Annotated[tuple[Fence, ...], msgspec.Meta(max_length=64)] = ()
    reflects: Annotated[tuple[tuple[Name, str], ...], msgspec.Meta(max_length=64)] = ()
    relay: bool = False  # gossiped: whoever learns from it passes it on


class Seats(msgspec.Struct, frozen=True, array_like=True, tag="seats"):
    """
    Words of `node`; by itself (`via` == node), or passed on by a third that was asked.

    TAKE and GIVE are words HELD and GIVING. `ack` 0 wants no ack. With `parts` > 0 this is part
    `part` of all its seats while their digest is `state`; what no part lists, it does not hold.
    The cut into parts depends on nothing but the seats, so parts of several senders fit together.
    """

    node: Name
    instance: Octets16
    seq: Count
    via: Name
    ack: Count
    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=64)]  # `to` indexes it from 1
    words: Annotated[tuple[tuple[Packed, Count, Claim, Count], ...], msgspec.Meta(max_length=256)]
    state: Digest = 0
    part: Count = 0
    parts: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 0


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="ack"):
    """`via` has got the Seats of this `ack`."""

    via: Name
    ack: Count


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """`node` ranks before the receiver and would have these seats; answered by a GIVE, or not."""

    node: Name
    instance: Octets16
    vips: Annotated[tuple[Packed, ...], msgspec.Meta(max_length=256)]


class Decline(msgspec.Struct, frozen=True, array_like=True, tag="decline"):
    """`node` was given these seats and cannot have them."""

    node: Name
    vips: Annotated[tuple[Packed, ...], msgspec.Meta(max_length=256)]


class Want(msgspec.Struct, frozen=True, array_like=True, tag="want"):
    """`via` knows too little of `node`: send it all seats, or the `missing` parts of `state`."""

    via: Name
    node: Name
    state: Digest = 0
    missing: Annotated[tuple[Count, ...], msgspec.Meta(max_length=200)] = ()
    hosts: bool = False


class Hosts(msgspec.Struct, frozen=True, array_like=True, tag="hosts"):
    """Addresses of the host itself, which nobody may touch."""

    node: Name
    instance: Octets16
    digest: Digest
    part: Count
    parts: Annotated[int, msgspec.Meta(ge=1, le=256)]
    addresses: Annotated[tuple[Packed, ...], msgspec.Meta(max_length=64)]


class State(msgspec.Struct, frozen=True, array_like=True, tag="state"):
    """User state of a push/pull: the whole of one node."""

    hello: Hello
    names: tuple[Name, ...]
    words: tuple[tuple[Packed, Count, Claim, Count], ...]
    hosts: tuple[Packed, ...]


Message = Hello | Seats | Ack | Ask | Decline | Want | Hosts | State

_decoder: Final = msgspec.msgpack.Decoder(Message)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Message to octets, header included."""
    return HEADER + _encoder.encode(message)


def decode(payload: bytes) -> Message | None:
    """
    Octets to message; None when they are not Stentor's at all (another magic).

    Raises DecodeError for another version and for anything malformed, never anything else.
    """
    if not payload.startswith(MAGIC):
        return None
    if len(payload) > MAX_STATE:
        raise DecodeError(f"{len(payload)} bytes of facts, need at most {MAX_STATE}")
    if payload[4:5] != HEADER[4:]:
        raise DecodeError(f"facts of version {payload[4:5].hex() or 'none'}, need {VERSION}")
    try:
        message: Message = _decoder.decode(memoryview(payload)[len(HEADER) :])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"facts: {error}") from error
    _check_addresses(message)
    return message


def _check_addresses(message: Message) -> None:
    match message:
        case Seats() | State():
            names = len(message.names)
            for packed, _, _, to in message.words:
                if len(packed) not in {4, 16}:
                    raise DecodeError(f"VIP of {len(packed)} octets, need 4 or 16")
                if to > names:
                    raise DecodeError(f"name {to} of {names}")
            if isinstance(message, State):
                _check_lengths(message.hosts)
            elif message.part >= message.parts > 0:
                raise DecodeError(f"part {message.part} of {message.parts}")
        case Ask() | Decline():
            _check_lengths(message.vips)
        case Hosts():
            _check_lengths(message.addresses)
            if message.part >= message.parts:
                raise DecodeError(f"part {message.part} of {message.parts}")
        case _:
            pass


def _check_lengths(addresses: tuple[bytes, ...]) -> None:
    for packed in addresses:
        if len(packed) not in {4, 16}:
            raise DecodeError(f"address of {len(packed)} octets, need 4 or 16")
