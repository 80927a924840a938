"""The lowest rung, for kernels before 6.6: a tc filter of a clsact qdisc, which no link holds."""

import pytest

from speaker.dataplane import Rung, XdpMode, attach, cleanup
from tests.dataplane.conftest import Start
from tests.dataplane.net import Asker, Pair, inside
from tests.eventually import DEADLINES, eventually

pytestmark = pytest.mark.root
OURS = "02:00:00:00:00:01"


@pytest.fixture(autouse=True)
def no_tcx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(attach._LADDERS, XdpMode.TC, (Rung.CLSACT,))


def filters(net: Pair) -> str:
    return net.in_node("tc", "filter", "show", "dev", "eth0", "ingress")


def test_a_neighbour_resolves_a_held_vip(net: Pair, start: Start) -> None:
    herald = start(XdpMode.TC)

    herald.put("192.0.2.200")

    assert [each.rung for each in herald.plane.attachments()] == [Rung.CLSACT]
    assert net.neighbour("192.0.2.200") == OURS


def test_a_successor_swaps_the_filter_without_an_answer_missed(net: Pair, start: Start) -> None:
    first = start(XdpMode.TC)
    first.put("192.0.2.200")

    with Asker(net.client, "192.0.2.200") as asker:
        second = start(XdpMode.TC)
        second.beat()
        eventually(lambda: asker.asked, until=lambda n: n > 50, within_s=DEADLINES.answered)

    assert second.plane.adopted_lease
    assert asker.missed == 0
    assert filters(net).count("direct-action") == 1


def test_a_removed_filter_is_put_back(net: Pair, start: Start) -> None:
    herald = start(XdpMode.TC)
    herald.put("192.0.2.200")
    net.in_node("tc", "filter", "del", "dev", "eth0", "ingress")
    assert net.neighbour("192.0.2.200") == ""

    herald.sync()

    assert net.neighbour("192.0.2.200") == OURS


def test_a_foreign_filter_in_our_place_stays(net: Pair, start: Start) -> None:
    net.in_node("tc", "qdisc", "add", "dev", "eth0", "clsact")
    net.in_node(
        "tc", "filter", "add", "dev", "eth0", "ingress", "prio", "83", "handle", "1", "bpf", "da",
        "obj", str(net.pass_object), "sec", "tc",
    )  # fmt: skip
    before = filters(net)
    assert "st_filter" in before

    herald = start(XdpMode.TC)
    herald.plane.close()
    with inside(net.node):
        cleanup(net.bpffs, net.state_dir)

    assert filters(net) == before
    assert "clsact" in net.in_node("tc", "qdisc", "show", "dev", "eth0")


def test_cleanup_removes_filter_and_qdisc(net: Pair, start: Start) -> None:
    herald = start(XdpMode.TC)
    herald.put("192.0.2.200")
    assert "direct-action" in filters(net)
    herald.plane.close()

    with inside(net.node):
        cleanup(net.bpffs, net.state_dir)

    assert filters(net) == ""
    assert "clsact" not in net.in_node("tc", "qdisc", "show", "dev", "eth0")
