"""The last rung: the herald's process runs the program on frames that it hears."""

import pytest

from speaker.beats import ETHERTYPE, BeatRequest, Keys, encode_request
from speaker.dataplane import Rung, RungReason, XdpMode, attach
from speaker.dataplane.taps import FRAMES_A_TURN
from tests.dataplane.conftest import Herald, Start
from tests.dataplane.net import ETH_P_ARP, Asker, Pair, arp_request, client_frames
from tests.eventually import DEADLINES, eventually

pytestmark = pytest.mark.root
OURS = "02:00:00:00:00:01"
NODE_LLADDR = bytes.fromhex("020000000001")
VIP = "192.0.2.200"
KEYS = Keys(bytes(range(16)))


def answered(herald: Herald) -> int:
    return herald.plane.exits()["arp_answered"]


def test_status_says_what_this_rung_cannot_do(start: Start) -> None:
    [attachment] = start(XdpMode.USERSPACE).plane.attachments()

    assert (attachment.rung, attachment.reason) == (Rung.PACKET, RungReason.REQUESTED)
    assert "not dropped" in attachment.detail
    assert "not counted" in attachment.detail


def test_arping_and_ndisc6_are_answered(net: Pair, start: Start) -> None:
    herald = start(XdpMode.USERSPACE)
    herald.put(VIP)
    herald.put("2001:db8::200")

    arping = net.in_client("arping", "-c", "2", "-w", "3", "-I", "eth0", VIP, check=False)
    ndisc6 = net.in_client("ndisc6", "-1", "2001:db8::200", "eth0", check=False)

    assert OURS in arping.lower()
    assert OURS in ndisc6.lower()
    assert herald.plane.packet_counts() == {}


@pytest.fixture
def taken_hooks(net: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a kernel without tcx, whose two hooks others hold."""
    ladder = (Rung.GENERIC, Rung.CLSACT, Rung.PACKET)
    monkeypatch.setitem(attach._LADDERS, XdpMode.AUTO, ladder)
    of_xdp, of_tc = (("obj", str(net.pass_object), "sec", each) for each in ("xdp", "tc"))
    net.in_node("ip", "link", "set", "dev", "eth0", "xdpgeneric", *of_xdp)
    net.in_node("tc", "qdisc", "add", "dev", "eth0", "clsact")
    net.in_node("tc", "filter", "add", "dev", "eth0", "ingress", "prio", "83", "handle", "1",
                "bpf", "da", *of_tc)  # fmt: skip


@pytest.mark.usefixtures("taken_hooks")
def test_auto_ends_here_when_others_hold_every_hook(net: Pair, start: Start) -> None:
    herald = start(XdpMode.AUTO)
    herald.put(VIP)

    [attachment] = herald.plane.attachments()
    assert (attachment.rung, attachment.reason) == (Rung.PACKET, RungReason.FOREIGN_PROGRAM)
    assert "XDP program" in attachment.detail
    with herald.turning():
        assert net.neighbour(VIP) == OURS
    assert "st_filter" in net.in_node("tc", "filter", "show", "dev", "eth0", "ingress")


@pytest.mark.usefixtures("taken_hooks")
def test_a_hook_that_becomes_free_is_climbed_to_with_no_question_missed(
    net: Pair, start: Start
) -> None:
    herald = start(XdpMode.AUTO)
    herald.put(VIP)
    with herald.turning():
        assert net.neighbour(VIP) == OURS
        with Asker(net.client, VIP) as asker:
            herald.sync()
            [before] = herald.plane.attachments()
            net.in_node("ip", "link", "set", "dev", "eth0", "xdpgeneric", "off")
            herald.sync()
            [after] = herald.plane.attachments()
            reached = asker.asked
            eventually(
                lambda: asker.asked, until=lambda n: n > reached + 20, within_s=DEADLINES.answered
            )

    assert (before.rung, after.rung) == (Rung.PACKET, Rung.GENERIC)
    assert asker.missed == 0


def test_a_stopped_herald_obeys_the_fence_before_it_answers(net: Pair, start: Start) -> None:
    """What was asked while it stood still came before the claim, and is not answered after it."""
    herald = start(XdpMode.USERSPACE)
    herald.plane.set_beat_keys(KEYS.slots, is_open=False)
    herald.put(VIP)
    assert net.neighbour(VIP) == OURS
    before = answered(herald)
    claim = BeatRequest(sender=77, target=0, seq=1, sent_ns=1, has_witness=True, claimed=40)

    with client_frames(net, ETH_P_ARP, 0.3) as client:
        own = client.getsockname()[4]
        with herald.lock:  # its loop does not turn
            for _ in range(5):
                client.send(arp_request(VIP))
            header = NODE_LLADDR + own + ETHERTYPE.to_bytes(2, "big")
            client.send(header + encode_request(claim, KEYS))
        eventually(
            lambda: herald.plane.exits()["arp_silent"],
            until=lambda n: n == 5,
            within_s=DEADLINES.answered,
        )

    assert answered(herald) == before


def test_a_new_tap_hears_beats_before_it_answers_questions(net: Pair, start: Start) -> None:
    """Nobody reflected while there was none, so that others may have fenced us."""
    herald = start(XdpMode.USERSPACE)
    herald.put(VIP)
    with herald.lock, client_frames(net, ETH_P_ARP, 0.3) as client:
        net.in_node("ip", "link", "set", "eth0", "down")
        herald.sync()
        net.in_node("ip", "link", "set", "eth0", "up")
        herald.sync()
        herald.plane.put(())
        client.send(arp_request(VIP))
        herald.plane.answer_packets()

        assert answered(herald) == 0

    eventually(lambda: answered(herald), within_s=DEADLINES.answered)


def test_a_turn_is_bounded_and_the_rest_waits(net: Pair, start: Start) -> None:
    herald = start(XdpMode.USERSPACE)
    herald.put(VIP)
    assert net.neighbour(VIP) == OURS
    with herald.lock, client_frames(net, ETH_P_ARP, 0.3) as client:
        before = answered(herald)
        for _ in range(3 * FRAMES_A_TURN):
            client.send(arp_request(VIP))
        herald.plane.answer_packets()

        assert answered(herald) - before == FRAMES_A_TURN

    eventually(
        lambda: answered(herald) - before,
        until=lambda n: n == 3 * FRAMES_A_TURN,
        within_s=DEADLINES.answered,
    )


def test_garbage_and_huge_frames_do_no_harm(net: Pair, start: Start) -> None:
    """Cut, stretched and senseless frames of every kind that is heard."""
    herald = start(XdpMode.USERSPACE)
    herald.put(VIP)
    net.in_node("ip", "link", "set", "eth0", "mtu", "3000")
    net.in_client("ip", "link", "set", "eth0", "mtu", "3000")
    kinds = [(ETH_P_ARP).to_bytes(2, "big"), ETHERTYPE.to_bytes(2, "big"), b"\x86\xdd", b"\x08\0"]
    with client_frames(net, ETH_P_ARP, 0.3) as client:
        for kind in kinds:
            for size in (0, 1, 27, 28, 40, 96, 1500, 2040, 2900):
                client.send(b"\xff" * 6 + NODE_LLADDR[:5] + b"\x99" + kind + b"\x3a" * size)
            client.send(arp_request(VIP) + bytes(2900))

    assert net.neighbour(VIP) == OURS
    assert herald.beat() == 0
    assert herald.plane.packet_counts() == {}


def test_an_interface_that_goes_and_comes_is_answered_again(net: Pair, start: Start) -> None:
    herald = start(XdpMode.USERSPACE)
    herald.put(VIP)
    net.add_link("eth1", "02:00:00:00:00:02")
    herald.sync()
    net.in_node("ip", "link", "del", "eth1")
    herald.sync()

    assert [each.name for each in herald.plane.attachments()] == ["eth0"]
    net.in_node("ip", "link", "set", "eth0", "down")
    net.in_node("ip", "link", "set", "eth0", "up")
    herald.sync()
    assert net.neighbour(VIP) == OURS


def test_nothing_is_answered_while_no_process_turns(net: Pair, start: Start) -> None:
    herald = start(XdpMode.USERSPACE)
    herald.put(VIP)
    assert net.neighbour(VIP) == OURS

    with herald.lock:
        assert net.neighbour(VIP) == ""

    assert net.neighbour(VIP) == OURS
