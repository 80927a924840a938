"""Packets to VIPs are counted, all else passes, and every frame leaves by one exit."""

from collections import Counter

import pytest

from speaker.dataplane.layout import ExitReason, Voice, filter_bit, hash4, probes
from tests.bpf.frames import CLIENT4, CLIENT6, NA, Arp, Nd, ethernet, tcp4, tcp6
from tests.bpf.harness import LO_IFINDEX, Program, Responder, Verdict

VIP4 = Arp().tpa
VIP6 = Nd().target

pytestmark = pytest.mark.root


@pytest.mark.parametrize("voice", [voice for voice in Voice if voice is not Voice.DEAD])
@pytest.mark.parametrize("vlan", [None, 100])
def test_packets_to_a_vip_are_counted_whoever_holds_it(
    responder: Responder, program: Program, voice: Voice, vlan: int | None
) -> None:
    responder.put(VIP4, voice, stat=3, vlan=vlan or 0)
    responder.put(VIP6, voice, stat=4, vlan=vlan or 0)

    for frame in (tcp4(VIP4, vlan=vlan, size=99), tcp6(VIP6, vlan=vlan, size=101)):
        assert responder.run(program, frame).verdict is Verdict.PASS

    assert (responder.stats(3)["packets"], responder.stats(3)["bytes"]) == (1, 99)
    assert (responder.stats(4)["packets"], responder.stats(4)["bytes"]) == (1, 101)
    assert responder.exits() == {ExitReason.COUNTED: 2}


def test_icmpv6_that_is_no_nd_is_counted_like_other_packets(
    responder: Responder, program: Program
) -> None:
    responder.put(VIP6)

    responder.run(program, tcp6(VIP6, next_header=58))  # type 0

    assert responder.stats()["packets"] == 1


def test_each_kind_of_frame_has_its_exit(responder: Responder, program: Program) -> None:
    responder.put(VIP4)
    responder.put(VIP6)
    expected = {
        tcp4(CLIENT4): ExitReason.OTHER,
        tcp6(CLIENT6): ExitReason.OTHER,
        ethernet(bytes(6), bytes(6), 0x9000, bytes(46)): ExitReason.OTHER,
        ethernet(bytes(6), bytes(6), 0x88B5, bytes(46)): ExitReason.BEAT_REFUSED,
        tcp4(VIP4): ExitReason.COUNTED,
        Arp(hln=7).build(): ExitReason.MALFORMED,
        Nd(hop_limit=1).build(): ExitReason.MALFORMED,
        Arp(tpa=CLIENT4).build(): ExitReason.ARP_NOT_VIP,
        Nd(target=CLIENT6).build(): ExitReason.ND_NOT_VIP,
        Nd(type=NA, target=CLIENT6).build(): ExitReason.ND_NOT_VIP,
        Arp().build(): ExitReason.ARP_ANSWERED,
        Nd().build(): ExitReason.ND_ANSWERED,
    }

    for frame in expected:
        responder.run(program, frame)

    assert responder.exits() == dict(Counter(expected.values()))


def test_a_removed_vip_is_no_vip_but_keeps_the_chain_behind_it(
    responder: Responder, program: Program
) -> None:
    """Slots are never emptied in place: a VIP entered later may sit further down the chain."""
    mask = responder.slots - 1
    start = next(probes(hash4(LO_IFINDEX, 0, VIP4), mask))
    rival = next(
        vip
        for vip in (number.to_bytes(4, "big") for number in range(1, 1 << 20))
        if vip != VIP4 and next(probes(hash4(LO_IFINDEX, 0, vip), mask)) == start
    )
    responder.put(rival)
    responder.put(VIP4)
    responder.put(rival, Voice.DEAD)

    gone = responder.run(program, Arp(tpa=rival).build())
    behind = responder.run(program, Arp().build())

    assert (gone.verdict, behind.verdict) == (Verdict.PASS, Verdict.TX)
    assert responder.exits() == {ExitReason.ARP_NOT_VIP: 1, ExitReason.ARP_ANSWERED: 1}


def test_flipping_the_halves_changes_the_whole_table_at_once(
    responder: Responder, program: Program
) -> None:
    responder.put(VIP4)
    responder.put(VIP6)
    responder.activate(1)
    other = responder.run(program, Arp().build()), responder.run(program, Nd().build())
    responder.activate(0)
    back = responder.run(program, Arp().build()), responder.run(program, Nd().build())

    assert {outcome.verdict for outcome in other} == {Verdict.PASS}
    assert {outcome.verdict for outcome in back} == {Verdict.TX}


def test_a_kept_filter_spares_bystanders_and_misses_no_vip(
    responder: Responder, program: Program
) -> None:
    responder.put(VIP4)
    responder.put(VIP6)
    responder.keep_filter([VIP4, VIP6])

    for frame in (tcp4(VIP4), tcp6(VIP6), tcp4(CLIENT4), tcp6(CLIENT6)):
        responder.run(program, frame)

    assert filter_bit(CLIENT4) != filter_bit(VIP4)
    assert responder.exits() == {ExitReason.COUNTED: 2, ExitReason.OTHER: 2}


def test_a_filter_bit_left_clear_only_stops_counting(
    responder: Responder, program: Program
) -> None:
    """A loader's slip in the filter must never cost an answer."""
    responder.put(VIP4)
    responder.put(VIP6)
    responder.keep_filter([])

    responder.run(program, tcp4(VIP4))
    arp = responder.run(program, Arp().build())
    nd = responder.run(program, Nd().build())

    assert (arp.verdict, nd.verdict) == (Verdict.TX, Verdict.TX)
    assert responder.stats()["packets"] == 0
