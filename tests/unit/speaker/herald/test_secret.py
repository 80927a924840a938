"""The gossip key's file: MetalLB's form, the literal form, and what is said about a bad one."""

import base64
from hashlib import sha256
from pathlib import Path

import pytest

from speaker.config import ConfigError
from speaker.herald.secret import read_keyring


def keys(path: Path) -> tuple[bytes, ...]:
    ring = read_keyring(str(path))
    assert ring is not None
    return ring.keys


def test_without_a_path_the_ring_speaks_in_clear() -> None:
    assert read_keyring("") is None


def test_metallbs_secret_is_filled_up_with_the_digest_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789")

    assert keys(path) == ((b"0123456789" + sha256(b"").digest())[:32],)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_a_literal_key_is_taken_as_it_is(tmp_path: Path, size: int) -> None:
    path = tmp_path / "secret"
    key = bytes(range(size))
    path.write_bytes(b"base64:" + base64.b64encode(key) + b"\n")

    assert (key,) == keys(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"base64:" + base64.b64encode(bytes(15)), "15 bytes, need 16, 24 or 32"),
        (b"base64:" + base64.b64encode(bytes(33)), "33 bytes, need 16, 24 or 32"),
        (b"base64:!!", "not base64"),
    ],
)
def test_a_bad_key_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=complaint) as caught:
        read_keyring(str(path))

    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_keyring(str(tmp_path / "none"))
