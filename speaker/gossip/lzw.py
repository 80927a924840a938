"""
LZW as Go's compress/lzw writes it: order LSB-first, literal width 8.

Codes begin at 9 bits: 0..255 literals, 256 clear, 257 end, entries from 258. A code is one bit
wider once the newest entry reaches the power of two (as GIF, not TIFF), 12 bits at most. The
encoder opens with a clear code, and clears again when entry 4095 would be next. The stream ends
with 257 and zero bits to the byte. The decoder keeps a full table without a clear, as Go does.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from speaker.gossip.errors import DecodeError, Reason, TruncatedError

CLEAR: Final = 256
END: Final = 257
FIRST_ENTRY: Final = 258
FIRST_WIDTH: Final = 9
MAX_WIDTH: Final = 12
LAST_ENTRY: Final = 4095  # the encoder clears instead of making it
MAX_ENTRIES: Final = (1 << MAX_WIDTH) - FIRST_ENTRY
WORD_BITS: Final = 64


def compress(plain: bytes) -> bytes:
    """`plain` compressed, the same bytes as Go writes."""
    return _pack(_find_codes(plain))


def _find_codes(plain: bytes) -> Iterator[int]:
    """The codes for `plain`, clears and end included."""
    yield CLEAR
    table: dict[int, int] = {}  # code of a prefix << 8 | next byte: code of both
    newest = END
    prefix = -1
    for byte in plain:
        if prefix < 0:
            prefix = byte
            continue
        known = table.get(prefix << 8 | byte)
        if known is not None:
            prefix = known
            continue
        yield prefix
        newest += 1
        if newest == LAST_ENTRY:
            yield CLEAR
            table.clear()
            newest = END
        else:
            table[prefix << 8 | byte] = newest
        prefix = byte
    if prefix >= 0:
        yield prefix
        if newest + 1 == LAST_ENTRY:
            yield CLEAR
    yield END


def _pack(codes: Iterable[int]) -> bytes:
    """Codes as bits. Each makes one entry, so their widths follow from their number alone."""
    out = bytearray()
    bits = filled = 0  # bits not yet in `out`, and how many
    newest, width = END, FIRST_WIDTH
    for code in codes:
        bits |= code << filled
        filled += width
        if code == CLEAR:
            newest, width = END, FIRST_WIDTH
            continue
        newest += 1
        if newest == 1 << width:
            width += 1
        if filled >= WORD_BITS:
            out += (bits & (1 << WORD_BITS) - 1).to_bytes(WORD_BITS // 8, "little")
            bits >>= WORD_BITS
            filled -= WORD_BITS
    out += bits.to_bytes((filled + 7) // 8, "little")
    return bytes(out)


def decompress(packed: bytes, limit_bytes: int) -> bytes:
    """
    What `packed` holds; bytes after the end code are ignored.

    Raises DecodeError: TRUNCATED without an end code, BAD_COMPRESSION for a code that has no
    entry, TOO_LARGE past `limit_bytes`; the output never grows beyond the limit by more than
    one entry (4 kB).
    """
    out = bytearray()
    # An entry is the text of the code before plus one byte, and these are neighbours in `out`:
    # so it is kept as its start and length there. Index 0 is FIRST_ENTRY.
    starts: list[int] = []
    lengths: list[int] = []
    start = length = 0  # of the text of the code before; 0 bytes after a clear
    for code in _unpack(packed):
        if code == CLEAR:
            starts.clear()
            lengths.clear()
            length = 0
            continue
        if length and len(starts) < MAX_ENTRIES:
            starts.append(start)
            lengths.append(length + 1)
        start = len(out)
        if code < CLEAR:
            out.append(code)
        elif code - FIRST_ENTRY < len(starts):
            source = starts[code - FIRST_ENTRY]
            out += out[source : source + lengths[code - FIRST_ENTRY]]
            if len(out) - start < lengths[code - FIRST_ENTRY]:
                out.append(out[source])  # the entry just begun ends with its own first byte
        else:
            raise DecodeError(Reason.BAD_COMPRESSION, f"LZW code {code} has no entry")
        length = len(out) - start
        if len(out) > limit_bytes:
            raise DecodeError(Reason.TOO_LARGE, f"decompresses to more than {limit_bytes} bytes")
    return bytes(out)


def _unpack(packed: bytes) -> Iterator[int]:
    """The codes in `packed` up to the end code, clears included. Raises TruncatedError."""
    bits = filled = 0
    newest, width = END, FIRST_WIDTH
    for byte in packed:
        bits |= byte << filled
        filled += 8
        if filled < width:
            continue
        code = bits & (1 << width) - 1
        bits >>= width
        filled -= width
        if code == END:
            return
        yield code
        if code == CLEAR:
            newest, width = END, FIRST_WIDTH
            continue
        newest += 1
        if newest == 1 << width and width < MAX_WIDTH:
            width += 1
    raise TruncatedError(len(packed) + 1, "LZW without its end code")
