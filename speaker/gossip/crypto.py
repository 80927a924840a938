"""
AES-GCM of packets and stream frames.

    offset  size  field
         0     1  version: 1, or 0 with PKCS#7 padding to 16 inside
         1    12  nonce
        13     …  ciphertext
       end-16 16  tag

The key's length selects AES-128, -192 or -256. Packets authenticate the label, stream frames
their five bytes of header and the label.
"""

from typing import Final

from cryptography.exceptions import InvalidTag

from speaker.gossip.errors import DecodeError, Reason, TruncatedError
from speaker.gossip.keyring import Keyring

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
BLOCK_BYTES: Final = 16
PADDED: Final = 0  # version of members whose protocol version is 1
UNPADDED: Final = 1
OVERHEAD_BYTES: Final = {PADDED: 45, UNPADDED: 29}  # at most; 0 adds 1..16 bytes of padding


def seal(keyring: Keyring, plain: bytes, aad: bytes, *, version: int, nonce: bytes) -> bytes:
    """`plain` encrypted with the primary key. A nonce of 12 bytes must never come twice."""
    if version == PADDED:
        padding = BLOCK_BYTES - len(plain) % BLOCK_BYTES
        plain += bytes((padding,)) * padding
    return bytes((version,)) + nonce + keyring.primary.encrypt(nonce, plain, aad)


def sealed_bytes(plain_bytes: int, version: int) -> int:
    """The length `seal` makes of a plaintext of `plain_bytes`."""
    padding = BLOCK_BYTES - plain_bytes % BLOCK_BYTES if version == PADDED else 0
    return 1 + NONCE_BYTES + plain_bytes + padding + TAG_BYTES


def unseal(keyring: Keyring, sealed: bytes, aad: bytes) -> bytes:
    """
    The plaintext, by whichever key opens it.

    Raises DecodeError: TRUNCATED, BAD_ENCRYPTION (version, padding), WRONG_KEY.
    """
    if len(sealed) < 1 + NONCE_BYTES + TAG_BYTES:
        raise TruncatedError(1 + NONCE_BYTES + TAG_BYTES, "too short to be encrypted")
    version = sealed[0]
    if version not in OVERHEAD_BYTES:
        raise DecodeError(Reason.BAD_ENCRYPTION, f"encryption version {version}, need 0 or 1")
    nonce = sealed[1 : 1 + NONCE_BYTES]
    for cipher in keyring:
        try:
            plain = cipher.decrypt(nonce, sealed[1 + NONCE_BYTES :], aad)
        except InvalidTag:
            continue
        return _unpad(plain) if version == PADDED else plain
    raise DecodeError(Reason.WRONG_KEY, "no key opens it")


def _unpad(plain: bytes) -> bytes:
    padding = plain[-1] if plain else 0
    if not 1 <= padding <= BLOCK_BYTES or plain[-padding:] != bytes((padding,)) * padding:
        raise DecodeError(Reason.BAD_ENCRYPTION, "padding is not PKCS#7")
    return plain[:-padding]
