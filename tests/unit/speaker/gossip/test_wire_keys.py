"""Keys: their lengths, their rotation, MetalLB's derivation, and what they open."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.gossip import crypto
from speaker.gossip.errors import DecodeError, KeyringError, Reason
from speaker.gossip.keyring import Keyring, check_key, derive_metallb_key
from tests.unit.speaker.gossip.values import keys

OLD, NEW, OTHER = b"o" * 16, b"n" * 32, b"x" * 24
NONCE = bytes(range(12))


def seal(ring: Keyring, plain: bytes = b"plain") -> bytes:
    return crypto.seal(ring, plain, b"aad", version=1, nonce=NONCE)


@given(keys, st.binary(max_size=100), st.binary(max_size=20), st.sampled_from([0, 1]))
def test_what_is_sealed_comes_back(key: bytes, plain: bytes, aad: bytes, version: int) -> None:
    ring = Keyring.of(key)

    sealed = crypto.seal(ring, plain, aad, version=version, nonce=NONCE)

    assert plain == crypto.unseal(ring, sealed, aad)
    assert crypto.sealed_bytes(len(plain), version) == len(sealed)
    assert len(sealed) <= len(plain) + crypto.OVERHEAD_BYTES[version]


@given(st.data())
def test_a_single_changed_bit_opens_nothing(data: st.DataObject) -> None:
    sealed = bytearray(seal(Keyring.of(OLD)))
    sealed[data.draw(st.integers(1, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(DecodeError, match="wrong_key"):
        crypto.unseal(Keyring.of(OLD), bytes(sealed), b"aad")


@pytest.mark.parametrize(
    ("sealed", "reason"),
    [
        pytest.param(seal(Keyring.of(OLD))[:28], Reason.TRUNCATED, id="shorter_than_its_frame"),
        pytest.param(b"\2" + seal(Keyring.of(OLD))[1:], Reason.BAD_ENCRYPTION, id="version_2"),
        pytest.param(b"\0" + seal(Keyring.of(OLD))[1:], Reason.BAD_ENCRYPTION, id="no_padding"),
        pytest.param(
            b"\0" + seal(Keyring.of(OLD), b"\2" * 15 + b"\3")[1:],
            Reason.BAD_ENCRYPTION,
            id="uneven_padding",
        ),
        pytest.param(
            b"\0" + seal(Keyring.of(OLD), b"")[1:], Reason.BAD_ENCRYPTION, id="nothing_to_unpad"
        ),
        pytest.param(seal(Keyring.of(NEW)), Reason.WRONG_KEY, id="another_key"),
    ],
)
def test_what_does_not_open_is_refused_with_its_reason(sealed: bytes, reason: Reason) -> None:
    with pytest.raises(DecodeError) as refusal:
        crypto.unseal(Keyring.of(OLD), sealed, b"aad")

    assert reason is refusal.value.reason


def test_a_key_is_changed_in_three_rounds_without_losing_a_packet() -> None:
    """At each step members that have made it and members that have not read one another."""
    behind, ahead = Keyring.of(OLD), Keyring.of(OLD)

    for change in (
        lambda ring: ring.add(NEW),
        lambda ring: ring.use(NEW),
        lambda ring: ring.remove(OLD),
    ):
        change(ahead)
        assert crypto.unseal(behind, seal(ahead), b"aad") == b"plain"
        assert crypto.unseal(ahead, seal(behind), b"aad") == b"plain"
        change(behind)

    assert behind.keys == (NEW,)
    with pytest.raises(DecodeError, match="wrong_key"):
        crypto.unseal(behind, seal(Keyring.of(OLD)), b"aad")


def test_the_primary_key_comes_first_and_adding_it_again_changes_nothing() -> None:
    ring = Keyring.of(OLD, [NEW])
    ring.add(OLD)
    ring.add(NEW)
    assert ring.keys == (OLD, NEW)

    ring.use(NEW)
    ring.remove(OTHER)

    assert ring.keys == (NEW, OLD)


def test_a_key_that_was_not_added_cannot_be_used() -> None:
    ring = Keyring.of(OLD)

    with pytest.raises(KeyringError, match="not added"):
        ring.use(NEW)

    assert ring.keys == (OLD,)


def test_the_key_that_encrypts_cannot_be_removed() -> None:
    ring = Keyring.of(OLD, [NEW])

    with pytest.raises(KeyringError, match="cannot remove"):
        ring.remove(OLD)

    assert ring.keys == (OLD, NEW)


def test_no_key_is_shown() -> None:
    assert repr(Keyring.of(OLD, [NEW])) == "Keyring(2 keys)"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param(b"", "has 0 bytes, need 16, 24 or 32", id="empty"),
        pytest.param(b"s3cret-s3cret!!", "has 15 bytes, need 16, 24 or 32", id="one_short"),
        pytest.param(
            base64.b64encode(NEW), "has 44 bytes, .*base64 of 32 bytes, decode it", id="base64"
        ),
        pytest.param(b"k" * 32 + b"\n", "has 33 bytes, .*line break .* has 32", id="line_break"),
    ],
)
def test_a_key_of_wrong_length_is_named_with_what_would_be_right(key: bytes, message: str) -> None:
    with pytest.raises(KeyringError, match=message) as refusal:
        check_key(key)

    assert not key or key.decode() not in str(refusal.value)


@pytest.mark.parametrize(
    ("secret", "size_bytes", "key"),
    [
        pytest.param(
            b"AbCdEfGhIjKlMnOpQrStUv",
            32,
            b"AbCdEfGhIjKlMnOpQrStUv" + bytes.fromhex("e3b0c44298fc1c149afb"),
            id="what_the_controller_generates",
        ),
        pytest.param(b"0123456789" * 5, 32, (b"0123456789" * 5)[:32], id="a_long_secret"),
        pytest.param(b"AbCdEfGhIjKlMnOpQrStUv", 16, b"AbCdEfGhIjKlMnOp", id="metallb_0_13"),
        pytest.param(b"x\n", 16, bytes.fromhex("780ae3b0c44298fc1c149afbf4c8996f"), id="no_trim"),
        pytest.param(b"", 32, None, id="empty_is_no_encryption"),
    ],
)
def test_a_metallb_secret_becomes_a_key(secret: bytes, size_bytes: int, key: bytes | None) -> None:
    assert key == derive_metallb_key(secret, size_bytes)


def test_a_metallb_key_of_another_size_is_refused() -> None:
    with pytest.raises(KeyringError, match="20 bytes, need 16, 24 or 32"):
        derive_metallb_key(b"secret", 20)
