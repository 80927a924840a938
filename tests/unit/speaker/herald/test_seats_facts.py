"""The messages of heralds: round trips, sizes, and octets from strangers."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.herald.claims import Words, to_vip, weigh
from speaker.herald.errors import DecodeError
from speaker.herald.facts import (
    HEADER,
    MAX_DATAGRAM,
    Ack,
    Ask,
    Claim,
    Decline,
    Fence,
    Hello,
    Hosts,
    LinkFact,
    Message,
    Seats,
    State,
    Want,
    Word,
    decode,
    encode,
)
from speaker.herald.parcels import Whole, cut, cut_whole
from tests.unit.speaker.herald.cores import VIP, Cores, seat

INSTANCE = bytes(range(16))

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=63)
packed = st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16))
counts = st.integers(0, 1 << 62)
digests = st.integers(0, (1 << 62) - 1)
instances = st.binary(min_size=16, max_size=16)
wire_words = st.tuples(packed, counts, st.sampled_from(list(Claim)), st.just(0))
links = st.builds(LinkFact, st.text(max_size=15), st.binary(min_size=6, max_size=6), counts)
hellos = st.builds(
    Hello, names, instances, counts, counts, counts, st.text(max_size=32), counts, digests,
    digests, st.lists(links, max_size=3).map(tuple),
    st.lists(st.builds(Fence, names, st.text(max_size=4), counts), max_size=3).map(tuple),
)  # fmt: skip
messages = st.one_of(
    hellos,
    st.builds(
        Seats, names, instances, counts, names, counts, st.just(()),
        st.lists(wire_words, max_size=5).map(tuple), digests, st.just(0), st.integers(1, 9),
    ),
    st.builds(Ack, names, counts),
    st.builds(Ask, names, instances, st.lists(packed, max_size=5).map(tuple)),
    st.builds(Decline, names, st.lists(packed, max_size=5).map(tuple)),
    st.builds(Want, names, names, digests, st.lists(counts, max_size=5).map(tuple), st.booleans()),
    st.builds(
        Hosts, names, instances, digests, st.just(0), st.just(1),
        st.lists(packed, max_size=5).map(tuple),
    ),
    st.builds(
        State, hellos, st.just(()), st.lists(wire_words, max_size=5).map(tuple),
        st.lists(packed, max_size=3).map(tuple),
    ),
)  # fmt: skip


@given(messages)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=200), st.booleans())
def test_octets_of_strangers_are_a_decode_error_and_nothing_else(data: bytes, header: bool) -> None:
    octets = HEADER + data if header else data

    with contextlib.suppress(DecodeError):
        message = decode(octets)
        assert message is None or decode(encode(message)) == message


@given(messages, st.data())
def test_a_message_with_one_octet_changed_or_cut_off_breaks_nothing(
    message: Message, data: st.DataObject
) -> None:
    octets = bytearray(encode(message))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))

    for hostile in (bytes(octets), bytes(octets[:at])):
        with contextlib.suppress(DecodeError):
            decode(hostile)


def test_user_messages_of_others_are_none_of_ours() -> None:
    """serf's begin with a small number, and Go members may send what they like."""
    assert decode(b"\x03\x81\xa7LTime") is None


def test_another_version_is_refused_by_its_number() -> None:
    with pytest.raises(DecodeError, match="version 02"):
        decode(HEADER[:4] + b"\x02" + encode(Ack("n1", 1))[5:])


@pytest.mark.parametrize(
    "message",
    [
        Ask("n1", INSTANCE, (b"12345",)),
        Hosts("n1", INSTANCE, 0, 1, 1, ()),
        Seats("n1", INSTANCE, 1, "n1", 0, (), ((b"1234", 1, Claim.GIVING, 1),)),
        Seats("n1", INSTANCE, 1, "n1", 0, (), (), 0, 4, 4),
    ],
    ids=["length_of_a_vip", "part_beyond_parts", "name_beyond_names", "part_of_a_whole"],
)
def test_what_the_types_allow_and_sense_does_not_is_refused(message: Message) -> None:
    with pytest.raises(DecodeError):
        decode(encode(message))


def test_hostile_messages_are_counted_and_change_nothing() -> None:
    cores = Cores(("n1",))
    cores.start(seat(VIP, "n1"))
    core = cores.cores["n1"]

    for payload in (HEADER, HEADER + b"\xff" * 50, b"", b"STNT", b"nonsense", b"STNT\x09abc"):
        core.received("203.0.113.66:7946", payload, cores.now)
        core.remote_state("203.0.113.66", payload, cores.now)

    cores._carry_out("n1")
    assert core.counters()["messages_malformed"] == 8
    assert core.counters()["messages_foreign"] == 4
    assert cores.holders() == ["n1"]


def test_members_that_nobody_has_heard_of_do_not_fill_the_memory() -> None:
    cores = Cores(("n1",))
    core = cores.begin("n1", seat(VIP, "n1"))

    for i in range(3000):
        core.received("203.0.113.66", encode(Ack(f"x{i}", 1)), 0.0)
        core.received("203.0.113.66", encode(Ask(f"x{i}", INSTANCE, ())), 0.0)

    assert core.counters()["peers_refused"] > 0


@given(
    node=st.sampled_from(["n1", "n" * 253]),
    words=st.dictionaries(
        packed,
        st.builds(
            Word,
            st.sampled_from(list(Claim)),
            counts,
            st.sampled_from(["", "x" * 253, "n2"]),
            counts,
        ),
        max_size=300,
    ),
)  # fmt: skip
def test_every_parcel_fits_a_datagram_and_nothing_is_lost(
    node: str, words: dict[bytes, Word]
) -> None:
    got = {}
    for taken, wire in cut(node, sorted(words.items())):
        octets = encode(Seats(node, INSTANCE, 1 << 40, node, 1 << 40, taken, wire))
        assert len(octets) <= MAX_DATAGRAM + (506 - 2 * len("n1") if len(node) > 63 else 0)
        for key, counter, claim, to in wire:
            got[key] = (claim, counter, taken[to - 1] if to else "")

    assert got == {key: word[:3] for key, word in words.items()}


def test_ten_thousand_seats_of_both_families_go_in_datagrams_and_one_state() -> None:
    words = Words()
    for i in range(10_000):
        key = i.to_bytes(4, "big") if i % 2 else i.to_bytes(16, "big")
        words.put(key, Word(Claim.HELD, 7, "", 1))

    parcels = cut_whole("worker-1.example", words.by_seat)

    whole = Whole()
    for part, (taken, wire) in enumerate(parcels):
        seats = Seats(
            "worker-1.example", INSTANCE, part, "worker-1.example", 0, taken, wire,
            words.digest, part, len(parcels),
        )  # fmt: skip
        assert len(encode(seats)) <= MAX_DATAGRAM
        assert whole.add(seats) is (part == len(parcels) - 1)
    assert whole.keys == set(words.by_seat)


@given(st.dictionaries(packed, st.tuples(counts, st.sampled_from(["", "n2"])), max_size=20))
def test_the_digest_depends_on_what_is_held_and_not_on_how_it_came_about(
    seats: dict[bytes, tuple[int, str]],
) -> None:
    one, other = Words(), Words()

    for key, (counter, to) in seats.items():
        one.put(key, Word(Claim.HELD, counter, to, 1))
    for key, (counter, to) in reversed(seats.items()):
        other.put(key, Word(Claim.GIVING, 0, "n9", 1))
        other.put(key, Word(Claim.HELD, counter, to, 2))
    other.put(b"gone", Word(Claim.HELD, 3, "", 3))
    other.put(b"gone", Word(Claim.NONE, 3, "", 4))

    assert (one.active, one.digest) == (other.active, other.digest)


def test_seats_that_swap_counters_have_another_digest() -> None:
    a, b = b"\0\0\0\1", b"\0\0\0\2"

    straight = weigh(a, Word(Claim.HELD, 1, "", 0)) + weigh(b, Word(Claim.HELD, 2, "", 0))
    swapped = weigh(a, Word(Claim.HELD, 2, "", 0)) + weigh(b, Word(Claim.HELD, 1, "", 0))

    assert straight != swapped
    assert str(to_vip(a)) == "0.0.0.1"
