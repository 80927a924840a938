"""SipHash as the program computes it, and as the herald has it computed by the kernel."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speaker.beats.siphash import siphash
from speaker.dataplane.hasher import Hasher
from speaker.dataplane.libbpf import Libbpf
from tests.unit.speaker.beats.vectors import SIPHASH, SIPHASH_KEY

_LONGEST_WORDS = 32

pytestmark = pytest.mark.root


def refused(key: bytes, message: bytes) -> bytes:
    raise AssertionError(f"the kernel did not hash {message!r} under {key!r}")


@pytest.fixture
def by_kernel() -> Iterator[Hasher]:
    hasher = Hasher.open(Libbpf(), refused)
    yield hasher
    hasher.close()


@pytest.mark.parametrize("size", SIPHASH)
def test_the_authors_vectors_come_out(by_kernel: Hasher, size: int) -> None:
    assert by_kernel(SIPHASH_KEY, bytes(range(size))).hex() == SIPHASH[size]


def test_c_and_python_agree_on_any_key_and_message(by_kernel: Hasher) -> None:
    @settings(max_examples=500, deadline=None)
    @given(
        key=st.binary(min_size=16, max_size=16),
        words=st.lists(st.binary(min_size=8, max_size=8), max_size=_LONGEST_WORDS),
    )
    def agree(key: bytes, words: list[bytes]) -> None:
        message = b"".join(words)
        assert by_kernel(key, message) == siphash(key, message)

    agree()


@pytest.mark.parametrize(
    ("key_bytes", "message_bytes"), [(15, 8), (17, 8), (16, 7), (16, 8 * _LONGEST_WORDS + 8)]
)
def test_what_does_not_fit_is_hashed_otherwise(key_bytes: int, message_bytes: int) -> None:
    hasher = Hasher.open(Libbpf(), lambda key, message: b"%d, %d" % (len(key), len(message)))

    made = hasher(bytes(key_bytes), bytes(message_bytes))
    hasher.close()

    assert made == b"%d, %d" % (key_bytes, message_bytes)
