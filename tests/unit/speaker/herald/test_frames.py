"""Frames byte for byte from named fields, and as scapy reads them."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from speaker.herald import frames

LLADDR = bytes.fromhex("02000000a001")
VIP4 = IPv4Address("192.0.2.135")
VIP6 = IPv6Address("2001:db8::1:2:3")
LINK_LOCAL = IPv6Address("fe80::a001")
ETHERTYPE_AT_12_ARP = bytes(12) + frames.ETHERTYPE_ARP + frames.ARP_ETHERNET_IPV4
NA_START = frames.unsolicited_na(VIP6, LLADDR, LINK_LOCAL)[:56]
LLADDRS = st.binary(min_size=6, max_size=6)
GARPS = (frames.garp_request, frames.garp_reply)
ANNOUNCEMENTS = [
    *((VIP4, form(VIP4, LLADDR)) for form in GARPS),
    (VIP6, frames.unsolicited_na(VIP6, LLADDR, LINK_LOCAL)),
]


@pytest.mark.parametrize(
    ("frame", "golden"),
    [
        pytest.param(
            frames.garp_request(VIP4, LLADDR),
            "ffffffffffff 02000000a001 0806"
            "0001 0800 06 04 0001 02000000a001 c0000287 000000000000 c0000287",
            id="garp_request",
        ),
        pytest.param(
            frames.garp_reply(VIP4, LLADDR),
            "ffffffffffff 02000000a001 0806"
            "0001 0800 06 04 0002 02000000a001 c0000287 02000000a001 c0000287",
            id="garp_reply",
        ),
        pytest.param(
            frames.arp_probe(VIP4, LLADDR),
            "ffffffffffff 02000000a001 0806"
            "0001 0800 06 04 0001 02000000a001 00000000 000000000000 c0000287",
            id="arp_probe",
        ),
        pytest.param(
            frames.unsolicited_na(VIP6, LLADDR, LINK_LOCAL),
            "333300000001 02000000a001 86dd"
            "60000000 0020 3a ff fe80000000000000000000000000a001"
            "ff020000000000000000000000000001"
            "88 00 e85c 20000000 20010db8000000000000000100020003"
            "02 01 02000000a001",
            id="unsolicited_na",
        ),
        pytest.param(
            frames.dad_probe(VIP6, LLADDR),
            "3333ff020003 02000000a001 86dd"
            "60000000 0018 3a ff 00000000000000000000000000000000"
            "ff0200000000000000000001ff020003"
            "87 00 4ce4 00000000 20010db8000000000000000100020003",
            id="dad_probe",
        ),
    ],
)
def test_frame_is_built_from_its_named_fields(frame: bytes, golden: str) -> None:
    assert bytes.fromhex(golden.replace(" ", "")) == frame


@given(vip=st.ip_addresses(v=4), lladdr=LLADDRS)
def test_scapy_reads_both_announcements_of_an_ipv4_vip(vip: IPv4Address, lladdr: bytes) -> None:
    pair = frames.garp_request(vip, lladdr), frames.garp_reply(vip, lladdr)
    request, reply = (Ether(raw)[ARP] for raw in pair)

    assert (request.op, reply.op) == (1, 2)
    for arp in (request, reply):
        assert (str(vip), str(vip)) == (arp.psrc, arp.pdst)
        assert lladdr.hex(":") == arp.hwsrc


@given(vip=st.ip_addresses(v=6), lladdr=LLADDRS, source=st.ip_addresses(v=6))
def test_scapy_finds_the_checksum_of_an_unsolicited_na_right(
    vip: IPv6Address, lladdr: bytes, source: IPv6Address
) -> None:
    packet = Ether(frames.unsolicited_na(vip, lladdr, source))[IPv6]
    answer = packet[ICMPv6ND_NA]

    assert (answer.R, answer.S, answer.O) == (0, 0, 1)
    assert vip == IPv6Address(answer.tgt)
    assert lladdr.hex(":") == packet[ICMPv6NDOptDstLLAddr].lladdr
    assert checksum_by_scapy(packet, answer) == answer.cksum


@given(vip=st.ip_addresses(v=6), lladdr=LLADDRS)
def test_scapy_finds_the_checksum_of_a_dad_probe_right(vip: IPv6Address, lladdr: bytes) -> None:
    packet = Ether(frames.dad_probe(vip, lladdr))[IPv6]
    question = packet[ICMPv6ND_NS]

    assert (packet.src, packet.hlim) == ("::", 255)
    assert vip == IPv6Address(question.tgt)
    assert checksum_by_scapy(packet, question) == question.cksum


def checksum_by_scapy(packet: IPv6, message: ICMPv6ND_NA | ICMPv6ND_NS) -> int:
    """What scapy puts in when the field is left open."""
    again = packet.copy()
    del again[type(message)].cksum
    return int(IPv6(bytes(again))[type(message)].cksum)


def test_an_ipv6_vip_is_announced_from_itself_where_the_interface_has_no_link_local() -> None:
    frame = frames.Rounds(LLADDR, None).adverts([VIP6])

    assert str(VIP6) == Ether(frame)[IPv6].src


@given(vips=st.lists(st.ip_addresses(v=4), max_size=9), lladdr=LLADDRS)
def test_a_round_is_a_garp_request_and_reply_for_each_vip(
    vips: list[IPv4Address], lladdr: bytes
) -> None:
    one_by_one = [form(vip, lladdr) for vip in vips for form in GARPS]

    sent = frames.Rounds(lladdr, LINK_LOCAL).garps(vips)

    assert len(sent) == len(one_by_one) * frames.GARP_BYTES
    assert sent == b"".join(one_by_one)


@given(
    vips=st.lists(st.ip_addresses(v=6), max_size=9),
    lladdr=LLADDRS,
    source=st.none() | st.ip_addresses(v=6),
)
def test_a_round_is_an_advertisement_for_each_vip(
    vips: list[IPv6Address], lladdr: bytes, source: IPv6Address | None
) -> None:
    one_by_one = [frames.unsolicited_na(vip, lladdr, source or vip) for vip in vips]

    sent = frames.Rounds(lladdr, source).adverts(vips)

    assert len(sent) == len(one_by_one) * frames.NA_BYTES
    assert sent == b"".join(one_by_one)


@pytest.mark.parametrize(("vip", "frame"), ANNOUNCEMENTS)
def test_an_announcement_claims_the_vip(vip: frames.Vip, frame: bytes) -> None:
    assert frames.Claim(vip, LLADDR) == frames.read_claim(frame)


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_a_probe_claims_nothing(vip: frames.Vip) -> None:
    """Two nodes that probe at once must not take each other for the holder."""
    assert frames.read_claim(frames.probe(vip, LLADDR)) is None


def test_an_advertisement_without_tllao_claims_its_ethernet_source() -> None:
    frame = frames.unsolicited_na(VIP6, LLADDR, LINK_LOCAL)[:-8]

    assert frames.Claim(VIP6, LLADDR) == frames.read_claim(frame)


@pytest.mark.parametrize(("vip", "whole"), ANNOUNCEMENTS)
def test_a_frame_one_octet_short_claims_nothing(vip: frames.Vip, whole: bytes) -> None:
    least = whole if isinstance(vip, IPv4Address) else whole[:-8]

    assert frames.read_claim(least[:-1]) is None


@given(raw=st.binary(max_size=120), start=st.sampled_from([b"", ETHERTYPE_AT_12_ARP, NA_START]))
def test_arbitrary_octets_never_raise(raw: bytes, start: bytes) -> None:
    claim = frames.read_claim(start + raw)

    assert claim is None or len(claim.lladdr) == 6
