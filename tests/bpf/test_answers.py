"""Golden answers, byte for byte, from both programs; scapy reads them again."""

from ipaddress import IPv6Address

import attrs
import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from speaker.dataplane.layout import Voice
from tests.bpf.frames import (
    ALL_NODES,
    BROADCAST,
    CLIENT_LLADDR,
    NA,
    NONCE,
    SLLAO,
    TLLAO,
    UNSPECIFIED,
    Arp,
    Nd,
    group_lladdr,
    option,
)
from tests.bpf.harness import OWN_LLADDR, Program, Responder, Verdict

VIP4 = Arp().tpa
VIP6 = Nd().target
HEIR_LLADDR = bytes.fromhex("020000000002")
OTHER_LLADDR = bytes.fromhex("0200000000aa")

ARP_CASES = {
    "broadcast_request": Arp(),
    "unicast_request": Arp(dest=OWN_LLADDR),
    "probe": Arp(spa=bytes(4)),
    "target_lladdr_filled_in": Arp(tha=BROADCAST),
    "no_padding": Arp(padding=b""),
    "much_padding": Arp(padding=bytes(range(200))),
    "vlan_100": Arp(vlan=100),
    "vlan_100_with_priority": Arp(vlan=100 | 5 << 13),
    "priority_tag": Arp(vlan=5 << 13),
    "sent_through_another_lladdr": Arp(source=OTHER_LLADDR),
}
ND_CASES = {
    "solicitation": Nd(),
    "unicast_solicitation": Nd(dst=VIP6, dest=OWN_LLADDR),
    "no_sllao": Nd(options=b""),
    "duplicate_address_detection": Nd(src=UNSPECIFIED, options=b""),
    "detection_with_nonce": Nd(src=UNSPECIFIED, options=option(NONCE, b"nonce!")),
    "sllao_and_nonce": Nd(options=option(SLLAO, CLIENT_LLADDR) + option(NONCE, b"nonce!")),
    "nonce_and_sllao": Nd(options=option(NONCE, b"nonce!") + option(SLLAO, CLIENT_LLADDR)),
    "second_sllao_ignored": Nd(options=option(SLLAO, CLIENT_LLADDR) + option(SLLAO, OTHER_LLADDR)),
    "long_unknown_option": Nd(
        options=option(77, bytes(6), 3) + bytes(16) + option(SLLAO, CLIENT_LLADDR)
    ),
    "eight_units": Nd(options=option(SLLAO, CLIENT_LLADDR) + option(77, bytes(6), 7) + bytes(48)),
    "sllao_differs_from_sender": Nd(source=OTHER_LLADDR),
    "reserved_bits_set": Nd(flags=0xFFFF_FFFF),
    "traffic_class": Nd(version_class_flow=0x6C01_2345),
    "trailing_padding": Nd(padding=bytes(10)),
    "no_sllao_but_padding": Nd(options=b"", padding=bytes(3)),
    "all_nodes": Nd(dst=ALL_NODES),
    "vlan_100": Nd(vlan=100),
    "vlan_100_no_sllao": Nd(vlan=100, options=b""),
    "priority_tag": Nd(vlan=7 << 13),
}


def arp_answer(asked: Arp, lladdr: bytes = OWN_LLADDR) -> bytes:
    """The reply as the design has it: told to the asker, padding and tag kept."""
    return attrs.evolve(
        asked,
        dest=asked.sha,
        source=OWN_LLADDR,
        op=2,
        sha=lladdr,
        spa=asked.tpa,
        tha=asked.sha,
        tpa=asked.spa,
    ).build()


def nd_answer(asked: Nd, asker: bytes, lladdr: bytes = OWN_LLADDR) -> bytes:
    """The advertisement: R=0, O=1, and S=1 unless nobody asked by name (RFC 4861 7.2.4)."""
    is_dad = asked.src == UNSPECIFIED
    return Nd(
        type=NA,
        target=asked.target,
        src=asked.target,
        dst=ALL_NODES if is_dad else asked.src,
        dest=group_lladdr(ALL_NODES) if is_dad else asker,
        source=OWN_LLADDR,
        vlan=asked.vlan,
        flags=0x2000_0000 if is_dad else 0x6000_0000,
        options=option(TLLAO, lladdr),
    ).build()


@pytest.mark.root
@pytest.mark.parametrize("case", ARP_CASES)
def test_an_arp_request_for_a_held_vip_is_answered(
    responder: Responder, program: Program, case: str
) -> None:
    asked = ARP_CASES[case]
    responder.put(VIP4, vlan=(asked.vlan or 0) & 0xFFF)

    outcome = responder.run(program, asked.build())

    assert outcome.verdict is Verdict.TX
    assert outcome.frame == arp_answer(asked)


@pytest.mark.root
@pytest.mark.parametrize("case", ND_CASES)
def test_a_solicitation_for_a_held_vip_is_answered(
    responder: Responder, program: Program, case: str
) -> None:
    asked = ND_CASES[case]
    responder.put(VIP6, vlan=(asked.vlan or 0) & 0xFFF)

    outcome = responder.run(program, asked.build())

    assert outcome.verdict is Verdict.TX
    has_sllao = bytes((SLLAO, 1)) in (asked.options[i : i + 2] for i in range(0, 64, 8))
    asker = CLIENT_LLADDR if has_sllao else asked.source
    assert outcome.frame == nd_answer(asked, asker)


@pytest.mark.root
def test_a_given_vip_is_answered_with_its_new_holders_lladdr_from_our_own(
    responder: Responder, program: Program
) -> None:
    """Were the new holder's LLADDR the Ethernet source, switches would move its port to ours."""
    responder.put(VIP4, Voice.GIVEN, lladdr=HEIR_LLADDR)
    responder.put(VIP6, Voice.GIVEN, lladdr=HEIR_LLADDR)

    arp = responder.run(program, Arp().build())
    nd = responder.run(program, Nd().build())

    assert arp.frame == arp_answer(Arp(), HEIR_LLADDR)
    assert nd.frame == nd_answer(Nd(), CLIENT_LLADDR, HEIR_LLADDR)
    assert arp.frame[6:12] == nd.frame[6:12] == OWN_LLADDR


@pytest.mark.root
def test_scapy_reads_the_answers_as_meant(responder: Responder, program: Program) -> None:
    responder.put(VIP4)
    responder.put(VIP6)

    reply = Ether(responder.run(program, Arp().build()).frame)[ARP]
    frame = responder.run(program, Nd(options=b"").build()).frame
    advert = Ether(frame)

    assert (reply.op, reply.psrc, reply.hwsrc) == (2, "192.0.2.9", OWN_LLADDR.hex(":"))
    assert (reply.pdst, reply.hwdst) == ("192.0.2.1", CLIENT_LLADDR.hex(":"))
    fields = advert[ICMPv6ND_NA]
    assert (fields.R, fields.S, fields.O, fields.tgt) == (0, 1, 1, str(IPv6Address(VIP6)))
    assert advert[ICMPv6NDOptDstLLAddr].lladdr == OWN_LLADDR.hex(":")
    assert (advert[IPv6].hlim, advert[IPv6].plen) == (255, 32)
    given_sum = fields.cksum
    del fields.cksum
    assert given_sum == Ether(bytes(advert))[ICMPv6ND_NA].cksum
