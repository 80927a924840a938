"""Single messages: what we write is the old msgpack, what we read is every form of it."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.gossip.codec import compress, decode_message, encode_message
from speaker.gossip.errors import DecodeError, Reason
from speaker.gossip.messages import (
    AckResp,
    Alive,
    Err,
    IndirectPing,
    NackResp,
    PacketMessage,
    Ping,
    Suspect,
    User,
)
from speaker.gossip.msgpack import MAX_SKIPPED, skip
from tests.unit.speaker.gossip.values import errors, go_fields, packet_messages, uint32

OPTIONAL = {"SourceAddr", "SourcePort", "SourceNode"}
NILABLE = {"Meta", "Payload"}
maps = packet_messages.filter(lambda message: not isinstance(message, User))
anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=40),
        st.binary(max_size=300),
        st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=40)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.dictionaries(st.text(max_size=5), inner, max_size=20),
    ),
    max_leaves=30,
)


@given(st.one_of(packet_messages, errors))
def test_a_message_comes_back_as_it_was(message: PacketMessage | Err) -> None:
    assert message == decode_message(encode_message(message))


@given(st.one_of(maps, errors))
def test_we_write_what_old_msgpack_with_sorted_keys_is(message: PacketMessage | Err) -> None:
    fields = {
        key: None if value == b"" and key not in NILABLE else value
        for key, value in sorted(go_fields(message).items())
        if value or key not in OPTIONAL
    }

    expected = msgpack.packb(fields, use_bin_type=False)

    assert expected == encode_message(message)[1:]


@given(st.one_of(maps, errors), st.data())
def test_every_form_of_a_message_is_read(message: PacketMessage | Err, data: st.DataObject) -> None:
    """Any order of keys, unknown keys among them, str8 and bin8, bytes after the end."""
    entries: dict[Any, Any] = {**go_fields(message)}
    entries |= data.draw(st.dictionaries(st.text(max_size=3), anything, max_size=3))
    shuffled = dict(data.draw(st.permutations(list(entries.items()))))
    packed = msgpack.packb(shuffled, use_bin_type=data.draw(st.booleans()))
    kind = encode_message(message)[:1]

    assert message == decode_message(kind + packed + data.draw(st.binary(max_size=3)))


@given(st.one_of(maps, errors), st.data())
def test_an_array_stands_for_the_fields_in_declaration_order(
    message: PacketMessage | Err, data: st.DataObject
) -> None:
    """A longer one, of a later version, is read as far as we know it."""
    later = data.draw(st.lists(anything, max_size=3))
    packed = msgpack.packb([*go_fields(message).values(), *later], use_bin_type=True)

    assert message == decode_message(encode_message(message)[:1] + packed)


@given(uint32, st.sampled_from([0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3]))
def test_an_integer_is_read_in_every_form_that_holds_it(value: int, tag: int) -> None:
    size, signed = 1 << (tag & 3), tag >= 0xD0
    value %= 1 << (8 * size - signed)
    form = bytes((tag,)) + value.to_bytes(size, signed=signed)

    assert NackResp(seq_no=value) == decode_message(b"\x0b\x81\xa5SeqNo" + form)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        pytest.param(
            b"\x03\x80", Suspect(incarnation=0, node="", sender=""), id="missing_keys_are_zero"
        ),
        pytest.param(
            b"\x04\x80",
            Alive(incarnation=0, node="", addr=b"", port=0, meta=None, vsn=b""),
            id="a_missing_meta_is_nil",
        ),
        pytest.param(
            b"\x00\x82\xa4Node\xc0\xa5SeqNo\xc0", Ping(seq_no=0, node=""), id="nil_is_zero"
        ),
        pytest.param(
            b"\x00\x82\xa4node\xa1x\xa5SeqNo\x07", Ping(seq_no=7, node=""), id="keys_have_case"
        ),
        pytest.param(b"\x0b\xde\x00\x01\xa5SeqNo\x07", NackResp(seq_no=7), id="map16"),
        pytest.param(b"\x0b\xdf\x00\x00\x00\x01\xa5SeqNo\x07", NackResp(seq_no=7), id="map32"),
        pytest.param(b"\x0b\xdc\x00\x01\x07", NackResp(seq_no=7), id="array16"),
        pytest.param(
            b"\x0b\x82\xa5SeqNo\x06\xa5SeqNo\x07", NackResp(seq_no=7), id="the_last_counts"
        ),
        pytest.param(b"\x02\x91\x07", AckResp(seq_no=7), id="a_short_array"),
        pytest.param(b"\x02\x92\x07\xa0", AckResp(seq_no=7, payload=b""), id="empty_is_not_nil"),
        pytest.param(
            b"\x01\x81\xa4Nack\x01",
            IndirectPing(seq_no=0, target=b"", port=0, node="", nack=True),
            id="one_is_true",
        ),
        pytest.param(b"\x08", User(b""), id="an_empty_user_message"),
    ],
)
def test_a_lenient_form_is_read(packed: bytes, message: PacketMessage) -> None:
    assert message == decode_message(packed)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        pytest.param(b"", Reason.TRUNCATED, id="nothing"),
        pytest.param(b"\x0b", Reason.TRUNCATED, id="type_only"),
        pytest.param(b"\x0b\x81\xa5SeqN", Reason.TRUNCATED, id="ends_in_a_key"),
        pytest.param(b"\x0b\x81\xa5SeqNo", Reason.TRUNCATED, id="ends_before_a_value"),
        pytest.param(b"\x0b\x81\xa5SeqNo\xcd\x01", Reason.TRUNCATED, id="ends_in_an_integer"),
        pytest.param(b"\x0b\xde\x00", Reason.TRUNCATED, id="ends_in_a_count"),
        pytest.param(b"\x0b\x81\xa1X\xc4\x09", Reason.TRUNCATED, id="ends_in_a_skipped_value"),
        pytest.param(b"\x0b\x81\xa5SeqNo\xff", Reason.BAD_VALUE, id="negative"),
        pytest.param(b"\x0b\x81\xa5SeqNo\xcf" + b"\xff" * 8, Reason.BAD_VALUE, id="over_uint32"),
        pytest.param(b"\x04\x81\xa4Port\xce\x00\x01\x00\x00", Reason.BAD_VALUE, id="over_uint16"),
        pytest.param(b"\x0b\x81\xa5SeqNo\xca\x00\x00\x00\x00", Reason.BAD_VALUE, id="float"),
        pytest.param(b"\x00\x81\xa4Node\x01", Reason.BAD_VALUE, id="number_for_a_text"),
        pytest.param(b"\x00\x81\xa4Node\xa1\xff", Reason.BAD_NAME, id="not_utf8"),
        pytest.param(b"\x01\x81\xa4Nack\xa1x", Reason.BAD_VALUE, id="text_for_a_boolean"),
        pytest.param(b"\x0b\x07", Reason.BAD_VALUE, id="a_number_for_the_map"),
        pytest.param(b"\x0b\x81\xa1X\xc1", Reason.BAD_VALUE, id="the_tag_never_used"),
        pytest.param(b"\x0b\xdd\xff\xff\xff\xff\x07", Reason.TOO_LARGE, id="long_array"),
        pytest.param(b"\x0b\xdf\xff\xff\xff\xff", Reason.TOO_LARGE, id="long_map"),
        pytest.param(b"\x0b\x81\xa1X\xdd\xff\xff\xff\xff", Reason.TOO_LARGE, id="long_skipped"),
        pytest.param(b"\x0b\x81\xa1X" + b"\x91" * 70_000, Reason.TOO_LARGE, id="deep_skipped"),
        pytest.param(b"\x06\x83", Reason.MISPLACED, id="push_pull"),
        pytest.param(b"\x0a\x00\x00\x00\x01\x01", Reason.MISPLACED, id="encrypt"),
        pytest.param(compress(b"\x0b\x80"), Reason.MISPLACED, id="compress"),
        pytest.param(b"\x0e\x80", Reason.BAD_TYPE, id="type_14"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_with_its_reason(
    packed: bytes, reason: Reason
) -> None:
    with pytest.raises(DecodeError) as refusal:
        decode_message(packed)

    assert reason is refusal.value.reason


@given(st.binary(max_size=200), st.sampled_from(range(15)))
def test_whatever_the_bytes_only_decode_error_is_raised(body: bytes, kind: int) -> None:
    with suppress(DecodeError):
        decode_message(bytes((kind,)) + body)


@given(st.one_of(maps, errors), st.data())
def test_a_message_cut_short_is_truncated(
    message: PacketMessage | Err, data: st.DataObject
) -> None:
    packed = encode_message(message)
    cut = data.draw(st.integers(0, len(packed) - 1))

    with pytest.raises(DecodeError) as refusal:
        decode_message(packed[:cut])

    assert Reason.TRUNCATED is refusal.value.reason


@given(anything, st.binary(max_size=3))
def test_any_value_is_skipped_to_its_end(value: object, after: bytes) -> None:
    packed = msgpack.packb(value)

    assert len(packed) == skip(packed + after, 0)


def test_skipping_stops_at_its_bound() -> None:
    most = msgpack.packb([0] * (MAX_SKIPPED - 1))

    assert len(most) == skip(most, 0)
    with pytest.raises(DecodeError, match="too_large"):
        skip(msgpack.packb([0] * MAX_SKIPPED), 0)
