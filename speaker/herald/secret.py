"""The key of the ring, from the file that --ml-secret-key-path names."""

import base64
from pathlib import Path

from speaker.config import ConfigError
from speaker.gossip.errors import KeyringError
from speaker.gossip.keyring import Keyring, derive_metallb_key

LITERAL = b"base64:"


def read_keyring(path: str) -> Keyring | None:
    """
    Return the keys of the ring, or None, clear text, where `path` is "".

    The file is MetalLB's secret, of any length, read verbatim; or `base64:` and a key of 16, 24
    or 32 octets as `serf keygen` prints it. Raises ConfigError that names the file and the length.
    """
    if not path:
        return None
    try:
        text = Path(path).read_bytes()
    except OSError as exc:
        raise ConfigError(f"gossip key {path}: {exc.strerror}") from exc
    if not text.strip():
        raise ConfigError(f"gossip key {path}: empty")
    try:
        key = _literal(path, text) if text.startswith(LITERAL) else derive_metallb_key(text)
        return None if key is None else Keyring.of(key)
    except KeyringError as exc:
        raise ConfigError(f"gossip key {path}: {exc}") from exc


def _literal(path: str, text: bytes) -> bytes:
    try:
        return base64.b64decode(text.removeprefix(LITERAL).strip(), validate=True)
    except ValueError as exc:
        raise ConfigError(f"gossip key {path}: not base64 after 'base64:' ({exc})") from exc
