"""Frames that are almost questions for a held VIP: each field wrong in turn, each length short."""

from ipaddress import IPv6Address
from typing import Any

import pytest

from tests.bpf.frames import (
    ALL_NODES,
    BROADCAST,
    CLIENT4,
    CLIENT6,
    CLIENT_LLADDR,
    SLLAO,
    UNSPECIFIED,
    Arp,
    Nd,
    option,
    solicited_node,
)
from tests.bpf.harness import OWN_LLADDR, Program, Responder, Verdict

VIP4 = Arp().tpa
VIP6 = Nd().target
OTHER_LLADDR = bytes.fromhex("0200000000aa")

ARP_MISSES: dict[str, dict[str, Any]] = {
    "hardware_type": {"hrd": 6},
    "protocol_type": {"pro": 0x86DD},
    "lladdr_length": {"hln": 8},
    "address_length": {"pln": 16},
    "reverse_request": {"op": 3},
    "no_operation": {"op": 0},
    "operation_in_wrong_byte_order": {"op": 0x0100},
    "reply": {"op": 2},
    "another_target": {"tpa": CLIENT4},
    "sender_is_a_group": {"sha": BROADCAST},
    "sender_without_lladdr": {"sha": bytes(6)},
    "to_another_host": {"dest": OTHER_LLADDR},
    "to_a_group": {"dest": bytes.fromhex("01005e000001")},
    "another_vlan": {"vlan": 7},
    "our_own_probe": {"sha": OWN_LLADDR, "spa": bytes(4)},
}
ND_MISSES: dict[str, dict[str, Any]] = {
    "hop_limit": {"hop_limit": 254},
    "code": {"code": 1},
    "checksum_high": {"checksum_error": 1},
    "checksum_low": {"checksum_error": -1},
    "router_solicitation": {"type": 133},
    "redirect": {"type": 137},
    "udp": {"next_header": 17},
    "hop_by_hop_header": {"next_header": 0},
    "another_target": {"target": IPv6Address("2001:db8::a").packed},
    "another_prefix": {"target": IPv6Address("2001:db8:0:1::9").packed},
    "source_is_a_group": {"src": ALL_NODES},
    "length_below_24": {"length": 23, "options": b""},
    "length_zero": {"length": 0},
    "length_one_short": {"length": 31},
    "length_an_option_short": {"length": 24},
    "length_an_option_long": {"length": 40},
    "option_of_length_zero": {"options": option(SLLAO, CLIENT_LLADDR, 0)},
    "option_past_the_end": {"options": option(SLLAO, CLIENT_LLADDR, 2)},
    "unknown_option_past_the_end": {
        "options": option(SLLAO, CLIENT_LLADDR) + option(77, bytes(6), 2)
    },
    "sllao_of_two_units": {"options": option(SLLAO, CLIENT_LLADDR, 2) + bytes(8)},
    "sllao_is_a_group": {"options": option(SLLAO, BROADCAST)},
    "sllao_is_zero": {"options": option(SLLAO, bytes(6))},
    "nine_units": {"options": option(77, bytes(6), 9) + bytes(64)},
    "detection_with_sllao": {"src": UNSPECIFIED},
    "detection_to_all_nodes": {"src": UNSPECIFIED, "options": b"", "dst": ALL_NODES},
    "detection_to_another_group": {
        "src": UNSPECIFIED,
        "options": b"",
        "dst": solicited_node(CLIENT6),
    },
    "to_another_address": {"dst": CLIENT6, "dest": OWN_LLADDR},
    "to_another_host": {"dest": OTHER_LLADDR},
    "to_broadcast": {"dest": BROADCAST},
    "another_vlan": {"vlan": 7},
    "our_own": {"source": OWN_LLADDR, "options": option(SLLAO, OWN_LLADDR)},
    "our_own_detection": {"source": OWN_LLADDR, "src": UNSPECIFIED, "options": b""},
    "sender_is_a_group": {"source": BROADCAST, "options": b""},
}


@pytest.mark.root
@pytest.mark.parametrize("miss", ARP_MISSES)
def test_an_arp_packet_that_is_no_question_for_us_passes_untouched(
    responder: Responder, program: Program, miss: str
) -> None:
    frame = Arp(**ARP_MISSES[miss]).build()
    responder.put(VIP4)

    outcome = responder.run(program, frame)

    assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)


@pytest.mark.root
@pytest.mark.parametrize("miss", ND_MISSES)
def test_an_nd_message_that_is_no_question_for_us_passes_untouched(
    responder: Responder, program: Program, miss: str
) -> None:
    frame = Nd(**ND_MISSES[miss]).build()
    responder.put(VIP6)

    outcome = responder.run(program, frame)

    assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)


@pytest.mark.root
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(Arp(padding=b"").build(), id="arp"),
        pytest.param(Arp(padding=b"", vlan=100).build(), id="tagged_arp"),
        pytest.param(Nd().build(), id="nd"),
        pytest.param(Nd(vlan=100).build(), id="tagged_nd"),
        pytest.param(Nd(options=b"").build(), id="nd_without_option"),
    ],
)
def test_no_frame_cut_short_is_answered(
    responder: Responder, program: Program, frame: bytes
) -> None:
    for vlan in (0, 100):
        responder.put(VIP4, vlan=vlan)
        responder.put(VIP6, vlan=vlan)
    assert responder.run(program, frame).verdict is Verdict.TX

    # BPF_PROG_TEST_RUN itself refuses an skb of IPv6 without the whole header.
    is_bare_ipv6 = program is Program.TC and frame[12:14] == b"\x86\xdd"
    for size in range(54 if is_bare_ipv6 else 15, len(frame)):
        outcome = responder.run(program, frame[:size])

        assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame[:size])


@pytest.mark.root
@pytest.mark.parametrize("outer", [0x8100, 0x88A8])
def test_a_frame_with_two_tags_passes_untouched(
    responder: Responder, program: Program, outer: int
) -> None:
    inner = Arp(vlan=100).build()
    frame = inner[:12] + outer.to_bytes(2, "big") + b"\x00\x07" + inner[12:]
    for vlan in (0, 7, 100):
        responder.put(VIP4, vlan=vlan)

    outcome = responder.run(program, frame)

    assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)


@pytest.mark.root
@pytest.mark.parametrize("where", [{"ifindex": 2}, {"vlan": 100}])
def test_a_vip_of_another_interface_or_vlan_is_not_answered(
    responder: Responder, program: Program, where: dict[str, Any]
) -> None:
    responder.put(VIP4, **where)
    responder.put(VIP6, **where)

    assert responder.run(program, Arp().build()).verdict is Verdict.PASS
    assert responder.run(program, Nd().build()).verdict is Verdict.PASS
