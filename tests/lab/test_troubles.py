"""Nodes freeze, die together and come back together; the network cuts, filters and floods them."""

import time

import attrs
import pytest

from stentor.lab import views
from stentor.lab.lab import STOP_WITHIN_S, Lab, Target
from stentor.lab.secret import key_flags
from stentor.lab.topology import Host
from tests.eventually import DEADLINES, eventually
from tests.lab.seen import events, exits, moved_from
from tests.lab.trouble import FLOOD_RATE, flooded, frozen, one_way, udp_filtered
from tests.lab.witness import Watched

pytestmark = pytest.mark.root


def owner(keyed: Watched, owners: dict[str, str]) -> Host:
    """The node that owns the first VIP."""
    return keyed.lab.topology.node(owners[str(keyed.lab.topology.vips[0][0])])


def taken_over(lab: Lab, *victims: Host) -> dict[str, str]:
    """VIP -> owner once the other nodes hold all that the victims held."""
    return eventually(
        lambda: moved_from(lab, *(node.name for node in victims)),
        within_s=DEADLINES.failed_over,
        what="taken over",
    )


def pass_time(seconds: float) -> None:
    """Let time pass in which nothing is to be seen: that is what the caller looks at afterwards."""
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= until, within_s=2 * seconds)


@pytest.mark.parametrize("for_s", [0.0, pytest.param(20.0, marks=pytest.mark.long)])
def test_a_peer_frozen_whole_takes_nothing_back_by_itself_when_it_thaws(
    keyed: Watched, for_s: float
) -> None:
    """Frozen until its lease is over and others have taken its VIPs, and so long beyond."""
    lab, owners = keyed.lab, keyed.begin()
    victim = owner(keyed, owners)
    before = len(events(lab, victim, "seats_taken"))

    with frozen(victim):
        taken_over(lab, victim)
        if for_s:
            pass_time(for_s)

    assert keyed.begin() == owners
    assert {entry["why"] for entry in events(lab, victim, "seats_taken")[before:]} == {"given"}
    assert keyed.endless() == []


def test_a_host_that_reboots_at_once_is_no_longer_its_former_self(keyed: Watched) -> None:
    """
    Its former self was fenced, and the claims of that go on: they must not silence the new one.

    It has forgotten its cells, so only the time of day puts its epoch above theirs. Nothing here
    waits for its lease (3 s) to end; whether the boot is faster depends on the machine.
    """
    lab, owners = keyed.lab, keyed.begin()
    victim = owner(keyed, owners)
    lost, taken = (len(events(lab, victim, name)) for name in ("lease_lost", "seats_taken"))

    lab.kill(victim, Target.HOST)
    taken_over(lab, victim)
    former = epochs_found_silent(lab, victim)
    lab.heal(victim)

    assert keyed.begin() == owners
    assert {entry["why"] for entry in events(lab, victim, "seats_taken")[taken:]} == {"given"}
    # A busy machine may silence it once more: that is a verdict on its new epoch.
    suspended = [e for e in events(lab, victim, "lease_lost")[lost:] if e["suspended"]]
    assert former
    assert not suspended or epochs_found_silent(lab, victim) > former
    assert keyed.endless() == []


def epochs_found_silent(lab: Lab, victim: Host) -> set[int]:
    """The epochs of a node on which the others have logged a verdict."""
    others = (node for node in lab.topology.nodes if node != victim)
    entries = (entry for node in others for entry in events(lab, node, "node_silent"))
    return {entry["epoch"] for entry in entries if entry["name"] == victim.name}


@pytest.mark.parametrize("verdict", ["drop", "reject"])
@pytest.mark.parametrize("ports", ["7946", "7947"])
def test_filtered_datagrams_move_no_vip(keyed: Watched, ports: str, verdict: str) -> None:
    """Beats go on in frames, and members ping by TCP."""
    owners = keyed.begin()
    victim = owner(keyed, owners)

    with udp_filtered(victim, ports, verdict):
        pass_time(3.0)
        assert keyed.voices() == keyed.only(owners)

    assert keyed.begin() == owners


@pytest.mark.parametrize("direction", ["iifname", "oifname"], ids=["mute", "deaf"])
def test_a_node_cut_off_one_way_is_replaced_and_comes_back(keyed: Watched, direction: str) -> None:
    lab, owners = keyed.lab, keyed.begin()
    victim = owner(keyed, owners)

    with one_way(lab, victim, direction):
        taken_over(lab, victim)

    keyed.tape.rewind()
    eventually(lambda: views.view(lab, victim), within_s=DEADLINES.answered)
    assert keyed.begin() == owners
    assert keyed.endless() == []


def test_garbage_from_the_segment_hinders_no_failover(keyed: Watched) -> None:
    """Beats, ARP and gossip, 10,000 of each a second, at a node that has to take over."""
    lab, owners = keyed.lab, keyed.begin()
    victim = owner(keyed, owners)
    heir = next(node for node in lab.topology.nodes if node != victim)

    refused = exits(lab, heir, "beat_refused")
    with flooded(lab, heir):
        eventually(
            lambda: exits(lab, heir, "beat_refused") - refused,
            until=lambda garbage: garbage > FLOOD_RATE,
            within_s=DEADLINES.process_up,
        )
        lab.cut(victim, silently=True)
        try:
            now = taken_over(lab, victim)
        finally:
            lab.heal(victim)

    stayed = {vip: name for vip, name in owners.items() if name != victim.name}
    assert stayed == {vip: now[vip] for vip in stayed}
    assert keyed.endless() == []
    assert keyed.begin() == owners


def test_one_of_three_takes_all_when_two_die_at_once(keyed: Watched) -> None:
    lab, owners = keyed.lab, keyed.begin()
    survivor = owner(keyed, owners)
    victims = [node for node in lab.topology.nodes if node != survivor]

    for node in victims:
        lab.cut(node, silently=True)
    try:
        now = taken_over(lab, *victims)
    finally:
        for node in victims:
            lab.heal(node)

    assert set(now.values()) == {survivor.name}
    assert keyed.begin() == owners
    assert keyed.endless() == []


def test_a_node_with_another_gossip_key_speaks_for_nobody(keyed: Watched) -> None:
    """It cannot join, finds every VIP answered when it probes, and stays silent."""
    lab, owners = keyed.lab, keyed.begin()
    victim = owner(keyed, owners)
    speaker = lab.speaker(victim)
    assert speaker is not None
    strange = attrs.evolve(lab, speaker_flags=key_flags(lab.directory, "other.key"))

    speaker.stop(STOP_WITHIN_S)
    now = taken_over(lab, victim)
    keyed.tape.rewind()
    strange.start_speaker(victim)
    try:
        eventually(
            lambda: held_elsewhere(lab, victim),
            until=lambda vips: vips == set(owners),
            within_s=DEADLINES.process_up + DEADLINES.ring_joined,
        )
        assert keyed.voices() == keyed.only(now)
    finally:
        lab.process(victim, Target.SUPERVISOR).stop(STOP_WITHIN_S)
        lab.start_speaker(victim)

    assert keyed.begin() == owners


def held_elsewhere(lab: Lab, node: Host) -> set[str]:
    """The VIPs that a node leaves alone since others answer for them."""
    view = views.view(lab, node)
    return {s.vip for s in view.seats if s.reason == "held_elsewhere"} if view else set()


def test_nodes_powered_on_at_once_share_the_vips(keyed: Watched) -> None:
    lab, owners = keyed.lab, keyed.begin()

    for node in lab.topology.nodes:
        lab.kill(node, Target.HOST)
    keyed.tape.rewind()
    for node in lab.topology.nodes:
        lab.heal(node)

    keyed.voices()
    assert keyed.endless() == []
    assert keyed.begin() == owners


def test_a_host_that_dies_during_a_rolling_restart_is_replaced(keyed: Watched) -> None:
    lab, owners = keyed.lab, keyed.begin()
    victim = owner(keyed, owners)
    leaving, staying = (node for node in lab.topology.nodes if node != victim)
    speaker = lab.speaker(leaving)
    assert speaker is not None

    lab.cut(victim, silently=True)
    try:
        speaker.stop(STOP_WITHIN_S)
        now = taken_over(lab, victim, leaving)
        lab.start_speaker(leaving)
    finally:
        lab.heal(victim)

    assert set(now.values()) == {staying.name}
    assert keyed.begin() == owners
    assert keyed.endless() == []
