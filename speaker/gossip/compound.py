"""
Compound: several messages in one packet.

    offset  size  field
         0     1  message type, 7
         1     1  n, number of parts, at most 255
         2   2*n  length of each part, big-endian
     2+2*n     …  the parts, back to back
"""

import struct
from collections.abc import Sequence
from typing import Final

from speaker.gossip.errors import TruncatedError
from speaker.gossip.messages import MessageType

MAX_PARTS: Final = 255  # the count is one byte; memberlist 0.2.2 overflows it
MAX_PART_BYTES: Final = 0xFFFF
HEADER_BYTES: Final = 2
PART_OVERHEAD_BYTES: Final = 2


def join_parts(parts: Sequence[bytes]) -> list[bytes]:
    """
    Messages that carry `parts` in order: one part goes bare, several as compounds of up to 255.

    Raises ValueError for a part over 65535 bytes, which no datagram could carry.
    """
    chunks = [parts[first : first + MAX_PARTS] for first in range(0, len(parts), MAX_PARTS)]
    return [chunk[0] if len(chunk) == 1 else _join(chunk) for chunk in chunks]


def _join(parts: Sequence[bytes]) -> bytes:
    lengths = [len(part) for part in parts]
    if max(lengths) > MAX_PART_BYTES:
        raise ValueError(f"part of {max(lengths)} bytes in a compound, at most {MAX_PART_BYTES}")
    head = struct.pack(f">BB{len(parts)}H", MessageType.COMPOUND, len(parts), *lengths)
    return head + b"".join(parts)


def split_parts(buffer: bytes) -> tuple[list[bytes], int]:
    """
    The whole parts of the compound in `buffer`, and how many a short packet cut off.

    Raises TruncatedError when the table of lengths is itself short.
    """
    count = buffer[1] if len(buffer) > 1 else 0
    start = HEADER_BYTES + PART_OVERHEAD_BYTES * count
    if len(buffer) < max(start, HEADER_BYTES):
        raise TruncatedError(max(start, HEADER_BYTES), "compound ends in its table of lengths")
    parts = []
    for length in struct.unpack_from(f">{count}H", buffer, HEADER_BYTES):
        if start + length > len(buffer):
            break
        parts.append(buffer[start : start + length])
        start += length
    return parts, count - len(parts)
