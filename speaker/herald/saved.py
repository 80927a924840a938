"""What a herald leaves its successor beside the table: counters, moves, fences, weak takes."""

from typing import Annotated, Final

import msgspec

from speaker.herald.errors import DecodeError
from speaker.herald.facts import Claim, Count, Fence, Name, Packed

MAGIC: Final = b"STNS\x02"


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """
    Seats held or being given: VIP, counter, claim, to whom. Some 16 octets each.

    `weak`: to which cell a seat taken without a witness is given back, and its epoch when it fell
    silent.
    """

    seats: tuple[tuple[Packed, Count, Claim, str], ...]
    fences: Annotated[tuple[Fence, ...], msgspec.Meta(max_length=4096)] = ()
    weak: tuple[tuple[Packed, Name, str, Count], ...] = ()


_decoder: Final = msgspec.msgpack.Decoder(Saved)


def encode_saved(saved: Saved) -> bytes:
    """Value to octets."""
    return MAGIC + msgspec.msgpack.encode(saved)


def decode_saved(data: bytes) -> Saved:
    """Octets to value. Raises DecodeError for anything else, a cut off file included."""
    if not data.startswith(MAGIC):
        raise DecodeError(f"saved seats begin with {data[:5].hex() or 'nothing'}")
    try:
        return _decoder.decode(memoryview(data)[len(MAGIC) :])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"saved seats: {error}") from error
