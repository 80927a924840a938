"""The gossip key of a lab: without one beats are unsigned, and anybody there can forge them."""

import secrets
from pathlib import Path

_KEY_BYTES = 128  # as MetalLB's own secret has
FILE_NAME = "gossip.key"


def key_flags(directory: Path, name: str = FILE_NAME) -> tuple[str, ...]:
    """Write a new key into `directory` and return the flag that names it to a speaker."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(secrets.token_hex(_KEY_BYTES // 2))
    return ("--ml-secret-key-path", str(path))
