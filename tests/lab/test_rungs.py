"""Rungs in a ring: `auto` proves native XDP and misses nothing; user space is watched too."""

import json
import os
import signal
from collections import Counter
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Any

import pytest

from stentor.lab import views
from stentor.lab.chaos_voices import quarrels
from stentor.lab.lab import Lab, Target
from stentor.lab.questions import arp_request
from stentor.lab.topology import Host
from tests.dataplane.net import Asker
from tests.eventually import DEADLINES, eventually
from tests.lab.conftest import MakeLab
from tests.lab.seen import in_namespace, neighbour, owner_of, settled
from tests.lab.witness import watched

pytestmark = pytest.mark.root
ASKER_LLADDR = bytes.fromhex("02005e00ff01")
ASKER = IPv4Address("192.0.2.240")
TRIALS_WITHIN_S = 90.0  # three nodes after one another, on a busy machine


def asking(lab: Lab) -> Asker:
    vip = lab.topology.vips[0][0]
    request = arp_request(vip, ASKER_LLADDR, ASKER)
    return Asker(lab.topology.client.namespace, str(vip), request)


def rungs(lab: Lab) -> "Counter[tuple[str, str]]":
    """(rung, reason) of each node's interface; nodes that do not speak are left out."""
    seen = (views.view(lab, node) for node in lab.topology.nodes)
    return Counter((at.rung, at.reason) for view in seen if view for at in view.attachments)


def events(lab: Lab, *wanted: str) -> list[dict[str, Any]]:
    """What all nodes logged under these names, by time."""
    logs = (lab.log(node).read_text() for node in lab.topology.nodes)
    lines = (line for log in logs for line in log.splitlines())
    # Whoever was killed may have left half a line.
    said = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return sorted((each for each in said if each["event"] in wanted), key=lambda each: each["ts"])


def assert_one_at_a_time(lab: Lab, end: str) -> None:
    said = events(lab, "rung_trial_begun", end)
    for begun, ended in pairwise(said):
        assert {begun["event"], ended["event"]} == {"rung_trial_begun", end}
    for begun, ended in zip(said[::2], said[1::2], strict=True):
        assert (begun["event"], begun["node"]) == ("rung_trial_begun", ended["node"])


def test_a_ring_goes_native_one_node_at_a_time_with_no_question_missed(make_lab: MakeLab) -> None:
    lab = make_lab(services=3, xdp_mode="auto")
    owners = eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="agreed")

    with asking(lab) as asker:
        eventually(
            lambda: rungs(lab),
            until=lambda seen: seen == {("native", "proven"): 3},
            within_s=TRIALS_WITHIN_S,
        )

    assert asker.missed == 0
    assert asker.asked > 0
    assert settled(lab) == owners
    assert events(lab, "node_silent", "node_accused", "lease_lost") == []
    assert_one_at_a_time(lab, "rung_proven")


def test_where_native_xdp_vanishes_a_ring_stays_generic_and_misses_nothing(
    make_lab: MakeLab,
) -> None:
    """As on plain veth, or a driver whose XDP_TX goes nowhere."""
    lab = make_lab(services=3, xdp_mode="auto")
    for node in lab.topology.nodes:
        in_switch = ("ip", "-n", lab.topology.switch, "link", "set", "dev", node.name)
        assert in_namespace(node, *in_switch, "xdpdrv", "off").returncode == 0
    owners = eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="agreed")

    with asking(lab) as asker:
        eventually(
            lambda: {said["node"] for said in events(lab, "rung_not_proven")},
            until=lambda nodes: len(nodes) == 3,
            within_s=TRIALS_WITHIN_S,
        )
        eventually(
            lambda: rungs(lab),
            until=lambda seen: seen == {("generic", "rung_unproven"): 3},
            within_s=DEADLINES.attached,
        )

    assert asker.missed == 0
    assert asker.asked > 0
    assert settled(lab) == owners
    assert events(lab, "node_silent", "node_silent_without_witness", "lease_lost") == []
    assert_one_at_a_time(lab, "rung_not_proven")


def replaced(lab: Lab, dead: Host) -> str:
    """The LLADDR that answers for the VIP once the others agree that it is not the dead one's."""
    vip = lab.topology.vips[0][0]
    others = tuple(node for node in lab.topology.nodes if node != dead)
    owner = views.holders(lab, others).agreed.get(str(vip), dead.name)
    return neighbour(lab, vip) if owner != dead.name else ""


def test_a_node_that_answers_from_user_space_is_watched_and_replaced(make_lab: MakeLab) -> None:
    lab = make_lab(services=3, xdp_mode="userspace")
    eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="agreed")
    vip = lab.topology.vips[0][0]
    owner = owner_of(lab, vip)
    assert neighbour(lab, vip) == owner.lladdr_text
    assert rungs(lab) == {("userspace", "requested"): 3}

    lab.kill(owner, Target.HOST)

    found = eventually(lambda: replaced(lab, owner), within_s=DEADLINES.failed_over)
    assert found != owner.lladdr_text
    assert owner.name in {said["name"] for said in events(lab, "node_silent")}


def test_a_stopped_herald_in_user_space_is_replaced_and_fenced(make_lab: MakeLab) -> None:
    """Nothing answers for it, neither questions nor beats, so that its lease need not end first."""
    lab = make_lab(services=3, xdp_mode="userspace")
    eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="agreed")
    vip = lab.topology.vips[0][0]
    owner = owner_of(lab, vip)
    herald = lab.process(owner, Target.HERALD)

    os.kill(herald.pid, signal.SIGSTOP)
    try:
        found = eventually(lambda: replaced(lab, owner), within_s=DEADLINES.failed_over)
        assert found != owner.lladdr_text
        assert owner.name in {said["name"] for said in events(lab, "node_silent")}
    finally:
        os.kill(herald.pid, signal.SIGCONT)

    eventually(lambda: settled(lab), within_s=DEADLINES.failed_over, what="agreed again")
    assert owner.name in {said["node"] for said in events(lab, "lease_lost")}


def test_a_killed_herald_in_user_space_comes_back_without_a_second_voice(make_lab: MakeLab) -> None:
    """It adopts seats that others have taken meanwhile, and is fenced before it says a word."""
    lab = make_lab(services=3, xdp_mode="userspace")
    eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="agreed")
    owner = owner_of(lab, lab.topology.vips[0][0])
    with watched(lab) as heard:
        heard.begin()

        lab.process(owner, Target.HERALD).kill()

        eventually(
            lambda: {said["node"] for said in events(lab, "lease_entered_again")},
            until=lambda nodes: owner.name in nodes,
            within_s=DEADLINES.failed_over,
        )
        eventually(lambda: settled(lab), within_s=DEADLINES.failed_over, what="agreed again")
        assert quarrels(heard.tape.read()) == []
