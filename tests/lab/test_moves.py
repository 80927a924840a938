"""VIPs move when their owner cannot speak, and come back."""

import pytest
import yaml

from speaker.herald.frames import Vip
from stentor.lab import client, views
from stentor.lab.lab import Lab, Target
from tests.eventually import DEADLINES, eventually
from tests.lab.conftest import MakeLab
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


def plans_taken(lab: Lab) -> list[int]:
    """How many plans each herald has taken from its agent."""
    return [lab.log(node).read_text().count('"plan_taken"') for node in lab.topology.nodes]


def annotate(lab: Lab, vip: Vip, notes: dict[str, str]) -> None:
    """Give the Service of a VIP annotations, and wait until every herald has a plan by them."""
    path, before = lab.manifests / "services.yaml", plans_taken(lab)
    services = list(yaml.safe_load_all(path.read_text()))
    for service in services:
        if {"ip": str(vip)} in service["status"]["loadBalancer"]["ingress"]:
            service["metadata"]["annotations"] = notes
    path.write_text(yaml.safe_dump_all(services))
    eventually(
        lambda: all(now > then for now, then in zip(plans_taken(lab), before, strict=True)),
        within_s=DEADLINES.file_seen,
        what="plan by the annotation",
    )


def test_a_vip_with_failback_never_stays_where_it_went(make_lab: MakeLab) -> None:
    """Another VIP of the node that was away tells when it has got back what it may."""
    lab = make_lab(count=2, services=3)
    owners = eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="agreed")
    owner, other = lab.topology.nodes
    stays, returns = [v4 for v4, _ in lab.topology.vips if owners[str(v4)] == owner.name]
    annotate(lab, stays, {"stentor.io/failback": "never"})

    lab.kill(owner, Target.HOST)
    eventually(
        lambda: views.holders(lab, (other,)).of(str(stays)),
        until=lambda name: name == other.name,
        within_s=DEADLINES.failed_over,
    )
    lab.heal(owner)
    eventually(
        lambda: views.holders(lab).of(str(returns)),
        until=lambda name: name == owner.name,
        within_s=DEADLINES.failed_over,
    )

    assert views.holders(lab).of(str(stays)) == other.name
    assert other.lladdr_text == neighbour(lab, stays)
