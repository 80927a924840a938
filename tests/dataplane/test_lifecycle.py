"""What stays and what goes when processes, interfaces and other people's programs come and go."""

import json
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import attrs
import pytest

from speaker.dataplane import Rung, RungReason, VipRow, Voice, XdpMode, cleanup
from speaker.dataplane.layout import LAYOUT_VERSION
from speaker.dataplane.libbpf import Libbpf
from tests.dataplane.conftest import Start, started
from tests.dataplane.net import Asker, Pair, inside, run
from tests.eventually import DEADLINES, eventually

pytestmark = pytest.mark.root

OURS = "02:00:00:00:00:01"
ROOT = Path(__file__).parents[2]

# A herald in a process of its own, which answers once and is gone without a word.
ANOTHER_PROCESS = """
import sys, time
from ipaddress import ip_address
from pathlib import Path
from speaker.dataplane import *
from speaker.dataplane.watcher import Watcher
plane = DataPlane.open(
    Options(bpffs=Path(sys.argv[1]), state_dir=Path(sys.argv[2]), mode=XdpMode(sys.argv[3]),
            excludes=()),
    instance_id=7, generation=1, now_ns=time.monotonic_ns())
plane.sync([l for l in Watcher.open().links() if l.name == "eth0"], now_ns=time.monotonic_ns())
plane.enter(now_ns=time.monotonic_ns())
plane.put([VipRow(ip_address(sys.argv[4]), Voice.HELD)])
while plane.step(time.monotonic()): pass
plane.hold(now_ns=time.monotonic_ns())
print([a.rung.value for a in plane.attachments()], flush=True)
import os; os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("mode", [XdpMode.NATIVE, XdpMode.GENERIC, XdpMode.TC])
def test_a_killed_process_is_succeeded_without_an_answer_missed(
    net: Pair, start: Start, mode: XdpMode
) -> None:
    words = ["ip", "netns", "exec", net.node, sys.executable, "-c", ANOTHER_PROCESS,
             str(net.bpffs), str(net.state_dir), mode, "192.0.2.200"]  # fmt: skip
    died = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert died.returncode == -9, died.stderr
    assert net.neighbour("192.0.2.200") == OURS

    with Asker(net.client, "192.0.2.200") as asker:
        herald = start(mode)
        herald.work()
        eventually(lambda: asker.asked, until=lambda n: n > 50, within_s=DEADLINES.answered)

    assert herald.plane.adopted_lease
    assert herald.plane.adopted == (VipRow(ip_address("192.0.2.200"), Voice.HELD),)
    assert asker.missed == 0


def test_the_successor_keeps_counters_and_epoch(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200")
    net.neighbour("192.0.2.200")
    [before] = herald.plane.cells()
    asked = herald.plane.counters()[ip_address("192.0.2.200")].requests

    successor = start()

    [after] = successor.plane.cells()
    assert asked >= 1
    assert asked == successor.plane.counters()[ip_address("192.0.2.200")].requests
    assert before.epoch == after.epoch


def test_a_successor_after_the_lease_holds_nothing(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200")
    herald.plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=1)
    assert net.neighbour("192.0.2.200") == ""

    successor = start()

    assert not successor.plane.adopted_lease
    assert [row.voice for row in successor.plane.adopted] == [Voice.HELD]
    [cell] = successor.plane.cells()
    assert cell.epoch == 2


@pytest.mark.parametrize(
    ("mode", "rung"), [(XdpMode.NATIVE, Rung.TCX), (XdpMode.GENERIC, Rung.TCX)]
)
def test_a_foreign_xdp_program_stays_and_we_go_a_rung_lower(
    net: Pair, start: Start, mode: XdpMode, rung: Rung
) -> None:
    net.in_node(
        "ip", "link", "set", "dev", "eth0", "xdpdrv", "obj", str(net.pass_object), "sec", "xdp"
    )
    foreign = json.loads(net.in_node("ip", "-j", "link", "show", "eth0"))[0]["xdp"]["prog"]["id"]

    herald = start(mode)
    herald.put("192.0.2.200")

    [attachment] = herald.plane.attachments()
    assert (rung, RungReason.FOREIGN_PROGRAM) == (attachment.rung, attachment.reason)
    assert f"XDP program {foreign} " in attachment.detail
    now = json.loads(net.in_node("ip", "-j", "link", "show", "eth0"))[0]["xdp"]["prog"]["id"]
    assert foreign == now
    assert net.neighbour("192.0.2.200") == OURS


def test_we_climb_when_the_foreign_program_goes(net: Pair, start: Start) -> None:
    net.in_node(
        "ip", "link", "set", "dev", "eth0", "xdpdrv", "obj", str(net.pass_object), "sec", "xdp"
    )
    herald = start()
    herald.put("192.0.2.200")
    net.in_node("ip", "link", "set", "dev", "eth0", "xdpdrv", "off")

    assert herald.sync()

    [attachment] = herald.plane.attachments()
    assert (attachment.rung, attachment.reason) == (Rung.NATIVE, RungReason.REQUESTED)
    assert net.neighbour("192.0.2.200") == OURS


@pytest.mark.parametrize("mode", [XdpMode.NATIVE, XdpMode.TC])
def test_when_somebody_detaches_us_we_attach_again(net: Pair, start: Start, mode: XdpMode) -> None:
    herald = start(mode)
    herald.put("192.0.2.200")
    [pin] = (net.bpffs / f"v{LAYOUT_VERSION}" / "links").iterdir()
    libbpf = Libbpf()
    link = libbpf.get(pin)
    libbpf.call("detach", "bpf_link_detach", link)
    assert net.neighbour("192.0.2.200") == ""

    herald.sync()

    assert net.neighbour("192.0.2.200") == OURS


def test_a_removed_pin_is_pinned_again(net: Pair, start: Start) -> None:
    herald = start()
    [pin] = (net.bpffs / f"v{LAYOUT_VERSION}" / "links").iterdir()
    pin.unlink()

    herald.sync()

    assert pin.exists()


def test_an_interface_that_goes_takes_its_link_and_cell_along(net: Pair, start: Start) -> None:
    net.add_link("eth1", "02:00:00:00:00:02")
    herald = start()
    herald.put("192.0.2.200")
    assert [each.name for each in herald.plane.attachments()] == ["eth0", "eth1"]
    net.in_node("ip", "link", "del", "eth1")

    assert herald.sync()
    herald.work()

    assert [each.name for each in herald.plane.attachments()] == ["eth0"]
    assert len(list((net.bpffs / f"v{LAYOUT_VERSION}" / "links").iterdir())) == 1
    assert len(herald.plane.cells()) == 1


def test_an_interface_that_appears_answers(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200", interfaces={"eth1"})
    assert net.neighbour("192.0.2.200") == ""
    net.add_link("eth1", "02:00:00:00:00:02")
    net.in_client("ip", "addr", "add", "192.0.2.2/24", "dev", "eth1")

    assert herald.sync()
    herald.work()

    assert net.neighbour("192.0.2.200", "eth1") == "02:00:00:00:00:02"
    assert net.neighbour("192.0.2.200", "eth0") == ""


def test_a_changed_lladdr_is_what_is_answered(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200")
    net.in_node("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")

    assert herald.sync()
    herald.work()

    assert net.neighbour("192.0.2.200") == "02:00:00:00:00:99"


def test_growth_under_way_answers_all_the_time(net: Pair, start: Start) -> None:
    """Past 16 slots; the larger program replaces the first on the same link."""
    herald = start(slots=16)
    herald.put("192.0.2.200")
    [pin] = (net.bpffs / f"v{LAYOUT_VERSION}" / "links").iterdir()
    rows = [VipRow(ip_address(f"198.51.100.{n}"), Voice.HELD) for n in range(1, 200)]
    rows += [VipRow(ip_address(f"2001:db8::{n:x}"), Voice.ELSEWHERE) for n in range(1, 200)]
    herald.plane.put(rows)

    with Asker(net.client, "192.0.2.200") as asker:
        steps = 0
        while herald.plane.step(time.monotonic()):
            steps += 1
        eventually(lambda: asker.asked, until=lambda n: n > 50, within_s=DEADLINES.answered)

    assert steps > 5
    assert asker.missed == 0
    assert [pin] == list((net.bpffs / f"v{LAYOUT_VERSION}" / "links").iterdir())
    net.in_client("ip", "route", "add", "198.51.100.0/24", "dev", "eth0")
    assert net.neighbour("198.51.100.199") == OURS
    assert net.neighbour("192.0.2.200") == OURS
    assert herald.plane.counters()[ip_address("192.0.2.200")].requests >= 1
    successor = start(slots=16)
    assert len(successor.plane.adopted) == 399


def test_cleanup_leaves_nothing(net: Pair, start: Start) -> None:
    net.in_node("sysctl", "-qw", "net.ipv4.conf.eth0.arp_announce=1")
    eventually(
        lambda: net.in_node("ip", "-6", "addr", "show", "dev", "eth0", "scope", "link"),
        until=lambda text: "fe80" in text and "tentative" not in text,
        within_s=DEADLINES.answered,
    )
    before = net.in_node("ip", "addr", "show", "dev", "eth0")
    herald = start(XdpMode.GENERIC)
    herald.put("2001:db8::200")
    assert "ff02::1:ff00:200/128" in net.in_node("ip", "addr", "show", "dev", "eth0")
    assert net.in_node("sysctl", "-n", "net.ipv4.conf.eth0.arp_announce") == "2\n"
    assert net.in_node("sysctl", "-n", "net.ipv4.conf.eth0.arp_ignore") == "1\n"
    herald.plane.close()

    with inside(net.node):
        first = cleanup(net.bpffs, net.state_dir)
        second = cleanup(net.bpffs, net.state_dir)

    assert any("multicast group ff02::1:ff00:200" in line for line in first)
    assert second == ()
    assert list(net.bpffs.glob("v*")) == []
    assert list(net.state_dir.iterdir()) == []
    assert before == net.in_node("ip", "addr", "show", "dev", "eth0")
    assert net.in_node("sysctl", "-n", "net.ipv4.conf.eth0.arp_announce") == "1\n"
    assert net.in_node("sysctl", "-n", "net.ipv4.conf.eth0.arp_ignore") == "0\n"
    assert "xdp" not in net.in_node("ip", "link", "show", "eth0")


def test_another_mode_moves_what_an_earlier_process_attached(net: Pair, start: Start) -> None:
    herald = start(XdpMode.TC)
    herald.put("192.0.2.200")

    successor = start(XdpMode.NATIVE)

    [attachment] = successor.plane.attachments()
    assert (attachment.rung, attachment.reason) == (Rung.NATIVE, RungReason.REQUESTED)
    assert len(list((net.bpffs / f"v{LAYOUT_VERSION}" / "links").iterdir())) == 1
    assert net.neighbour("192.0.2.200") == OURS


def test_two_planes_at_once_are_told_apart_by_their_directories(
    net: Pair, start: Start, tmp_path: Path
) -> None:
    """Another speaker's program is foreign to us: it stays, and we stand a rung lower."""
    first = start()
    other = tmp_path / "bpf2"
    other.mkdir()
    run("mount", "-t", "bpf", "bpf", str(other))
    try:
        options = first.plane.options
        options = attrs.evolve(options, bpffs=other, state_dir=tmp_path / "state2")
        with started(net, options) as second:
            [attachment] = second.plane.attachments()
            assert RungReason.FOREIGN_PROGRAM is attachment.reason
            assert Rung.TCX is attachment.rung
    finally:
        run("umount", str(other), check=False)


def test_a_broken_state_file_stops_no_answer(net: Pair, start: Start) -> None:
    net.state_dir.mkdir()
    (net.state_dir / "dataplane.json").write_text("{")

    herald = start()
    herald.put("192.0.2.200")

    assert any("remove it to go on" in line for line in herald.plane.take_warnings())
    assert net.neighbour("192.0.2.200") == OURS
