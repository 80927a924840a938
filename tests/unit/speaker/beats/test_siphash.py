"""SipHash-2-4 against its authors' vectors."""

import pytest

from speaker.beats.errors import ConfigError
from speaker.beats.siphash import siphash
from tests.unit.speaker.beats.vectors import SIPHASH, SIPHASH_KEY


@pytest.mark.parametrize("size", SIPHASH)
def test_the_authors_vectors_come_out(size: int) -> None:
    assert siphash(SIPHASH_KEY, bytes(range(size))).hex() == SIPHASH[size]


@pytest.mark.parametrize("size", [1, 7, 9, 95])
def test_a_message_that_is_no_multiple_of_eight_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"message of {size} octets"):
        siphash(SIPHASH_KEY, bytes(size))


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"key of {size}"):
        siphash(bytes(size), bytes(8))
