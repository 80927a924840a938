"""Datagrams: what a ring writes it reads, and what is accepted inside what."""

import zlib
from contextlib import suppress

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speaker.gossip import crypto
from speaker.gossip.codec import compress, encode_message
from speaker.gossip.compound import join_parts
from speaker.gossip.errors import DecodeError, Reason
from speaker.gossip.keyring import Keyring
from speaker.gossip.label import label_header
from speaker.gossip.messages import Err, NackResp, PacketMessage, User
from speaker.gossip.wire import Limits, Packet, Wire
from tests.unit.speaker.gossip.values import packet_messages, rings

KEY = Keyring.of(b"k" * 32)
ONE, TWO = NackResp(seq_no=1), NackResp(seq_no=2)
ONE_BYTES, TWO_BYTES = encode_message(ONE), encode_message(TWO)
BOTH = Packet((ONE, TWO))


def join(*parts: bytes) -> bytes:
    """A compound, of one part too."""
    lengths = b"".join(len(part).to_bytes(2) for part in parts)
    return bytes((7, len(parts))) + lengths + b"".join(parts)


def add_crc(payload: bytes) -> bytes:
    return b"\x0c" + zlib.crc32(payload).to_bytes(4) + payload


@given(rings, st.lists(packet_messages, min_size=1, max_size=6), st.booleans())
def test_a_ring_reads_what_it_writes(
    wire: Wire, messages: list[PacketMessage], with_crc: bool
) -> None:
    [datagram] = wire.encode_packet(messages, with_crc=with_crc)

    assert Packet(tuple(messages)) == wire.decode_packet(datagram)


@given(rings, rings, packet_messages)
def test_a_datagram_of_another_ring_is_not_read(
    wire: Wire, other: Wire, message: PacketMessage
) -> None:
    """
    But for the ring without a key: it takes ciphertext for a message, and now and then it is one,
    as in Go.
    """
    other = attrs.evolve(other, verify_incoming=True)
    ours, theirs = ((ring.keyring.keys if ring.keyring else ()) for ring in (wire, other))
    assume(wire.label != other.label or (theirs and ours != theirs))
    [datagram] = wire.encode_packet([message])

    with pytest.raises(DecodeError):
        other.decode_packet(datagram)


@pytest.mark.parametrize("count", [2, 255, 256, 511])
def test_more_parts_than_a_compound_holds_are_split(count: int) -> None:
    messages = [NackResp(seq_no=i) for i in range(count)]
    wire = Wire(compression=False)

    datagrams = wire.encode_packet(messages)

    assert -(-count // 255) == len(datagrams)
    read = [message for datagram in datagrams for message in wire.decode_packet(datagram).messages]
    assert messages == read


def test_no_messages_make_no_datagram() -> None:
    assert Wire().encode_packet([]) == []


def test_a_part_too_long_for_a_compound_is_refused() -> None:
    with pytest.raises(ValueError, match="65537 bytes in a compound, at most 65535"):
        Wire().encode_packet([ONE, User(bytes(65_536))])


def test_compression_is_kept_only_where_it_is_shorter() -> None:
    [short] = Wire().encode_packet([ONE])
    [long] = Wire().encode_packet([User(bytes(200))])

    assert short == ONE_BYTES
    assert long[:1] == b"\x09"


@pytest.mark.parametrize(
    ("payload", "packet"),
    [
        pytest.param(join(ONE_BYTES, TWO_BYTES), BOTH, id="compound"),
        pytest.param(compress(join(ONE_BYTES, TWO_BYTES)), BOTH, id="compound_in_compress"),
        pytest.param(join(join(ONE_BYTES), TWO_BYTES), BOTH, id="compound_in_compound"),
        pytest.param(join(compress(ONE_BYTES), TWO_BYTES), BOTH, id="compress_in_compound"),
        pytest.param(compress(compress(ONE_BYTES)), Packet((ONE,)), id="compress_in_compress"),
        pytest.param(add_crc(compress(ONE_BYTES)), Packet((ONE,)), id="compress_in_crc"),
        pytest.param(add_crc(join(ONE_BYTES, TWO_BYTES)), BOTH, id="compound_in_crc"),
        pytest.param(join(), Packet(()), id="compound_of_nothing"),
        pytest.param(ONE_BYTES + b"garbage", Packet((ONE,)), id="bytes_after_a_message"),
        pytest.param(
            join(ONE_BYTES, add_crc(TWO_BYTES)),
            Packet((ONE,), (Reason.MISPLACED,)),
            id="no_crc_in_compound",
        ),
        pytest.param(
            join(ONE_BYTES, label_header(b"l") + TWO_BYTES),
            Packet((ONE,), (Reason.MISPLACED,)),
            id="no_label_in_compound",
        ),
        pytest.param(
            join(b"\x0a\x00\x00", b"", b"\x0e\x80", ONE_BYTES),
            Packet((ONE,), (Reason.MISPLACED, Reason.TRUNCATED, Reason.BAD_TYPE)),
            id="a_bad_part_spoils_no_other",
        ),
        pytest.param(
            join(ONE_BYTES, TWO_BYTES)[:-1],
            Packet((ONE,), (Reason.TRUNCATED,)),
            id="a_cut_off_part_spoils_no_other",
        ),
        pytest.param(
            join(ONE_BYTES, b"\x08whole")[:-1],
            Packet((ONE,), (Reason.TRUNCATED,)),
            id="a_cut_off_part_is_not_taken_for_a_shorter_one",
        ),
    ],
)
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_wrappers_are_accepted_inside_one_another(
    payload: bytes, packet: Packet, key: Keyring | None
) -> None:
    if key:
        payload = crypto.seal(key, payload, b"", version=1, nonce=bytes(12))

    assert packet == Wire(keyring=key).decode_packet(payload)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"", Reason.TRUNCATED, id="nothing"),
        pytest.param(compress(add_crc(ONE_BYTES)), Reason.MISPLACED, id="crc_in_compress"),
        pytest.param(add_crc(add_crc(ONE_BYTES)), Reason.MISPLACED, id="crc_in_crc"),
        pytest.param(b"\x0c\x00\x00", Reason.TRUNCATED, id="crc_cut_off"),
        pytest.param(add_crc(ONE_BYTES)[:-1], Reason.BAD_CRC, id="crc_of_something_else"),
        pytest.param(b"\x06\x83", Reason.MISPLACED, id="push_pull"),
        pytest.param(encode_message(Err(error="no")), Reason.MISPLACED, id="err"),
        pytest.param(b"\x0a\x00\x00\x00\x00", Reason.MISPLACED, id="encrypt_frame"),
        pytest.param(b"\x07", Reason.TRUNCATED, id="compound_without_count"),
        pytest.param(b"\x07\x02\x00\x01\x00", Reason.TRUNCATED, id="compound_without_lengths"),
        pytest.param(b"\x09\x80", Reason.TRUNCATED, id="compress_of_nothing"),
        pytest.param(b"\x09\x81\xa4Algo\x01", Reason.BAD_COMPRESSION, id="compress_by_another"),
    ],
)
def test_a_datagram_is_refused_as_a_whole(payload: bytes, reason: Reason) -> None:
    with pytest.raises(DecodeError) as refusal:
        Wire().decode_packet(payload)

    assert reason is refusal.value.reason


@pytest.mark.parametrize(
    ("own", "datagram"),
    [
        pytest.param(b"", label_header(b"blue") + ONE_BYTES, id="a_label_where_none_is_due"),
        pytest.param(b"blue", ONE_BYTES, id="no_label_where_one_is_due"),
        pytest.param(b"blue", label_header(b"red") + ONE_BYTES, id="another_label"),
        pytest.param(b"", b"\xf4\x00" + ONE_BYTES, id="a_label_of_no_bytes"),
    ],
)
def test_a_datagram_of_another_ring_is_refused(own: bytes, datagram: bytes) -> None:
    with pytest.raises(DecodeError) as refusal:
        Wire(label=own).decode_packet(datagram)

    assert Reason.BAD_LABEL is refusal.value.reason


@pytest.mark.parametrize("header", [b"\xf4", b"\xf4\x05blu"])
def test_a_label_cut_off_is_refused(header: bytes) -> None:
    with pytest.raises(DecodeError, match="truncated"):
        Wire(label=b"blue").decode_packet(header)


def test_a_label_too_long_for_its_header_is_refused() -> None:
    with pytest.raises(ValueError, match="label of 256 bytes, at most 255"):
        Wire(label=b"l" * 256)


def test_a_plain_datagram_is_read_in_an_encrypted_ring_only_without_verify_incoming() -> None:
    lax = Wire(keyring=KEY, verify_incoming=False)

    assert Packet((ONE,)) == lax.decode_packet(ONE_BYTES)
    with pytest.raises(DecodeError):
        attrs.evolve(lax, verify_incoming=True).decode_packet(ONE_BYTES)


def test_without_verify_outgoing_datagrams_go_in_clear() -> None:
    wire = Wire(keyring=KEY, verify_outgoing=False)

    assert wire.encode_packet([ONE]) == [ONE_BYTES]


@given(rings, st.integers(0, 1500), st.lists(st.integers(0, 200)))
def test_what_has_room_fits_the_datagram(wire: Wire, first: int, sizes: list[int]) -> None:
    """The promise of `room`, but for the 5 bytes of a CRC, which memberlist does not count."""
    room = wire.room(first + 1)
    messages = [User(bytes(first))]
    for size in sizes:
        if size + 3 <= room:
            room -= size + 3
            messages.append(User(bytes(size)))

    [datagram] = attrs.evolve(wire, compression=False).encode_packet(messages)

    if len(messages) > 1:
        assert len(datagram) <= wire.datagram_bytes + 2  # the first part's own length


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(join(join(join(ONE_BYTES))), Reason.TOO_DEEP, id="nested_too_deep"),
        pytest.param(compress(bytes(2000)), Reason.TOO_LARGE, id="decompresses_to_too_much"),
        pytest.param(
            join(*[compress(b"\x08" + bytes(400))] * 3), Reason.TOO_LARGE, id="too_much_in_sum"
        ),
        pytest.param(
            join(compress(bytes(2000)), compress(ONE_BYTES)),
            Reason.TOO_LARGE,
            id="too_much_is_not_tried_twice",
        ),
        pytest.param(join(*[join(*[ONE_BYTES] * 5)] * 3), Reason.TOO_LARGE, id="too_many_in_sum"),
    ],
)
def test_a_datagram_costs_no_more_than_its_limits(payload: bytes, reason: Reason) -> None:
    wire = Wire(limits=Limits(depth=2, packet_bytes=1000, packet_messages=12))

    try:
        refused = wire.decode_packet(payload).refused
    except DecodeError as error:
        refused = (error.reason,)

    assert {reason} == set(refused)


@given(rings, st.binary(max_size=300))
def test_whatever_the_bytes_only_decode_error_is_raised(wire: Wire, datagram: bytes) -> None:
    with suppress(DecodeError):
        wire.decode_packet(datagram)


@given(rings, st.lists(packet_messages, min_size=1, max_size=4), st.booleans(), st.data())
def test_whatever_is_changed_only_decode_error_is_raised(
    wire: Wire, messages: list[PacketMessage], with_crc: bool, data: st.DataObject
) -> None:
    """Bytes changed under the encryption too, and cut anywhere."""
    [datagram] = wire.encode_packet(messages, with_crc=with_crc)
    plain = attrs.evolve(wire, keyring=None, label=b"")
    [payload] = plain.encode_packet(messages, with_crc=with_crc)
    changed = bytearray(data.draw(st.sampled_from([datagram, payload])))
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(0, len(changed)))])

    with suppress(DecodeError):
        wire.decode_packet(cut)
    with suppress(DecodeError):
        plain.decode_packet(cut)


Nested = tuple[bytes, tuple[PacketMessage, ...]]


def join_nested(parts: list[Nested]) -> Nested:
    return join(*(payload for payload, _ in parts)), sum((some for _, some in parts), ())


nested: st.SearchStrategy[Nested] = st.recursive(
    packet_messages.map(lambda message: (encode_message(message), (message,))),
    lambda inner: st.one_of(
        inner.map(lambda some: (compress(some[0]), some[1])),
        st.lists(inner, max_size=4).map(join_nested),
    ),
    max_leaves=12,
)


@given(nested)
def test_nested_wrappers_hold_their_messages_in_order(some: Nested) -> None:
    payload, messages = some

    assert Packet(messages) == Wire(limits=Limits(depth=64)).decode_packet(payload)


def test_join_parts_is_what_members_write() -> None:
    assert [join(ONE_BYTES, TWO_BYTES)] == join_parts([ONE_BYTES, TWO_BYTES])
