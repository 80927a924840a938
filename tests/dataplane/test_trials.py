"""Native XDP tried out on a real cable: nothing is lost, nothing counted twice."""

from ipaddress import ip_address

import pytest

from speaker.beats import ETHERTYPE, BeatRequest, Keys, encode_request
from speaker.dataplane import ApplyError, Attachment, Rung, RungReason, XdpMode, cleanup
from tests.dataplane.conftest import Herald, Start
from tests.dataplane.net import ETH_P_ARP, Asker, Pair, arp_request, client_frames, inside
from tests.eventually import DEADLINES, eventually

pytestmark = pytest.mark.root
OURS = "02:00:00:00:00:01"
NODE_LLADDR = bytes.fromhex("020000000001")
VIP = "192.0.2.200"
KEYS = Keys(bytes(range(16)))
BEAT = encode_request(
    BeatRequest(sender=77, target=0, seq=1, sent_ns=1, has_witness=True, hears=True), KEYS
)
QUESTIONS = 20


@pytest.fixture
def herald(start: Start) -> Herald:
    made = start(XdpMode.AUTO)
    made.plane.set_beat_keys(KEYS.slots, is_open=False)
    made.put(VIP)
    return made


def standing(herald: Herald) -> Attachment:
    [attachment] = herald.plane.attachments()
    return attachment


def begin(herald: Herald) -> int:
    [ifindex] = herald.plane.trials.candidates()
    herald.plane.trials.begin(ifindex)
    herald.sync()
    return ifindex


def is_reflected(net: Pair) -> bool:
    with client_frames(net, ETHERTYPE, 1.0) as wire:
        own = wire.getsockname()[4]
        wire.send(NODE_LLADDR + own + ETHERTYPE.to_bytes(2, "big") + BEAT)
        try:
            return wire.recv(2048)[6:12] == NODE_LLADDR
        except TimeoutError:
            return False


def more(asker: Asker, herald: Herald, count: int = 20) -> None:
    """Wait until so many more questions were asked; the herald beats meanwhile."""
    goal = asker.asked + count

    def asked() -> int:
        herald.beat()
        return asker.asked

    eventually(asked, until=lambda n: n >= goal, within_s=DEADLINES.answered)


def test_a_proven_interface_goes_native_with_no_question_missed(net: Pair, herald: Herald) -> None:
    with Asker(net.client, VIP) as asker:
        more(asker, herald)
        ifindex = begin(herald)
        on_trial = standing(herald)
        more(asker, herald)
        assert is_reflected(net)
        herald.plane.trials.prove(ifindex)
        herald.sync()
        more(asker, herald)

    assert (on_trial.rung, on_trial.detail) == (Rung.TCX, "native XDP on trial")
    proven = standing(herald)
    assert (proven.rung, proven.reason) == (Rung.NATIVE, RungReason.PROVEN)
    assert asker.missed == 0
    assert herald.plane.trials.candidates() == []


def test_where_native_xdp_vanishes_only_beats_do(net: Pair, herald: Herald) -> None:
    """A veth without a program at its other end."""
    net.in_client("ip", "link", "set", "dev", "eth0", "xdpdrv", "off")
    assert is_reflected(net)
    with Asker(net.client, VIP) as asker:
        more(asker, herald)
        ifindex = begin(herald)
        more(asker, herald)
        reflected_on_trial = is_reflected(net)
        herald.plane.trials.give_up(ifindex)
        herald.sync()
        more(asker, herald)

    back = standing(herald)
    assert (back.rung, back.reason) == (Rung.GENERIC, RungReason.RUNG_UNPROVEN)
    assert not reflected_on_trial
    assert asker.missed == 0
    assert is_reflected(net)


def test_no_frame_is_counted_twice_on_trial(net: Pair, herald: Herald) -> None:
    begin(herald)
    exits, vip = herald.plane.exits(), herald.plane.counters()[ip_address(VIP)]
    with client_frames(net, ETH_P_ARP, 1.0) as wire:
        own = wire.getsockname()[4]
        for _ in range(QUESTIONS):
            wire.send(arp_request(VIP))
            wire.send(NODE_LLADDR + own + b"\x08\0\x45" + bytes(15) + ip_address(VIP).packed)
    assert is_reflected(net)

    gone = {name: count - exits[name] for name, count in herald.plane.exits().items()}
    now = herald.plane.counters()[ip_address(VIP)]
    assert (gone["arp_answered"], gone["counted"]) == (QUESTIONS, QUESTIONS)
    assert gone["beat_reflected"] == 1
    assert (now.answers - vip.answers, now.packets - vip.packets) == (QUESTIONS, QUESTIONS)


def test_a_claim_on_trial_suspends_as_ever(net: Pair, herald: Herald) -> None:
    """The fence is in the same maps: what tc answers ends too."""
    begin(herald)
    claim = BeatRequest(sender=77, target=0, seq=1, sent_ns=2, has_witness=True, claimed=40)
    with client_frames(net, ETHERTYPE, 1.0) as wire:
        own = wire.getsockname()[4]
        header = NODE_LLADDR + own + ETHERTYPE.to_bytes(2, "big")
        wire.send(header + encode_request(claim, KEYS))
        wire.recv(2048)

    assert net.neighbour(VIP) == ""


def test_a_trial_ends_with_its_process_and_the_next_one_goes_on(
    net: Pair, start: Start, herald: Herald
) -> None:
    with Asker(net.client, VIP) as asker:
        begin(herald)
        more(asker, herald)
        herald.plane.close()
        second = start(XdpMode.AUTO)
        more(asker, second)

    after = standing(second)
    assert (after.rung, after.reason) == (Rung.GENERIC, RungReason.RUNG_UNPROVEN)
    assert second.plane.adopted_lease
    assert asker.missed == 0


def test_a_proof_outlives_the_process(net: Pair, start: Start, herald: Herald) -> None:
    herald.plane.trials.prove(begin(herald))
    herald.beat()
    herald.plane.close()

    second = start(XdpMode.AUTO)
    second.beat()

    after = standing(second)
    assert (after.rung, after.reason) == (Rung.NATIVE, RungReason.PROVEN)
    assert net.neighbour(VIP) == OURS


def test_a_driver_without_native_xdp_is_not_tried_again(net: Pair, start: Start) -> None:
    net.in_node("ip", "link", "set", "eth0", "down")
    net.in_node("ip", "link", "add", "st-plain", "type", "bridge")
    net.in_node("ip", "link", "set", "st-plain", "up")
    herald = start(XdpMode.AUTO)

    with pytest.raises(ApplyError):
        begin(herald)
    herald.sync()

    after = standing(herald)
    assert (after.rung, after.reason) == (Rung.GENERIC, RungReason.NOT_SUPPORTED)
    assert "native" in after.detail
    assert herald.plane.trials.candidates() == []


def test_a_lost_stand_in_ends_the_trial(net: Pair, herald: Herald) -> None:
    ifindex = begin(herald)
    # The link of the stand-in, detached by somebody else.
    post = herald.plane.trials.posts.by_ifindex[ifindex]
    herald.plane.trials.posts.libbpf.call("detach", "bpf_link_detach", post.fd)

    herald.sync()

    assert not herald.plane.trials.is_on(ifindex)
    assert standing(herald).rung is Rung.GENERIC
    assert net.neighbour(VIP) == OURS


def test_cleanup_takes_a_trial_off(net: Pair, herald: Herald) -> None:
    begin(herald)
    herald.plane.close()

    with inside(net.node):
        cleanup(net.bpffs, net.state_dir)

    assert "xdp" not in net.in_node("ip", "link", "show", "dev", "eth0")
    assert not list(net.bpffs.glob("v*"))
