"""What is written down of a frame, and read back."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.herald import frames
from stentor.lab.chaos_frames import (
    PROBER_LLADDR,
    RECORD,
    Heard,
    Kind,
    Tape,
    decode,
    encode,
    encode_lost,
    read,
)
from stentor.lab.chaos_prober import question

VIP4, VIP6 = IPv4Address("192.0.2.108"), IPv6Address("2001:db8::108")
NODE = bytes.fromhex("02005e000011")
CLIENT = bytes.fromhex("02005e000002")
HOST4, HOST6 = IPv4Address("192.0.2.2"), IPv6Address("2001:db8::2")
ASKER = 207

HEARD = st.builds(
    Heard,
    at_ns=st.integers(0, 2**64 - 1),
    kind=st.sampled_from([kind for kind in Kind if kind is not Kind.LOST]),
    vip=st.integers(0, 2**32 - 1).map(IPv4Address)
    | st.integers(2**64, 2**128 - 1).map(IPv6Address),  # not the IPv4-mapped ones,
    lladdr=st.binary(min_size=6, max_size=6),
    asker=st.integers(0, 255),
)


def arp_reply(to: bytes, target: IPv4Address) -> bytes:
    """The answer that VIP4 is at NODE, RFC 826."""
    packet = bytes.fromhex("0001080006040002") + NODE + VIP4.packed + to + target.packed
    return to + NODE + b"\x08\x06" + packet


def solicited_na(to: bytes, target: IPv6Address) -> bytes:
    """The answer that VIP6 is at NODE; nobody here looks at its checksum."""
    body = bytes.fromhex("8800000060000000") + VIP6.packed + b"\x02\x01" + NODE
    header = bytes.fromhex("6000000000203aff")
    packet = header + VIP6.packed + target.packed + body
    return to + NODE + b"\x86\xdd" + packet


@given(st.lists(HEARD))
def test_records_survive_the_file(heard: list[Heard]) -> None:
    assert heard == list(decode(b"".join(map(encode, heard))))


@given(st.integers(0, 2**63), st.integers(0, 2**32))
def test_the_number_of_lost_frames_survives_the_file(at_ns: int, frames_lost: int) -> None:
    [heard] = decode(encode_lost(at_ns, frames_lost))

    assert (Kind.LOST, frames_lost, at_ns) == (heard.kind, int(heard.vip), heard.at_ns)
    assert not heard.is_voice


PROBER4 = IPv4Address(f"192.0.2.{ASKER}")
PROBER6 = IPv6Address(f"2001:db8::ffff:{ASKER:x}")


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (frames.garp_request(VIP4, NODE), Heard(7, Kind.GARP, VIP4, NODE)),
        (frames.garp_reply(VIP4, NODE), Heard(7, Kind.GARP, VIP4, NODE)),
        (arp_reply(CLIENT, HOST4), Heard(7, Kind.ARP_REPLY, VIP4, NODE)),
        (arp_reply(PROBER_LLADDR, PROBER4), Heard(7, Kind.ARP_REPLY, VIP4, NODE, ASKER)),
        (question(VIP4, ASKER), Heard(7, Kind.QUESTION, VIP4, PROBER_LLADDR, ASKER)),
        (frames.arp_probe(VIP4, NODE), None),
        (
            frames.unsolicited_na(VIP6, NODE, HOST6),
            Heard(7, Kind.NA_UNSOLICITED, VIP6, NODE),
        ),
        (solicited_na(CLIENT, HOST6), Heard(7, Kind.NA_SOLICITED, VIP6, NODE)),
        (solicited_na(PROBER_LLADDR, PROBER6), Heard(7, Kind.NA_SOLICITED, VIP6, NODE, ASKER)),
        (question(VIP6, ASKER), Heard(7, Kind.QUESTION, VIP6, PROBER_LLADDR, ASKER)),
        (frames.dad_probe(VIP6, NODE), None),
    ],
    ids=[
        *("garp_request", "garp_reply", "reply", "reply_to_the_prober", "question", "arp_probe"),
        *("unsolicited_na", "na", "na_to_the_prober", "solicitation", "dad_probe"),
    ],
)
def test_what_a_frame_says(frame: bytes, expected: Heard | None) -> None:
    assert expected == read(frame, 7)


def test_a_request_sent_from_a_vip_is_a_voice() -> None:
    """It tells every neighbour cache where the VIP is, RFC 826, whatever it asks for."""
    request = bytes.fromhex("0001080006040001") + NODE + VIP4.packed + bytes(6) + HOST4.packed
    heard = read(frames.ETH_BROADCAST + NODE + b"\x08\x06" + request, 7)

    assert Heard(7, Kind.ARP_SENDER, VIP4, NODE) == heard
    assert heard is not None
    assert heard.is_voice


@given(
    st.binary(max_size=100),
    st.sampled_from([b"\x08\x06", b"\x86\xdd", b"\x08\x00"]),
    st.sampled_from([PROBER_LLADDR, NODE]),
)
def test_garbage_is_no_reason_to_stop(rest: bytes, ethertype: bytes, source: bytes) -> None:
    heard = read(NODE + source + ethertype + rest, 7)

    assert heard is None or heard.at_ns == 7


@given(st.integers(0, 85))
def test_a_frame_cut_short_of_its_fixed_part_says_nothing(length: int) -> None:
    cut4, cut6 = arp_reply(CLIENT, HOST4)[:length], solicited_na(CLIENT, HOST6)[:length]

    assert (read(cut4, 7) is None) == (length < 42)
    assert (read(cut6, 7) is None) == (length < 78)


def test_a_tape_reads_each_record_once_and_leaves_half_a_one(tmp_path: Path) -> None:
    one, two = Heard(1, Kind.GARP, VIP4, NODE), Heard(2, Kind.GARP, VIP6, NODE)
    path = tmp_path / "heard.bin"
    tape = Tape(path)
    path.write_bytes(encode(one) + encode(two)[:5])
    assert [one] == tape.news()
    assert tape.news() == []

    with path.open("ab") as file:
        file.write(encode(two)[5:])

    assert [one, two] == tape.read()
    assert tape.news() == []
    assert path.stat().st_size == 2 * RECORD.size


def test_a_tape_rewound_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "heard.bin"
    path.write_bytes(encode(Heard(1, Kind.GARP, VIP4, NODE)))
    tape = Tape(path)
    tape.read()

    tape.rewind()
    with path.open("ab") as file:
        file.write(encode(Heard(2, Kind.GARP, VIP4, NODE)))

    assert [Heard(2, Kind.GARP, VIP4, NODE)] == tape.read()
