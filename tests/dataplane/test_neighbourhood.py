"""VLANs, groups, events, counters: what surrounds an answer."""

import socket
import time
from ipaddress import ip_address

import attrs
import pytest

from speaker.dataplane import Link, Rung, RungReason, VipRow, Voice, XdpMode, cleanup
from speaker.dataplane.layout import EventKind
from tests.dataplane.conftest import Herald, Start
from tests.dataplane.net import ETH_P_ARP, Asker, Pair, arp_request, inside
from tests.eventually import DEADLINES, eventually

pytestmark = pytest.mark.root
OURS = "02:00:00:00:00:01"


def vlan_upper(herald: Herald) -> Link:
    """VLAN 20 on eth0, as rtnetlink would list it; this kernel may lack 8021q."""
    [eth0] = [link for link in herald.watcher.links() if link.name == "eth0"]
    return attrs.evolve(eth0, ifindex=999, name="eth0.20", kind="vlan", lower=eth0.ifindex, vlan=20)


def ask_tagged(net: Pair, vip: str, vlan: int) -> bytes:
    """Send one tagged request from the client; the tagged answer, b"" for none."""
    with inside(net.client):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind(("eth0", 3))
    sock.settimeout(1.0)
    # struct tpacket_auxdata tells of a tag that the kernel took out of the frame.
    sock.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
    with sock:
        sock.send(arp_request(vip, vlan))
        try:
            while True:
                frame, ancillary, _, _ = sock.recvmsg(2048, 256)
                tci = 0
                for _, _, data in ancillary:
                    tci = int.from_bytes(data[16:18], "little")
                if frame[12:14] == b"\x81\x00":
                    tci = int.from_bytes(frame[14:16], "big")
                    frame = frame[:12] + frame[16:]
                is_answer = frame[12:14] == ETH_P_ARP.to_bytes(2, "big") and frame[21] == 2
                if is_answer and tci == vlan:
                    return frame
        except TimeoutError:
            return b""


@pytest.mark.parametrize("mode", [XdpMode.NATIVE, XdpMode.TC, XdpMode.USERSPACE])
def test_a_vlan_upper_answers_tagged(net: Pair, start: Start, mode: XdpMode) -> None:
    herald = start(mode)
    herald.sync((vlan_upper(herald),))

    herald.put("192.0.2.200", interfaces={"eth0.20"})

    plain, tagged = herald.plane.attachments()
    assert (plain.name, plain.vlan) == ("eth0", 0)
    assert (tagged.name, tagged.vlan, tagged.ifindex) == ("eth0.20", 20, plain.ifindex)
    answer = ask_tagged(net, "192.0.2.200", 20)
    assert answer[22:28].hex(":") == OURS
    assert ask_tagged(net, "192.0.2.200", 21) == b""
    assert net.neighbour("192.0.2.200") == ""


def test_a_veth_with_an_upper_goes_to_tc_and_keeps_its_offload(net: Pair, start: Start) -> None:
    """Its other end hands tags over beside the frame, whatever rxvlan says here."""
    herald = start()
    assert {Rung.NATIVE} == {each.rung for each in herald.plane.attachments()}

    herald.sync((vlan_upper(herald),))

    assert {each.rung for each in herald.plane.attachments()} <= {Rung.TCX, Rung.CLSACT}
    assert "rx-vlan-offload: on" in net.in_node("ethtool", "-k", "eth0")


def test_rx_vlan_offload_that_stays_on_sends_us_to_tc(net: Pair, start: Start) -> None:

    herald = start(manage_sysctls=False)
    herald.put("192.0.2.200")
    assert {Rung.NATIVE} == {each.rung for each in herald.plane.attachments()}

    with Asker(net.client, "192.0.2.200") as asker:
        herald.sync((vlan_upper(herald),))
        eventually(lambda: asker.asked, until=lambda n: n > 20, within_s=DEADLINES.answered)

    assert asker.missed == 0
    assert {(Rung.TCX, RungReason.VLAN_OFFLOAD)} == {
        (each.rung, each.reason) for each in herald.plane.attachments()
    }


def test_vips_that_share_a_group_leave_it_together(net: Pair, start: Start) -> None:
    """2001:db8::200 and 2001:db8:1::200 end in the same 24 bits."""
    herald = start()
    herald.put("2001:db8::200")
    herald.put("2001:db8:1::200")

    herald.plane.remove([ip_address("2001:db8::200")])
    herald.work()
    between = net.in_node("ip", "maddr", "show", "dev", "eth0")
    herald.plane.remove([ip_address("2001:db8:1::200")])
    herald.work()
    after = net.in_node("ip", "maddr", "show", "dev", "eth0")

    assert "ff02::1:ff00:200" in between
    assert "ff02::1:ff00:200" not in after


def test_more_groups_than_the_kernel_holds_become_allmulti_with_a_warning(
    net: Pair, start: Start
) -> None:
    herald = start()
    rows = [VipRow(ip_address(f"2001:db8::{n:x}"), Voice.HELD) for n in range(0x1000, 0x2800)]

    herald.plane.put(rows)
    herald.work()

    assert any("MLD snooping" in line for line in herald.plane.take_warnings())
    assert "ALLMULTI" in net.in_node("ip", "link", "show", "eth0")
    assert net.neighbour("2001:db8::27ff") == OURS
    herald.plane.close()
    with inside(net.node):
        cleanup(net.bpffs, net.state_dir)
    assert "ALLMULTI" not in net.in_node("ip", "link", "show", "eth0")


def test_a_foreign_voice_is_an_event(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200")
    net.in_client("ip", "addr", "add", "192.0.2.200/32", "dev", "eth0")
    net.in_client("arping", "-c", "1", "-w", "1", "-A", "-I", "eth0", "192.0.2.200", check=False)

    [event] = eventually(herald.plane.read_events, within_s=DEADLINES.answered)

    assert (event.kind, event.vip, event.voice) == (
        EventKind.CONFLICT,
        ip_address("192.0.2.200"),
        Voice.HELD,
    )
    assert event.lladdr.hex(":") in net.in_client("ip", "link", "show", "eth0")


def test_a_listening_row_reports_who_else_speaks(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200", Voice.ELSEWHERE)
    herald.plane.listen([ip_address("192.0.2.200")], on=True)
    net.in_client("ip", "addr", "add", "192.0.2.200/32", "dev", "eth0")
    net.in_client("arping", "-c", "1", "-w", "1", "-A", "-I", "eth0", "192.0.2.200", check=False)

    [event] = eventually(herald.plane.read_events, within_s=DEADLINES.answered)

    assert event.kind is EventKind.HEARD


def test_counters_follow_the_vip_not_its_place(net: Pair, start: Start) -> None:
    herald = start(slots=16)
    herald.put("192.0.2.200")
    with Asker(net.client, "192.0.2.200") as asker:
        eventually(lambda: asker.asked, until=lambda n: n > 5, within_s=DEADLINES.answered)
    before = herald.plane.counters()[ip_address("192.0.2.200")]

    herald.plane.put(VipRow(ip_address(f"198.51.100.{n}"), Voice.HELD) for n in range(1, 255))
    herald.work()
    herald.plane.put(VipRow(ip_address(f"203.0.113.{n}"), Voice.HELD) for n in range(1, 255))
    herald.plane.put(VipRow(ip_address(f"2001:db8::{n:x}"), Voice.PASS) for n in range(2, 1001))
    herald.work()

    assert before.answers == asker.asked
    assert herald.plane.counters()[ip_address("192.0.2.200")] == before
    assert herald.plane.exits()["arp_answered"] == before.answers
    assert len(herald.plane.counters()) == 1 + 254 + 254 + 999


def test_a_vip_that_takes_over_an_index_starts_at_zero(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200")
    net.neighbour("192.0.2.200")
    herald.plane.remove([ip_address("192.0.2.200")])

    herald.put("192.0.2.201")

    assert herald.plane.counters()[ip_address("192.0.2.201")].requests == 0


def test_flips_while_rows_wait_are_what_is_written(net: Pair, start: Start) -> None:
    herald = start(slots=16)
    vips = [ip_address(f"192.0.2.{n}") for n in range(100, 200)]
    herald.plane.put(VipRow(vip, Voice.ELSEWHERE) for vip in vips)
    herald.plane.step(time.monotonic())

    herald.plane.speak(vips[-1], Voice.HELD)
    herald.work()

    assert net.neighbour(str(vips[-1])) == OURS
    assert net.neighbour(str(vips[0])) == ""


def test_packets_are_counted_after_growth_and_for_a_successor(net: Pair, start: Start) -> None:
    """The filter that spares bystanders the tables belongs to each loaded program."""
    herald = start(slots=16)
    net.in_client("ip", "neigh", "add", "192.0.2.200", "lladdr", OURS, "dev", "eth0")
    ping = ("ping", "-c", "1", "-W", "1", "192.0.2.200")

    net.in_client(*ping, check=False)
    assert herald.plane.exits()["counted"] == 0
    herald.put("192.0.2.200", Voice.COUNT)
    net.in_client(*ping, check=False)
    assert herald.plane.counters()[ip_address("192.0.2.200")].packets == 1

    herald.plane.put(VipRow(ip_address(f"198.51.100.{n}"), Voice.HELD) for n in range(1, 255))
    herald.work()
    net.in_client(*ping, check=False)
    assert herald.plane.counters()[ip_address("192.0.2.200")].packets == 2

    successor = start(slots=16)
    net.in_client(*ping, check=False)
    assert successor.plane.counters()[ip_address("192.0.2.200")].packets == 3
    assert successor.plane.counters()[ip_address("192.0.2.200")].bytes == 3 * 98
