"""VIPs move when their owner cannot speak, and come back."""

import pytest

from stentor.lab import client
from stentor.lab.lab import Lab, Target
from tests.eventually import DEADLINES, eventually
from tests.lab.seen import moved_from, neighbour, owner_of, settled

pytestmark = pytest.mark.root


@pytest.mark.parametrize("silently", [False, True], ids=["cable_pulled", "switch_port_dead"])
def test_a_node_off_the_segment_is_replaced_and_returns(trio: Lab, *, silently: bool) -> None:
    """With the carrier on, only its silence tells."""
    vip = trio.topology.vips[0][0]
    owners = settled(trio)
    owner = owner_of(trio, vip)

    trio.cut(owner, silently=silently)
    try:
        now = eventually(
            lambda: moved_from(trio, owner.name), within_s=DEADLINES.failed_over, what="taken over"
        )
        assert trio.topology.node(now[str(vip)]).lladdr_text == neighbour(trio, vip)
        stayed = {name: node for name, node in owners.items() if node != owner.name}
        assert stayed == {name: now[name] for name in stayed}
    finally:
        trio.heal(owner)

    back = eventually(lambda: settled(trio), within_s=DEADLINES.failed_over, what="agreed again")
    expected = trio.topology.node(back[str(vip)]).lladdr_text
    eventually(
        lambda: client.answers(trio, vip), until=lambda heard: heard == (expected,), within_s=20.0
    )


def test_the_vips_of_a_dead_host_are_taken_over(trio: Lab) -> None:
    vip = trio.topology.vips[0][1]
    owner = owner_of(trio, vip)

    trio.kill(owner, Target.HOST)
    try:
        now = eventually(
            lambda: moved_from(trio, owner.name), within_s=DEADLINES.failed_over, what="taken over"
        )
        assert trio.topology.node(now[str(vip)]).lladdr_text == neighbour(trio, vip)
    finally:
        trio.heal(owner)

    eventually(lambda: settled(trio), within_s=DEADLINES.failed_over, what="agreed again")
