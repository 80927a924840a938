"""
Gossip keys: one primary that encrypts, all of them decrypt.

A key is changed in three rounds, each done everywhere before the next: `add` the new one, `use`
it, `remove` the old one. Nothing on the wire tells which key was used.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from speaker.gossip.errors import KeyringError

KEY_BYTES: Final = (16, 24, 32)  # AES-128, AES-192, AES-256


@attrs.define(repr=False)
class Keyring:
    """The keys of a ring, primary first. Lives in memory only; `repr` shows no key."""

    _ciphers: dict[bytes, AESGCM]  # in order, the primary first

    @classmethod
    def of(cls, primary: bytes, others: Iterable[bytes] = ()) -> "Keyring":
        """A ring that encrypts with `primary`. Raises KeyringError for a key of wrong length."""
        ring = cls({})
        for key in (primary, *others):
            ring.add(key)
        return ring

    def __repr__(self) -> str:
        return f"Keyring({len(self._ciphers)} keys)"

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All keys, the primary first."""
        return tuple(self._ciphers)

    @property
    def primary(self) -> AESGCM:
        """The cipher that encrypts."""
        return next(iter(self._ciphers.values()))

    def __iter__(self) -> Iterator[AESGCM]:
        """The ciphers to decrypt with, in the order to try them."""
        return iter(self._ciphers.values())

    def add(self, key: bytes) -> None:
        """Decrypt with `key` too; nothing changes if it is there. KeyringError: its length."""
        check_key(key)
        self._ciphers.setdefault(key, AESGCM(key))

    def use(self, key: bytes) -> None:
        """Make `key` the primary. KeyringError if the ring does not hold it."""
        if key not in self._ciphers:
            raise KeyringError("cannot encrypt with a key that was not added first")
        self._ciphers = {key: self._ciphers.pop(key), **self._ciphers}

    def remove(self, key: bytes) -> None:
        """Forget `key`; nothing changes if it is unknown. KeyringError if it is the primary."""
        if key == self.keys[0]:
            raise KeyringError("cannot remove the key that encrypts; use another one first")
        self._ciphers.pop(key, None)


def check_key(key: bytes) -> None:
    """Raise KeyringError, naming the length and what would be right, unless `key` is usable."""
    if len(key) in KEY_BYTES:
        return
    hint = ""
    try:
        decoded = len(base64.b64decode(key.strip(), validate=True))
    except (binascii.Error, ValueError):
        decoded = 0
    if (trimmed := len(key.rstrip(b"\r\n"))) in KEY_BYTES:
        hint = f"; without the line break at its end it has {trimmed}"
    elif decoded in KEY_BYTES:
        hint = f"; it reads as base64 of {decoded} bytes, decode it first"
    raise KeyringError(
        f"gossip key has {len(key)} bytes, need 16, 24 or 32 (AES-128, AES-192, AES-256){hint}"
    )


def derive_metallb_key(secret: bytes, size_bytes: int = 32) -> bytes | None:
    """
    The key MetalLB makes of its secret file, read verbatim; None (no encryption) when empty.

    It is the first `size_bytes` of the secret followed by the SHA-256 of nothing: Go's `Sum(b)`
    appends to b and does not hash it. MetalLB 0.14 and later take 32 bytes, 0.10 to 0.13 took 16.
    Raises KeyringError when `size_bytes` is no AES key size.
    """
    if size_bytes not in KEY_BYTES:
        raise KeyringError(f"key size of {size_bytes} bytes, need 16, 24 or 32")
    if not secret:
        return None
    return (secret + sha256(b"").digest())[:size_bytes]
