"""
Keys of beats: derived from the gossip key, in two slots for rotation.

A rotation follows memberlist's: every node gets the new key as a second one, then every node makes
it the primary, then the old one is taken away. In each step either slot verifies what a node one
step ahead or behind has signed.
"""

import hmac
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from speaker.beats.errors import ConfigError
from speaker.beats.siphash import KEY_BYTES, TAG_BYTES, siphash

INFO: Final = b"stentor beat v1"
NO_KEY: Final = bytes(KEY_BYTES)
_HASH_BYTES: Final = 32


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """
    HKDF of RFC 5869 with SHA-256: extract (2.2), then expand (2.3) to `length` octets.

    Raises ConfigError for a length outside 0..8160.
    """
    if not 0 <= length <= 255 * _HASH_BYTES:
        raise ConfigError(f"length {length}, need 0..{255 * _HASH_BYTES}")
    extracted = hmac.digest(salt or bytes(_HASH_BYTES), secret, "sha256")
    expanded, block = b"", b""
    for number in range(1, -(-length // _HASH_BYTES) + 1):
        block = hmac.digest(extracted, block + info + bytes((number,)), "sha256")
        expanded += block
    return expanded[:length]


def beat_key(gossip_key: bytes) -> bytes:
    """The 16 octets with which beats are signed in a ring whose primary gossip key this is."""
    return hkdf_sha256(gossip_key, salt=b"", info=INFO, length=KEY_BYTES)


@attrs.frozen
class Keys:
    """
    What a cell's two key slots hold. Slot 0 signs, either verifies.

    `other` is None when the second slot is not in use. Without any gossip key (`is_open`) slot 0
    is all zeroes and beats prove nothing about their sender. `hash` makes the tags: the kernel does
    so in 3 us (speaker/dataplane/hasher.py), Python in 50.
    """

    primary: bytes = attrs.field(default=NO_KEY, repr=False)
    other: bytes | None = attrs.field(default=None, repr=False)
    hash: Callable[[bytes, bytes], bytes] = attrs.field(default=siphash, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        for key in (self.primary, self.other):
            if key is not None and len(key) != KEY_BYTES:
                raise ConfigError(f"key of {len(key)} octets, need {KEY_BYTES}")
        if self.other == NO_KEY:
            raise ConfigError("an all-zero key in slot 1, which would let anybody sign")

    @property
    def is_open(self) -> bool:
        """Whether beats are unauthenticated."""
        return self.primary == NO_KEY

    @property
    def slots(self) -> bytes:
        """The 32 octets of a cell's `key`."""
        return self.primary + (self.other or NO_KEY)

    def sign(self, message: bytes) -> bytes:
        """The tag of slot 0."""
        return self.hash(self.primary, message)

    def verifies(self, message: bytes, tag: bytes) -> bool:
        """Whether either key makes `tag`."""
        if len(tag) != TAG_BYTES:
            return False
        if hmac.compare_digest(self.hash(self.primary, message), tag):
            return True
        return self.other is not None and hmac.compare_digest(self.hash(self.other, message), tag)


def keys_of(gossip_keys: Sequence[bytes]) -> Keys:
    """
    The slots for a keyring, primary key first; empty for a ring without encryption.

    The program has two slots: gossip keys beyond the second still open gossip, but not beats.
    """
    derived = [beat_key(key) for key in gossip_keys[:2]]
    if not derived:
        return Keys()
    return Keys(derived[0], derived[1] if len(derived) > 1 else None)
