"""
What watchers tell one another: votes, vetoes, verdicts. Memberlist user messages of their own
magic, so that heralds without beats and members that are not Stentor ignore them.

    offset  size  field
         0     4  magic, "STNB"
         4     1  version of everything below, 1
         5     …  one msgpack array: the name of the message, then its fields in the order below

`segment` is the accused's own name of its interface: what all nodes call that cell.
"""

from typing import Final

import msgspec

from speaker.beats.errors import DecodeError
from speaker.herald.facts import Count, Name

MAGIC: Final = b"STNB"
HEADER: Final = MAGIC + b"\x01"
MAX_MESSAGE: Final = 1_300


class Accusation(msgspec.Struct, frozen=True, array_like=True, tag="accuse"):
    """`accuser` has missed three beats of `accused`: whoever hears it says so at once."""

    accuser: Name
    accused: Name
    segment: str
    nonce: Count


class Veto(msgspec.Struct, frozen=True, array_like=True, tag="veto"):
    """`voter` has heard the accused within 50 ms."""

    voter: Name
    accused: Name
    segment: str
    nonce: Count


class Verdict(msgspec.Struct, frozen=True, array_like=True, tag="verdict"):
    """
    `accused`, last seen at `epoch`, is dead on the segment.

    `acted`: its seats were taken for it, so this is a fence record; else it ends with the next
    reflection.
    """

    author: Name
    accused: Name
    segment: str
    epoch: Count
    nonce: Count
    acted: bool = False


Message = Accusation | Veto | Verdict

_decoder: Final = msgspec.msgpack.Decoder(Message)
_encoder: Final = msgspec.msgpack.Encoder()


def is_ours(payload: bytes) -> bool:
    """Whether a user message belongs to this family, of whatever version."""
    return payload.startswith(MAGIC)


def encode(message: Message) -> bytes:
    """Message to octets, header included."""
    return HEADER + _encoder.encode(message)


def decode(payload: bytes) -> Message:
    """Octets to message. Raises DecodeError for anything else, and nothing but that."""
    if not payload.startswith(HEADER):
        raise DecodeError(f"beats' message begins with {payload[:5].hex() or 'nothing'}")
    if len(payload) > MAX_MESSAGE:
        raise DecodeError(f"{len(payload)} bytes of a beats' message, need at most {MAX_MESSAGE}")
    try:
        message: Message = _decoder.decode(memoryview(payload)[len(HEADER) :])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"beats' message: {error}") from error
    return message
