"""Arbitrary and damaged frames: nothing but a sound question changes or leaves us."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from speaker.dataplane.layout import CellState, Voice
from tests.bpf.frames import NA, NS, SLLAO, Arp, Nd, checksum, ethernet, option, tcp4, tcp6
from tests.bpf.harness import OWN_LLADDR, Outcome, Program, Responder, Verdict

VIP4 = Arp().tpa
VIP6 = Nd().target
FUZZED = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
lladdrs = st.binary(min_size=6, max_size=6) | st.just(OWN_LLADDR)
arps = st.builds(
    Arp,
    dest=st.just(b"\xff" * 6) | lladdrs,
    source=lladdrs,
    vlan=st.none() | st.sampled_from([0, 5, 100]),
    hrd=st.sampled_from([1, 1, 1, 6]),
    hln=st.sampled_from([6, 6, 6, 8]),
    op=st.sampled_from([1, 1, 2, 3]),
    sha=lladdrs,
    spa=st.just(VIP4) | st.binary(min_size=4, max_size=4),
    tha=lladdrs,
    tpa=st.just(VIP4) | st.binary(min_size=4, max_size=4),
    padding=st.binary(max_size=40),
)
addresses = st.just(VIP6) | st.binary(min_size=16, max_size=16) | st.just(bytes(16))
options = st.lists(
    st.builds(option, st.integers(0, 20), lladdrs, st.sampled_from([1, 1, 1, 0, 2])), max_size=4
).map(b"".join)
nds = st.builds(
    Nd,
    type=st.sampled_from([NS, NS, NA, 133]),
    target=addresses,
    src=addresses,
    dst=st.none() | addresses,
    dest=st.none() | lladdrs,
    source=lladdrs,
    vlan=st.none() | st.sampled_from([0, 5, 100]),
    hop_limit=st.sampled_from([255, 255, 255, 64]),
    flags=st.sampled_from([0, 0x2000_0000, 0x6000_0000]),
    options=options | st.just(option(SLLAO, b"\x02abcde")),
    checksum_error=st.sampled_from([0, 0, 0, 1]),
    padding=st.binary(max_size=20),
)
built = arps.map(Arp.build) | nds.map(Nd.build)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A plausible frame with some octets overwritten and possibly its end cut off."""
    frame = bytearray(draw(built))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.integers(60, 200))])


@st.composite
def raw(draw: st.DrawFn) -> bytes:
    """Octets behind an EtherType that the program looks into."""
    proto = draw(st.sampled_from([0x0800, 0x86DD, 0x0806, 0x8100, 0x88B5, 0x88A8]))
    payload = draw(st.binary(min_size=46, max_size=150))
    return ethernet(draw(lladdrs), draw(lladdrs), proto, payload)


frames = built | damaged() | raw()


def fill(responder: Responder) -> None:
    responder.reset()
    for vlan in (0, 5):
        responder.put(VIP4, vlan=vlan)
        responder.put(VIP6, vlan=vlan)


def check_answer(outcome: Outcome, frame: bytes) -> None:
    """Scapy, which knows nothing of us, agrees that this is the answer to `frame`."""
    asked, told = Ether(frame), Ether(outcome.frame)
    assert told.src == OWN_LLADDR.hex(":")
    if ARP in asked:
        assert asked[ARP].op == 1
        assert (told[ARP].op, told[ARP].hwsrc) == (2, OWN_LLADDR.hex(":"))
        assert (told[ARP].psrc, told[ARP].pdst) == (asked[ARP].pdst, asked[ARP].psrc)
        assert told.dst == told[ARP].hwdst == asked[ARP].hwsrc
        assert len(outcome.frame) == len(frame)
        return
    packet, advert = told[IPv6], told[ICMPv6ND_NA]
    is_dad = asked[IPv6].src == "::"
    assert advert.tgt == packet.src == asked[IPv6].payload.tgt
    assert packet.dst == ("ff02::1" if is_dad else asked[IPv6].src)
    assert (0, 0 if is_dad else 1, 1) == (advert.R, advert.S, advert.O)
    assert told[ICMPv6NDOptDstLLAddr].lladdr == OWN_LLADDR.hex(":")
    octets = outcome.frame[-72:]
    pseudo = octets[8:40] + (32).to_bytes(4, "big") + (58).to_bytes(4, "big")
    assert packet.plen == 32
    assert checksum(pseudo + octets[40:]) == 0


@pytest.mark.root
@FUZZED
@given(frame=frames, which=st.sampled_from(Program))
def test_a_frame_leaves_answered_aright_or_untouched(
    responder: Responder, frame: bytes, which: Program
) -> None:
    fill(responder)

    outcome = responder.run(which, frame)

    if outcome.verdict is Verdict.TX:
        check_answer(outcome, frame)
    else:
        assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)
    assert sum(responder.exits().values()) == 1


@pytest.mark.root
@FUZZED
@given(frame=frames, state=st.sampled_from(CellState), voice=st.sampled_from(Voice))
def test_both_programs_judge_alike(
    responder: Responder, frame: bytes, state: CellState, voice: Voice
) -> None:
    outcomes: list[tuple[Any, ...]] = []
    for program in Program:
        responder.reset()
        responder.set_cell(state)
        responder.put(VIP4, voice)
        responder.put(VIP6, voice)
        outcome = responder.run(program, frame)
        outcomes.append((outcome.verdict, outcome.frame, responder.exits(), responder.stats()))

    assert outcomes[0] == outcomes[1]


@pytest.mark.root
@FUZZED
@given(
    frame=raw() | st.builds(tcp4, st.just(VIP4)) | st.builds(tcp6, st.just(VIP6)),
    which=st.sampled_from(Program),
)
def test_nothing_but_a_question_for_what_is_held_elsewhere_is_dropped(
    responder: Responder, frame: bytes, which: Program
) -> None:
    responder.reset()
    responder.put(VIP4, Voice.ELSEWHERE)
    responder.put(VIP6, Voice.ELSEWHERE)

    outcome = responder.run(which, frame)

    assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)
