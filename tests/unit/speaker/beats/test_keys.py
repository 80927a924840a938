"""Keys of beats: derivation, slots, rotation."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.beats.errors import ConfigError
from speaker.beats.keys import NO_KEY, Keys, beat_key, hkdf_sha256, keys_of
from speaker.beats.siphash import KEY_BYTES
from tests.unit.speaker.beats.vectors import HKDF

OLD, NEW, THIRD = bytes(range(16)), bytes(range(32)), bytes(range(1, 33))
MESSAGE = bytes(88)


@pytest.mark.parametrize("name", HKDF)
def test_the_vectors_of_rfc_5869_come_out(name: str) -> None:
    secret, salt, info, length, expected = HKDF[name]

    found = hkdf_sha256(
        bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length
    )

    assert found.hex() == expected


@pytest.mark.parametrize("length", [-1, 8161])
def test_a_length_that_rfc_5869_does_not_allow_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match=str(length)):
        hkdf_sha256(b"", salt=b"", info=b"", length=length)


def test_the_beat_key_is_not_the_gossip_key() -> None:
    """It is fixed for all versions: nodes of two versions must agree."""
    assert beat_key(OLD).hex() == "6eae7c4c00e56c32ebc69259c4d78855"
    assert len(beat_key(NEW)) == KEY_BYTES


def test_a_ring_without_a_key_is_open() -> None:
    keys = keys_of(())

    assert (keys.is_open, keys.slots) == (True, bytes(32))


def test_the_primary_key_is_in_slot_0_and_the_next_in_slot_1() -> None:
    keys = keys_of((NEW, OLD, THIRD))

    assert keys.slots == beat_key(NEW) + beat_key(OLD)
    assert not keys.is_open


def test_an_unused_slot_is_all_zeroes() -> None:
    assert keys_of((OLD,)).slots == beat_key(OLD) + bytes(16)


@pytest.mark.parametrize(
    ("signer", "reader"),
    [
        pytest.param((OLD,), (OLD, NEW), id="before_the_new_key_came"),
        pytest.param((OLD, NEW), (NEW, OLD), id="the_reader_uses_it_first"),
        pytest.param((NEW, OLD), (OLD, NEW), id="the_signer_uses_it_first"),
        pytest.param((NEW,), (NEW, OLD), id="the_old_one_is_gone"),
    ],
)
def test_neighbours_in_a_rotation_understand_each_other(
    signer: tuple[bytes, ...], reader: tuple[bytes, ...]
) -> None:
    tag = keys_of(signer).sign(MESSAGE)

    assert keys_of(reader).verifies(MESSAGE, tag)


def test_an_empty_slot_1_verifies_nothing() -> None:
    """Otherwise anybody could sign with the all-zero key."""
    assert not keys_of((OLD,)).verifies(MESSAGE, Keys().sign(MESSAGE))


def test_an_all_zero_slot_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="all-zero key in slot 1"):
        Keys(OLD, NO_KEY)


@pytest.mark.parametrize("slot", [{"primary": bytes(15)}, {"other": bytes(17)}])
def test_a_slot_of_another_length_is_refused(slot: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="need 16"):
        Keys(**slot)


def test_keys_do_not_show_in_logs() -> None:
    assert repr(Keys(OLD, NEW[:16])) == "Keys()"


@given(st.binary(max_size=16))
def test_only_the_right_tag_is_verified(tag: bytes) -> None:
    keys = Keys(OLD)

    assert keys.verifies(MESSAGE, tag) == (tag == keys.sign(MESSAGE))
