"""The client's frames, read back by scapy."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from stentor.lab.questions import arp_request, neighbour_solicitation

LLADDR = bytes.fromhex("02005e000002")


def test_an_arp_request_asks_all_from_the_client() -> None:
    frame = Ether(arp_request(IPv4Address("192.0.2.108"), LLADDR, IPv4Address("192.0.2.2")))

    assert (frame.dst, frame.src) == ("ff:ff:ff:ff:ff:ff", "02:00:5e:00:00:02")
    assert (frame[ARP].op, frame[ARP].psrc, frame[ARP].pdst) == (1, "192.0.2.2", "192.0.2.108")


@given(vip=st.ip_addresses(v=6), source=st.ip_addresses(v=6))
def test_a_solicitation_has_a_sound_checksum(vip: IPv6Address, source: IPv6Address) -> None:
    octets = neighbour_solicitation(vip, LLADDR, source)

    frame = Ether(octets)
    sent = frame[ICMPv6ND_NS].cksum
    del frame[ICMPv6ND_NS].cksum

    assert sent == Ether(bytes(frame))[ICMPv6ND_NS].cksum
    assert IPv6Address(frame[ICMPv6ND_NS].tgt) == vip
    assert frame[ICMPv6NDOptSrcLLAddr].lladdr == "02:00:5e:00:00:02"
    assert frame[IPv6].hlim == 255
    assert octets[:6] == b"\x33\x33\xff" + vip.packed[13:]
