"""The codec of beats: golden octets, round trips, and what is refused."""

import struct
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.beats import (
    BEAT_BYTES,
    BeatReply,
    BeatRequest,
    BeatState,
    DecodeError,
    Keys,
    decode,
    encode_reply,
    encode_request,
)

KEYS = Keys(bytes(range(16)))
BOTH = Keys(bytes(range(1, 17)), KEYS.primary)
u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (16, 32, 64))
requests = st.builds(
    BeatRequest,
    sender=u64,
    target=u64,
    seq=u32,
    sent_ns=u64,
    has_witness=st.booleans(),
    hears=st.booleans(),
    claimed=st.none() | u32,
)
replies = st.builds(
    BeatReply,
    asked=requests,
    state=st.sampled_from(BeatState),
    epoch=u32,
    remaining_ms=u32,
    beat_age_ms=u32,
    ifindex=u32,
    vlan=u16,
    fenced_epoch=u32,
    instance=u64,
    generation=u64,
    lladdr=st.binary(min_size=6, max_size=6),
)
REQUEST = BeatRequest(
    sender=0x0102030405060708,
    target=0x1112131415161718,
    seq=0x21222324,
    sent_ns=0x3132333435363738,
    has_witness=True,
    claimed=0x41424344,
)
REPLY = BeatReply(
    asked=REQUEST,
    state=BeatState.HOLDING,
    epoch=0x51525354,
    remaining_ms=3_000,
    beat_age_ms=25,
    ifindex=9,
    vlan=100,
    fenced_epoch=6,
    instance=0x1112131415161718,
    generation=4,
    lladdr=bytes.fromhex("020000000001"),
)
GOLDEN_ASKED = "53544254010300004142434421222324313233343536373801020304050607081112131415161718"
GOLDEN_REQUEST = GOLDEN_ASKED + "01" + "00" * 47
GOLDEN_REPLY = (
    GOLDEN_ASKED + "0202006451525354" "00000bb800000019" "0000000900000006"
    "1112131415161718" "0000000000000004" "0200000000010000"
)  # fmt: skip


def test_a_request_has_its_golden_octets() -> None:
    assert encode_request(REQUEST, KEYS).hex() == GOLDEN_REQUEST + "93fc58540fac9712"


def test_a_reply_has_its_golden_octets() -> None:
    assert encode_reply(REPLY, KEYS).hex() == GOLDEN_REPLY + "abb39da86a8588c5"


@given(requests)
def test_a_request_survives_the_wire(request: BeatRequest) -> None:
    octets = encode_request(request, KEYS)

    assert (len(octets), decode(octets, KEYS), decode(octets, BOTH)) == (
        BEAT_BYTES,
        request,
        request,
    )


@given(replies)
def test_a_reply_survives_the_wire(reply: BeatReply) -> None:
    octets = encode_reply(reply, KEYS)

    assert (len(octets), decode(octets, KEYS), decode(octets, BOTH)) == (BEAT_BYTES, reply, reply)


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(octets, KEYS)


@given(requests | replies, st.integers(0, BEAT_BYTES * 8 - 1))
def test_a_single_changed_bit_is_refused(beat: BeatRequest | BeatReply, bit: int) -> None:
    encode: Any = encode_request if isinstance(beat, BeatRequest) else encode_reply
    octets = bytearray(encode(beat, KEYS))
    octets[bit // 8] ^= 1 << bit % 8

    with pytest.raises(DecodeError):
        decode(bytes(octets), KEYS)


def resigned(offset: int, octet: int) -> bytes:
    octets = bytearray(encode_reply(REPLY, KEYS)[:-8])
    octets[offset] = octet
    return bytes(octets) + KEYS.sign(bytes(octets))


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        pytest.param(b"", "0 octets, need 96", id="empty"),
        pytest.param(resigned(0, 0)[:95], "95 octets", id="an_octet_short"),
        pytest.param(resigned(4, 1) + b"\0", "97 octets", id="an_octet_long"),
        pytest.param(resigned(0, 0), "magic", id="magic"),
        pytest.param(resigned(4, 2), "version 2, need b'STBT' 1", id="version"),
        pytest.param(resigned(40, 0), "type 0, need 1 or 2", id="type_0"),
        pytest.param(resigned(40, 3), "type 3, need 1 or 2", id="type_3"),
        pytest.param(resigned(41, 5), "cell state 5, need 0..4", id="cell_state"),
        pytest.param(encode_reply(REPLY, Keys(bytes(range(16, 32)))), "tag", id="another_key"),
        pytest.param(encode_reply(REPLY, Keys()), "tag", id="no_key"),
    ],
)
def test_what_is_wrong_is_named(octets: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        decode(octets, KEYS)


@pytest.mark.parametrize("change", [{"seq": 2**32}, {"sender": -1}, {"claimed": 2**32}])
def test_a_number_out_of_range_is_not_sent(change: dict[str, Any]) -> None:
    with pytest.raises(struct.error):
        encode_request(attrs.evolve(REQUEST, **change), KEYS)


def test_a_claim_of_epoch_0_is_a_claim() -> None:
    octets = encode_request(attrs.evolve(REQUEST, claimed=0), KEYS)

    found = decode(octets, KEYS)

    assert isinstance(found, BeatRequest)
    assert found.claimed == 0
