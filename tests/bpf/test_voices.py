"""Frames whose sender claims a VIP: conflicts, echoes, expected voices, and who is told."""

from itertools import pairwise
from typing import Any

import pytest

from speaker.dataplane.layout import EVENT_VIP_INTERVAL_NS, EventKind, ExitReason, Voice, VoiceFlag
from tests.bpf.frames import (
    ALL_NODES,
    CLIENT4,
    CLIENT6,
    CLIENT_LLADDR,
    NA,
    SLLAO,
    TLLAO,
    UNSPECIFIED,
    Arp,
    Nd,
    option,
    solicited_node,
)
from tests.bpf.harness import LO_IFINDEX, OWN_LLADDR, Program, Responder, Verdict

VIP4 = Arp().tpa
VIP6 = Nd().target
FOREIGN = CLIENT_LLADDR
HEIR_LLADDR = bytes.fromhex("020000000002")


def claims(lladdr: bytes) -> dict[str, bytes]:
    """Every kind of frame in which the owner of `lladdr` speaks as the VIP."""
    tllao = option(TLLAO, lladdr)
    arp: dict[str, Any] = {"source": lladdr, "sha": lladdr, "spa": VIP4}
    advert: dict[str, Any] = {"type": NA, "source": lladdr, "src": VIP6}
    return {
        "garp_request": Arp(**arp, tpa=VIP4).build(),
        "garp_reply": Arp(**arp, op=2, tpa=VIP4).build(),
        "arp_reply_to_us": Arp(**arp, op=2, dest=OWN_LLADDR, tpa=CLIENT4).build(),
        "arp_request_by_the_vip": Arp(**arp, tpa=CLIENT4).build(),
        "unsolicited_na": Nd(**advert, dst=ALL_NODES, flags=0x2000_0000, options=tllao).build(),
        "solicited_na": Nd(**advert, dst=CLIENT6, flags=0x6000_0000, options=tllao).build(),
        "na_without_tllao": Nd(**advert, dst=CLIENT6, flags=0x6000_0000, options=b"").build(),
        "na_from_another_address": Nd(
            type=NA, source=lladdr, src=CLIENT6, dst=ALL_NODES, flags=0x2000_0000, options=tllao
        ).build(),
        "solicitation_by_the_vip": Nd(
            source=lladdr,
            src=VIP6,
            target=CLIENT6,
            dst=solicited_node(CLIENT6),
            options=option(SLLAO, lladdr),
        ).build(),
        "solicitation_for_itself": Nd(
            source=lladdr, src=VIP6, target=VIP6, options=option(SLLAO, lladdr)
        ).build(),
    }


def expect_pass(responder: Responder, program: Program, frame: bytes) -> None:
    outcome = responder.run(program, frame)
    assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)


def put_both(responder: Responder, voice: Voice, **options: Any) -> None:
    responder.put(VIP4, voice, **options)
    responder.put(VIP6, voice, **options)


pytestmark = pytest.mark.root


@pytest.mark.parametrize("voice", [Voice.HELD, Voice.GIVEN, Voice.WEAK])
@pytest.mark.parametrize("claim", claims(FOREIGN))
def test_a_foreign_voice_for_a_vip_of_ours_is_reported_and_passes(
    responder: Responder, program: Program, claim: str, voice: Voice
) -> None:
    put_both(responder, voice, lladdr=HEIR_LLADDR if voice is Voice.GIVEN else OWN_LLADDR)
    frame = claims(FOREIGN)[claim]

    expect_pass(responder, program, frame)

    [event] = responder.events()
    is_v4 = frame[12:14] == b"\x08\x06"
    assert event["vip"] == (VIP4 + bytes(12) if is_v4 else VIP6)
    assert event["family"] == (4 if is_v4 else 6)
    assert (event["kind"], event["lladdr"]) == (EventKind.CONFLICT, FOREIGN)
    assert (event["ifindex"], event["vlan"], event["cell"]) == (LO_IFINDEX, 0, 0)
    assert event["state"] == voice
    assert responder.exits() == {ExitReason.CONFLICT: 1}


@pytest.mark.parametrize("voice", Voice)
@pytest.mark.parametrize("claim", claims(OWN_LLADDR))
def test_our_own_voice_that_comes_back_is_ignored(
    responder: Responder, program: Program, claim: str, voice: Voice
) -> None:
    put_both(responder, voice)

    expect_pass(responder, program, claims(OWN_LLADDR)[claim])

    assert responder.events() == []
    if voice is not Voice.DEAD:
        assert responder.exits() == {ExitReason.OWN_ECHO: 1}


@pytest.mark.parametrize("claim", claims(HEIR_LLADDR))
def test_the_new_holders_voice_is_expected_while_we_give(
    responder: Responder, program: Program, claim: str
) -> None:
    put_both(responder, Voice.GIVEN, lladdr=HEIR_LLADDR)

    expect_pass(responder, program, claims(HEIR_LLADDR)[claim])

    assert responder.events() == []
    assert ExitReason.CONFLICT not in responder.exits()


@pytest.mark.parametrize("voice", [Voice.ELSEWHERE, Voice.PASS, Voice.COUNT])
@pytest.mark.parametrize("claim", claims(FOREIGN))
def test_the_holders_voice_for_a_vip_held_elsewhere_is_no_conflict(
    responder: Responder, program: Program, claim: str, voice: Voice
) -> None:
    """It passes also where questions are dropped: the kernel has to learn the new LLADDR."""
    put_both(responder, voice)

    expect_pass(responder, program, claims(FOREIGN)[claim])

    assert responder.events() == []
    assert ExitReason.CONFLICT not in responder.exits()


@pytest.mark.parametrize("claim", claims(FOREIGN))
def test_a_slot_that_listens_tells_who_speaks(
    responder: Responder, program: Program, claim: str
) -> None:
    """How a herald that probes an empty seat hears the answer."""
    put_both(responder, Voice.ELSEWHERE, flags=VoiceFlag.LISTEN)

    expect_pass(responder, program, claims(FOREIGN)[claim])

    [event] = responder.events()
    assert (event["kind"], event["lladdr"]) == (EventKind.HEARD, FOREIGN)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"hop_limit": 254}, id="from_off_link"),
        pytest.param({"checksum_error": 1}, id="checksum"),
        pytest.param({"code": 1}, id="code"),
        pytest.param({"flags": 0x6000_0000}, id="solicited_to_a_group"),
        pytest.param({"options": option(TLLAO, FOREIGN, 0)}, id="option_of_length_zero"),
    ],
)
def test_an_invalid_advertisement_makes_no_conflict(
    responder: Responder, program: Program, change: dict[str, Any]
) -> None:
    """RFC 4861 7.1.2; else anybody off the link could raise alarms."""
    put_both(responder, Voice.HELD)
    fields = {"flags": 0x2000_0000, "options": option(TLLAO, FOREIGN), **change}

    expect_pass(responder, program, Nd(type=NA, src=VIP6, dst=ALL_NODES, **fields).build())

    assert responder.events() == []
    assert responder.exits() == {ExitReason.MALFORMED: 1}


def test_conflicts_of_one_vip_are_reported_at_intervals_but_all_counted(
    responder: Responder, program: Program
) -> None:
    put_both(responder, Voice.HELD)
    frame = claims(FOREIGN)["garp_request"]

    for _ in range(500):
        expect_pass(responder, program, frame)

    times = [int(event["time_ns"]) for event in responder.events()]
    assert times
    assert all(b - a >= EVENT_VIP_INTERVAL_NS for a, b in pairwise(times))
    assert responder.exits() == {ExitReason.CONFLICT: 500}


def test_a_probe_by_another_host_is_defended(responder: Responder, program: Program) -> None:
    """RFC 5227 2.1.1 and RFC 4862 5.4: the prober learns that the address is taken."""
    put_both(responder, Voice.HELD)

    arp = responder.run(program, Arp(spa=bytes(4)).build())
    nd = responder.run(program, Nd(src=UNSPECIFIED, options=b"").build())

    assert (arp.verdict, nd.verdict) == (Verdict.TX, Verdict.TX)
    assert responder.events() == []


def test_an_answer_that_is_fed_back_is_not_answered_again(
    responder: Responder, program: Program
) -> None:
    put_both(responder, Voice.HELD)

    for question in (Arp().build(), Nd().build()):
        answer = responder.run(program, question).frame
        expect_pass(responder, program, answer)
