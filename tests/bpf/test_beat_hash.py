"""SipHash as the program computes it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speaker.beats.siphash import siphash
from tests.bpf.harness import BpfObject
from tests.unit.speaker.beats.vectors import SIPHASH, SIPHASH_KEY

_XDP_TX = 3  # linux/bpf.h enum xdp_action
_LONGEST_WORDS = 32

pytestmark = pytest.mark.root


def by_program(key: bytes, message: bytes) -> bytes:
    """The tag that the test hook of bpf/siphash.bpf.c puts behind the key."""
    with BpfObject.opened("siphash.bpf.o") as loaded:
        return run(loaded, key, message)


def run(loaded: BpfObject, key: bytes, message: bytes) -> bytes:
    frame = key + bytes(8) + message
    code, out, _ = loaded.test_run(loaded.program_fd("siphash_probe"), frame, repeat=1)
    assert code == _XDP_TX
    assert (out[:16], out[24:]) == (key, message)
    return out[16:24]


@pytest.mark.parametrize("size", SIPHASH)
def test_the_authors_vectors_come_out(size: int) -> None:
    assert by_program(SIPHASH_KEY, bytes(range(size))).hex() == SIPHASH[size]


def test_c_and_python_agree_on_any_key_and_message() -> None:
    with BpfObject.opened("siphash.bpf.o") as loaded:

        @settings(max_examples=500, deadline=None)
        @given(
            key=st.binary(min_size=16, max_size=16),
            words=st.lists(st.binary(min_size=8, max_size=8), max_size=_LONGEST_WORDS),
        )
        def agree(key: bytes, words: list[bytes]) -> None:
            message = b"".join(words)
            assert run(loaded, key, message) == siphash(key, message)

        agree()
