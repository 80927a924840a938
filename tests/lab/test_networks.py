"""Gossip on a network of its own: a failed network moves what it carries, and nothing else."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from speaker.beats import ETHERTYPE
from stentor.lab import client, views
from stentor.lab.lab import Lab
from stentor.lab.topology import INTERFACE, MANAGEMENT, Host, Topology
from tests.eventually import DEADLINES, eventually
from tests.lab.conftest import fresh_directory, prefix, running
from tests.lab.seen import neighbour, owner_of, settled

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def apart() -> Iterator[Lab]:
    """Three nodes with a management network, agreed on who owns the VIPs of three Services."""
    topology = Topology(3, prefix(), fresh_directory(), services=3, management=True)
    with running(topology) as lab:
        eventually(
            lambda: min(counted(lab, "beats_reflected")),
            until=lambda count: count > 40,
            within_s=DEADLINES.ring_joined,
            what="beats reflected",
        )
        yield lab


def counted(lab: Lab, counter: str) -> list[int]:
    """A counter of every node's herald."""
    found = [views.counters(lab, node) for node in lab.topology.nodes]
    return [0 if each is None else each.herald.get(counter, 0) for each in found]


def states(lab: Lab, of: Host) -> set[str]:
    """What memberlist makes of a node, on the others."""
    others = [view for n in lab.topology.nodes if n != of and (view := views.view(lab, n))]
    return {member.state for view in others for member in view.members if member.name == of.name}


def test_a_node_off_the_management_network_keeps_its_vips(apart: Lab) -> None:
    """memberlist declares it dead; its program reflects beats, so it is not."""
    vip = apart.topology.vips[0][0]
    owners = settled(apart)
    owner = owner_of(apart, vip)

    apart.cut(owner, silently=True, interface=MANAGEMENT)
    eventually(
        lambda: states(apart, owner),
        until=lambda seen: "alive" not in seen and "suspect" not in seen,
        within_s=DEADLINES.failed_over,
        what="dead to memberlist",
    )

    assert client.answers(apart, vip) == (owner.lladdr_text,)
    now = views.holders(apart)
    assert {name: now.of(name) for name in owners} == owners

    apart.heal(owner)
    eventually(
        lambda: states(apart, owner) == {"alive"}, within_s=DEADLINES.failed_over, what="back"
    )
    assert settled(apart) == owners
    assert client.answers(apart, vip) == (owner.lladdr_text,)


def test_a_node_off_the_vip_segment_is_replaced_though_its_gossip_is_heard(apart: Lab) -> None:
    vip = apart.topology.vips[0][0]
    owners = settled(apart)
    owner = owner_of(apart, vip)

    apart.cut(owner, silently=True, interface=INTERFACE)
    now = eventually(
        lambda: without(apart, owner), within_s=DEADLINES.failed_over, what="taken over"
    )

    assert apart.topology.node(now[str(vip)]).lladdr_text == neighbour(apart, vip)
    assert states(apart, owner) == {"alive"}
    stayed = {name: node for name, node in owners.items() if node != owner.name}
    assert stayed == {name: now[name] for name in stayed}

    apart.heal(owner)
    back = eventually(lambda: settled(apart), within_s=DEADLINES.failed_over, what="agreed again")
    assert back == owners
    eventually(
        lambda: client.answers(apart, vip),
        until=lambda heard: heard == (owner.lladdr_text,),
        within_s=DEADLINES.answered,
    )


def without(lab: Lab, gone: Host) -> dict[str, str]:
    """VIP -> owner once all other nodes agree on owners other than `gone`; else empty."""
    now = views.holders(lab, tuple(node for node in lab.topology.nodes if node != gone))
    whole = not now.silent and len(now.agreed) == 2 * len(lab.topology.vips)
    return now.agreed if whole and gone.name not in now.agreed.values() else {}


@contextmanager
def without_ethertype(lab: Lab) -> Iterator[None]:
    """The switch drops frames of an EtherType that it does not know."""
    enter = ["ip", "netns", "exec", lab.topology.switch, "nft"]
    lines = (
        "table bridge st {",
        "chain beats {",
        "type filter hook forward priority 0;",
        f"ether type {ETHERTYPE:#06x} drop",
        "}",
        "}\n",
    )
    subprocess.run([*enter, "-f", "-"], input="\n".join(lines), text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*enter, "delete", "table", "bridge", "st"], check=True)


def test_where_the_switch_drops_the_ethertype_beats_go_by_udp(apart: Lab) -> None:
    owners = settled(apart)
    victim = owner_of(apart, apart.topology.vips[0][0])

    with without_ethertype(apart):
        eventually(
            lambda: min(counted(apart, "beats_reflected_udp")),
            until=lambda count: count > 40,
            within_s=DEADLINES.failed_over,
            what="beats reflected by UDP",
        )
        assert settled(apart) == owners

        apart.cut(victim, silently=True, interface=INTERFACE)
        eventually(
            lambda: without(apart, victim), within_s=DEADLINES.failed_over, what="taken over"
        )
        assert states(apart, victim) == {"alive"}
        apart.heal(victim)
        eventually(lambda: settled(apart), within_s=DEADLINES.failed_over, what="agreed again")
