"""The processes of one speaker, killed one by one while a client asks for its VIPs."""

import os
import signal
from functools import partial

import pytest

from tests.eventually import DEADLINES, eventually
from tests.process.rig import AGENT, HERALD, VIP, VIP6, Rig, Speaker, objects

pytestmark = pytest.mark.root


def test_the_client_resolves_the_vips_by_xdp(rig: Rig) -> None:
    speaker = rig.start().holds(VIP, VIP6)

    for vip in (VIP, VIP6):
        assert rig.lladdr() == eventually(partial(rig.resolve, vip), within_s=DEADLINES.answered)
    answers = {each.vip: each.answers for each in speaker.counters().vips}
    assert answers[VIP] >= 1
    assert answers[VIP6] >= 1


def test_answers_go_on_without_the_agent_and_it_comes_back(rig: Rig) -> None:
    speaker = rig.start().holds(VIP)
    killed = speaker.kill(AGENT)

    assert rig.lladdr() == eventually(partial(rig.resolve, VIP), within_s=DEADLINES.answered)

    back = eventually(partial(speaker.child, AGENT), within_s=DEADLINES.process_up)
    assert back != killed
    eventually(lambda: len(speaker.events("herald_connected")) == 2, within_s=DEADLINES.process_up)
    assert {VIP, VIP6} == speaker.held()


def test_a_killed_herald_comes_back_within_its_lease_and_adopts_its_seats(rig: Rig) -> None:
    speaker = rig.start().holds(VIP, VIP6)
    before = seats(speaker)

    speaker.kill(HERALD)

    assert rig.lladdr() == eventually(partial(rig.resolve, VIP), within_s=DEADLINES.answered)
    speaker.holds(VIP, VIP6)
    assert len(speaker.events("seats_adopted")) == 1
    assert before == seats(speaker)
    assert speaker.events("lease_lost") == []


def test_a_herald_without_an_agent_still_knows_the_plan(rig: Rig) -> None:
    """Both die at once: the herald is back first, and goes on from what it has saved."""
    speaker = rig.start().holds(VIP, VIP6)
    os.kill(speaker.child(AGENT), signal.SIGSTOP)

    speaker.kill(HERALD)

    eventually(lambda: speaker.events("seats_adopted"), within_s=DEADLINES.process_up)
    speaker.holds(VIP, VIP6)
    assert rig.lladdr() == eventually(partial(rig.resolve, VIP), within_s=DEADLINES.answered)
    assert [e["from_agent"] for e in speaker.events("plan_taken")] == [True, False]


def test_a_killed_supervisor_takes_its_children_along_and_another_can_start(rig: Rig) -> None:
    """Whether the next herald still adopts depends on how fast whoever watches us is."""
    speaker = rig.start().holds(VIP, VIP6)
    children = [speaker.child(HERALD), speaker.child(AGENT)]
    speaker.process.kill()
    speaker.process.wait()

    eventually(lambda: not any(map(is_alive, children)), within_s=DEADLINES.process_down)
    rig.start().holds(VIP, VIP6)

    assert rig.lladdr() == eventually(partial(rig.resolve, VIP), within_s=DEADLINES.answered)


def test_sigterm_releases_the_vips_and_ends_in_order(rig: Rig) -> None:
    speaker = rig.start().holds(VIP, VIP6)
    eventually(rig.on_lo, until={VIP, VIP6}.issubset, within_s=DEADLINES.answered)

    assert speaker.terminate() == 0

    assert rig.on_lo() == set()
    assert rig.resolve(VIP) == ""
    stopped = [event["name"] for event in speaker.events("process_stopped")]
    assert stopped == ["herald", "agent"]


def test_cleanup_leaves_nothing(rig: Rig) -> None:
    speaker = rig.start().holds(VIP, VIP6)
    speaker.process.kill()
    speaker.process.wait()
    eventually(lambda: not speaker.child(HERALD), within_s=DEADLINES.process_down)

    said = rig.command("speaker", *rig.directories(), "--cleanup").stdout

    assert f"removed {VIP} from lo" in said
    assert rig.on_lo() == set()
    assert not rig.state_dir.exists()
    assert not rig.bpffs.exists() or not list(rig.bpffs.iterdir())
    [link] = rig.links("eth0")
    assert "xdp" not in link or link["xdp"].get("mode", 0) == 0
    assert rig.command("speaker", *rig.directories(), "--cleanup").stdout == ""


def test_a_vip_that_leaves_the_manifests_is_released_at_once(rig: Rig) -> None:
    speaker = rig.start().holds(VIP, VIP6)

    rig.write(objects([VIP6]))

    eventually(speaker.held, until={VIP6}.__eq__, within_s=DEADLINES.file_seen)
    assert rig.resolve(VIP) == ""
    assert VIP not in rig.on_lo()


def test_a_new_vip_is_announced_to_clients_that_did_not_ask(rig: Rig) -> None:
    speaker = rig.start().holds(VIP)
    other = "192.0.2.101"

    rig.write(objects([VIP, VIP6], [other]))

    speaker.holds(other)
    assert rig.lladdr() == eventually(partial(rig.resolve, other), within_s=DEADLINES.answered)
    announced = {each.vip: each.announced for each in speaker.counters().vips}
    assert announced[other] >= 2


def test_an_address_of_the_host_that_is_also_a_vip_stays_untouched(rig: Rig) -> None:
    """OWNERSHIP.md 11: a wrong manifest must not take the node off the network."""
    speaker = rig.start().holds(VIP)
    taken = "192.0.2.110"
    rig.ip("addr", "add", f"{taken}/24", "dev", "eth0")

    rig.write(objects([VIP], [taken]))

    eventually(
        lambda: seats(speaker).get(taken, ("", ""))[1],
        until="address_of_a_host".__eq__,
        within_s=DEADLINES.file_seen,
    )
    assert rig.lladdr() == eventually(partial(rig.resolve, taken), within_s=DEADLINES.answered)
    assert taken not in {each.vip for each in speaker.counters().vips}


def seats(speaker: Speaker) -> dict[str, tuple[str, str]]:
    """Voice and reason of each seat by VIP."""
    view = speaker.view()
    return {} if view is None else {seat.vip: (seat.voice, seat.reason) for seat in view.seats}


def is_alive(pid: int) -> bool:
    """Whether the process has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
