"""
SipHash-2-4 with a 64-bit tag, over messages of whole 64-bit words.

Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), sections 2.1 to 2.4. The
standard library has SipHash only inside the hash of `str`.
"""

import struct
from typing import Final

from speaker.beats.errors import ConfigError

KEY_BYTES: Final = 16
TAG_BYTES: Final = 8
_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF
# Times a word, that is the word twice, one above the other: bits 64 - n and up of it are the word
# rotated left by n. One multiplication is quicker than two shifts.
_TWICE: Final = (1 << 64) + 1
_KEY: Final = struct.Struct("<QQ")


def siphash(key: bytes, message: bytes) -> bytes:
    """
    The 8 octets of the tag of `message` under the 16 octets of `key`.

    Raises ConfigError for a message that is no multiple of 8 octets, and for a key of another
    length.
    """
    if len(message) % 8 or len(key) != KEY_BYTES:
        raise ConfigError(f"message of {len(message)} octets, key of {len(key)}: need 8 * n and 16")
    mask, twice = _WORD, _TWICE
    k0, k1 = _KEY.unpack(key)
    v0, v1 = k0 ^ 0x736F_6D65_7073_6575, k1 ^ 0x646F_7261_6E64_6F6D
    v2, v3 = k0 ^ 0x6C79_6765_6E65_7261, k1 ^ 0x7465_6462_7974_6573
    words: tuple[int, ...] = struct.unpack(f"<{len(message) // 8}Q", message)
    # The four rounds of the end are those of two words 0, the first with a mark. In line, since a
    # call for each round costs more than the round: 30 to 50 us for a beat.
    blocks = (*words, (len(message) & 0xFF) << 56, 0, 0)
    marks = (*[0] * (len(words) + 1), 0xFF, 0)
    for word, mark in zip(blocks, marks, strict=True):
        v2 ^= mark
        v3 ^= word
        for _ in (0, 1):
            v0 = v0 + v1 & mask
            v1 = (v1 * twice >> 51) & mask ^ v0
            v0 = (v0 * twice >> 32) & mask
            v2 = v2 + v3 & mask
            v3 = (v3 * twice >> 48) & mask ^ v2
            v0 = v0 + v3 & mask
            v3 = (v3 * twice >> 43) & mask ^ v0
            v2 = v2 + v1 & mask
            v1 = (v1 * twice >> 47) & mask ^ v2
            v2 = (v2 * twice >> 32) & mask
        v0 ^= word
    tag: int = v0 ^ v1 ^ v2 ^ v3
    return tag.to_bytes(TAG_BYTES, "little")
