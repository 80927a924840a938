"""Another host's kernel resolves VIPs through the plane, on every rung of the ladder."""

import pytest

from speaker.dataplane import Rung, RungReason, Voice, XdpMode
from tests.dataplane.conftest import Start
from tests.dataplane.net import Pair

pytestmark = pytest.mark.root

OURS = "02:00:00:00:00:01"
MODES = [
    pytest.param(XdpMode.NATIVE, Rung.NATIVE, RungReason.REQUESTED, id="native"),
    pytest.param(XdpMode.GENERIC, Rung.GENERIC, RungReason.REQUESTED, id="generic"),
    pytest.param(XdpMode.AUTO, Rung.GENERIC, RungReason.RUNG_UNPROVEN, id="auto"),
    pytest.param(XdpMode.TC, Rung.TCX, RungReason.REQUESTED, id="tc"),
    pytest.param(XdpMode.USERSPACE, Rung.PACKET, RungReason.REQUESTED, id="userspace"),
]


@pytest.mark.parametrize(("mode", "rung", "reason"), MODES)
def test_a_neighbour_resolves_a_held_vip(
    net: Pair, start: Start, mode: XdpMode, rung: Rung, reason: RungReason
) -> None:
    herald = start(mode)

    herald.put("192.0.2.200")
    herald.put("2001:db8::200")

    [attachment] = herald.plane.attachments()
    assert (rung, reason, "eth0", OURS) == (
        attachment.rung,
        attachment.reason,
        attachment.name,
        attachment.lladdr.hex(":"),
    )
    assert net.neighbour("192.0.2.200") == OURS
    assert net.neighbour("2001:db8::200") == OURS


def test_a_vip_held_elsewhere_is_silent_though_the_kernel_has_it(net: Pair, start: Start) -> None:
    """As with IPVS: the address is on lo, whose owner the kernel would answer for."""
    net.in_node("ip", "addr", "add", "192.0.2.201/32", "dev", "lo")
    herald = start(manage_sysctls=False)
    assert net.neighbour("192.0.2.201") == OURS

    herald.put("192.0.2.201", Voice.ELSEWHERE)

    assert net.neighbour("192.0.2.201") == ""


def test_an_address_on_lo_that_is_in_no_table_is_not_answered_by_the_kernel(
    net: Pair, start: Start
) -> None:
    """A VIP may stay on lo for its grace when no lease drops the question any more."""
    net.in_node("ip", "addr", "add", "192.0.2.201/32", "dev", "lo")

    start()

    assert net.neighbour("192.0.2.201") == ""
