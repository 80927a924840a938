"""Streams: what a ring writes it reads in any pieces, and no more than the limits."""

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.gossip import lzw
from speaker.gossip.codec import compress
from speaker.gossip.errors import DecodeError, Reason, TruncatedError
from speaker.gossip.keyring import Keyring
from speaker.gossip.label import label_header
from speaker.gossip.messages import AckResp, Err, Ping, PushNode, PushPull, StreamMessage, User
from speaker.gossip.msgpack import write_integer, write_octets
from speaker.gossip.stream import StreamReader, encode_plain, encode_stream
from speaker.gossip.wire import Limits, Wire
from tests.unit.speaker.gossip.values import rings, stream_messages

KEY = Keyring.of(b"k" * 32)
PLAIN = Wire(compression=False)
SMALL = Limits(frame_bytes=500, user_bytes=100, stream_bytes=1000, nodes=4, struct_bytes=200)
ACK = AckResp(seq_no=7)
NODE = PushNode(
    name="n", addr=b"\xc0\0\2\1", port=7946, meta=None, incarnation=1, state=0, vsn=b"\1\5\2\0\0\0"
)


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    """`data` in pieces, cut at the positions `at`, some of them empty."""
    edges = [0, *sorted(position % (len(data) + 1) for position in at), len(data)]
    return (data[a:b] for a, b in pairwise(edges))


def read(data: bytes, wire: Wire = PLAIN, *, accepted: bool = True) -> StreamMessage | None:
    reader = StreamReader(wire, accepted=accepted)
    reader.feed(data)
    return reader.finish()


@given(rings, stream_messages, st.booleans(), st.lists(st.integers(0, 5000), max_size=20))
def test_a_ring_reads_what_it_writes_in_any_pieces(
    wire: Wire, message: StreamMessage, dialled: bool, at: list[int]
) -> None:
    data = encode_stream(attrs.evolve(wire, verify_incoming=True), message, dialled=dialled)
    reader = StreamReader(wire, accepted=dialled)

    seen = [reader.feed(piece) for piece in cut(data, at)]

    assert message == reader.finish()
    assert {message} >= {some for some in seen if some is not None}
    assert message == seen[-1]
    assert reader.trailing_bytes == 0


@given(rings, stream_messages, st.data())
def test_a_stream_cut_short_has_no_message(
    wire: Wire, message: StreamMessage, data: st.DataObject
) -> None:
    whole = encode_stream(wire, message, dialled=True)
    reader = StreamReader(wire, accepted=True)

    assert reader.feed(whole[: data.draw(st.integers(1, len(whole) - 1))]) is None
    with pytest.raises(TruncatedError):
        reader.finish()


def test_a_stream_without_a_byte_has_no_message() -> None:
    assert read(b"") is None


@given(rings, stream_messages, st.binary(max_size=9), st.binary(max_size=9))
def test_what_follows_the_message_is_counted_and_not_read(
    wire: Wire, message: StreamMessage, after: bytes, later: bytes
) -> None:
    reader = StreamReader(wire, accepted=True)

    reader.feed(encode_stream(wire, message, dialled=True) + after)
    reader.feed(later)

    assert message == reader.finish()
    assert len(after) + len(later) == reader.trailing_bytes


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.booleans())
def test_the_pieces_make_no_difference_to_garbage(
    data: bytes, at: list[int], accepted: bool
) -> None:
    """Only DecodeError is raised, and for the pieces whenever it is for the whole."""
    outcomes = []
    for pieces in ([data], cut(data, at)):
        reader = StreamReader(attrs.evolve(PLAIN, limits=SMALL), accepted=accepted)
        outcome: object = None
        try:
            for piece in pieces:
                reader.feed(piece)
            outcome = reader.finish()
        except DecodeError:
            outcome = DecodeError
        outcomes.append(outcome)

    assert outcomes[0] == outcomes[1]


@given(rings, stream_messages, st.data())
def test_whatever_is_changed_only_decode_error_is_raised(
    wire: Wire, message: StreamMessage, data: st.DataObject
) -> None:
    clear = attrs.evolve(wire, keyring=None, label=b"")
    changed = bytearray(
        encode_stream(data.draw(st.sampled_from([wire, clear])), message, dialled=True)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))

    for ring in (wire, clear):
        with suppress(DecodeError):
            read(bytes(changed), ring)


def test_a_node_that_makes_no_sense_does_not_end_the_exchange() -> None:
    """One member with a name that is no text must not keep every other from joining."""
    good = encode_plain(PushPull(join=True, nodes=(NODE, NODE, NODE), user_state=b"state"))
    bad = good.replace(b"\xa4Name\xa1n", b"\xa4Name\xa1\xff", 1)
    worse = bad[::-1].replace(b"\xa4Port\xcd\x1f\x0a"[::-1], b"\xa4Port\xd1\xff\xff"[::-1], 1)[::-1]

    expected = PushPull(join=True, nodes=(NODE,), user_state=b"state", unreadable=2)
    assert expected == read(worse)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"\x01\x80", Reason.MISPLACED, id="indirect_ping"),
        pytest.param(b"\x07\x01\x00\x02\x0b\x80", Reason.MISPLACED, id="compound"),
        pytest.param(compress(compress(b"\x02\x80")), Reason.MISPLACED, id="compress_twice"),
        pytest.param(b"\x0e\x80", Reason.BAD_TYPE, id="type_14"),
        pytest.param(b"\x0a\x00\x00\x00\x10", Reason.NO_KEY, id="encrypted_and_we_are_not"),
        pytest.param(label_header(b"x") + b"\x02\x80", Reason.BAD_LABEL, id="another_label"),
        pytest.param(b"\xf4\x00", Reason.BAD_LABEL, id="label_of_no_bytes"),
        pytest.param(b"\x06\x81\xa5Nodes\xff", Reason.BAD_VALUE, id="fewer_than_no_nodes"),
        pytest.param(b"\x06\x81\xa5Nodes\x05", Reason.TOO_LARGE, id="too_many_nodes"),
        pytest.param(b"\x06\x81\xacUserStateLen\x65", Reason.TOO_LARGE, id="too_much_user_state"),
        pytest.param(b"\x08\x81\xaaUserMsgLen\x65", Reason.TOO_LARGE, id="too_much_user_message"),
        pytest.param(b"\x00\x81\xa4Node\xda\x01\x00", Reason.TOO_LARGE, id="too_long_a_name"),
        pytest.param(
            b"\x00\x81\xa4Node\xda\x01\x00" + bytes(256), Reason.TOO_LARGE, id="a_long_name_at_once"
        ),
        pytest.param(b"\x09\x81\xa3Buf\xdb\xff\xff\xff\xff", Reason.TOO_LARGE, id="too_long_a_buf"),
        pytest.param(compress(b"\x08" + bytes(1000)), Reason.TOO_LARGE, id="bomb"),
        pytest.param(compress(b"\x02\x81\xa5SeqNo"), Reason.TRUNCATED, id="cut_off_inside"),
        pytest.param(compress(b""), Reason.TRUNCATED, id="nothing_inside"),
        pytest.param(b"\x09\x82\xa4Algo\x01\xa3Buf\xc0", Reason.BAD_COMPRESSION, id="not_lzw"),
    ],
)
def test_a_stream_is_refused_with_its_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(DecodeError) as refusal:
        read(data, attrs.evolve(PLAIN, limits=SMALL))

    assert reason is refusal.value.reason


@pytest.mark.parametrize(
    ("wire", "data", "reason"),
    [
        pytest.param(Wire(keyring=KEY), b"\x02\x80", Reason.NOT_ENCRYPTED, id="plain"),
        pytest.param(
            Wire(keyring=KEY, limits=SMALL),
            b"\x0a\x00\x00\x01\xf5",
            Reason.TOO_LARGE,
            id="frame_of_501",
        ),
        pytest.param(
            Wire(keyring=KEY), b"\x0a\x00\x00\x00\x02\x01\x00", Reason.TRUNCATED, id="frame_of_two"
        ),
        pytest.param(
            Wire(keyring=KEY),
            encode_stream(Wire(keyring=Keyring.of(b"x" * 32)), ACK, dialled=True),
            Reason.WRONG_KEY,
            id="another_key",
        ),
    ],
)
def test_an_encrypted_ring_refuses_a_stream(wire: Wire, data: bytes, reason: Reason) -> None:
    with pytest.raises(DecodeError) as refusal:
        read(data, wire)

    assert reason is refusal.value.reason


def test_a_plain_stream_is_read_in_an_encrypted_ring_only_without_verify_incoming() -> None:
    assert read(encode_plain(ACK), Wire(keyring=KEY, verify_incoming=False)) == ACK


def test_only_the_dialling_side_writes_the_label_and_both_authenticate_it() -> None:
    wire = Wire(keyring=KEY, label=b"blue")
    request, reply = (encode_stream(wire, ACK, dialled=dialled) for dialled in (True, False))

    assert label_header(b"blue") == request[:6]
    assert reply[:1] == b"\x0a"
    assert read(reply, wire, accepted=False) == ACK
    with pytest.raises(DecodeError, match="bad_label"):
        read(reply, wire)
    with pytest.raises(DecodeError, match="bad_label"):
        read(request, wire, accepted=False)
    with pytest.raises(DecodeError, match="wrong_key"):
        read(reply, Wire(keyring=KEY), accepted=False)


def test_a_stream_is_compressed_even_where_that_is_longer() -> None:
    """As memberlist does, whose acks over TCP grow from 18 bytes to 36."""
    assert len(encode_stream(Wire(), ACK, dialled=True)) > len(encode_plain(ACK))


@pytest.mark.parametrize("message", [Ping(seq_no=1, node="n"), Err(error="no"), User(b"x" * 100)])
def test_at_its_limits_a_stream_is_read(message: StreamMessage) -> None:
    wire = attrs.evolve(PLAIN, limits=SMALL)

    assert message == read(encode_stream(wire, message, dialled=True), wire)


@pytest.mark.parametrize("piece_bytes", [50, 100_000])
def test_an_endless_plain_stream_ends_at_its_limit(piece_bytes: int) -> None:
    """Its nodes would pass one by one."""
    data = encode_plain(PushPull(join=True, nodes=(NODE,) * 100))
    wire = attrs.evolve(PLAIN, limits=attrs.evolve(SMALL, nodes=100))
    reader = StreamReader(wire, accepted=True)

    def feed_all() -> None:
        for start in range(0, len(data), piece_bytes):
            reader.feed(data[start : start + piece_bytes])

    with pytest.raises(DecodeError, match="too_large: stream of more than 1000 bytes"):
        feed_all()


def test_the_label_does_not_count_against_what_is_compressed() -> None:
    """A message just at the limit is read, however its stream arrives."""
    limits = attrs.evolve(SMALL, user_bytes=984, struct_bytes=100)
    wire = Wire(label=b"l" * 200, limits=limits)
    data = encode_stream(wire, User(bytes(984)), dialled=True)
    reader = StreamReader(wire, accepted=True)

    for at in range(len(data)):
        reader.feed(data[at : at + 1])

    assert User(bytes(984)) == reader.finish()


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(b"\x06\x81\xa5Nodes" + write_integer(16_384), id="nodes"),
        pytest.param(b"\x06\x81\xacUserStateLen" + write_integer(20 << 20), id="user_state"),
        pytest.param(b"\x08\x81\xaaUserMsgLen" + write_integer(20 << 20), id="user_message"),
        pytest.param(b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\x01\x40\x00\x00", id="compressed"),
        pytest.param(
            b"\x09\x82\xa4Algo\x00\xa3Buf" + write_octets(lzw.compress(bytes(1000))[:-3]), id="lzw"
        ),
    ],
)
def test_a_claim_alone_allocates_nothing(claim: bytes) -> None:
    tracemalloc.start()
    try:
        with suppress(DecodeError):
            StreamReader(PLAIN, accepted=True).feed(claim + bytes(1000))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 200_000
