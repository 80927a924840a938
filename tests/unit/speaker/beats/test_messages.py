"""Messages of watchers: round trip, and nothing but DecodeError from hostile octets."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.beats.errors import DecodeError
from speaker.beats.messages import (
    MAX_MESSAGE,
    Accusation,
    Message,
    Verdict,
    Veto,
    decode,
    encode,
    is_ours,
)

NAMES = st.text(min_size=1, max_size=253)
COUNTS = st.integers(0, 1 << 62)
MESSAGES = st.one_of(
    st.builds(Accusation, NAMES, NAMES, st.just(""), COUNTS),
    st.builds(Veto, NAMES, NAMES, st.just(""), COUNTS),
    st.builds(Verdict, NAMES, NAMES, st.just(""), COUNTS, COUNTS, st.booleans()),
)


@given(message=MESSAGES)
def test_what_is_said_is_heard(message: Message) -> None:
    if len(payload := encode(message)) <= MAX_MESSAGE:
        assert decode(payload) == message
        assert is_ours(payload)


@given(octets=st.binary(max_size=64), message=MESSAGES, at=st.integers(0, 40))
def test_hostile_octets_raise_nothing_but_a_decode_error(
    octets: bytes, message: Message, at: int
) -> None:
    payload = encode(message)
    for hostile in (octets, payload[:5] + octets, payload[:at], payload[:at] + octets):
        with contextlib.suppress(DecodeError):
            decode(hostile)


def test_another_version_is_refused() -> None:
    payload = bytearray(encode(Veto("a", "b", "", 1)))
    payload[4] += 1

    with pytest.raises(DecodeError, match="begins with"):
        decode(bytes(payload))


def test_facts_are_not_ours() -> None:
    assert not is_ours(b"STNT\x01")
