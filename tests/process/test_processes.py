"""The processes of one speaker, killed one by one while a client asks for its VIPs."""

import os
import signal
from functools import partial

import pytest
import yaml

from tests.eventually import DEADLINES, eventually
from tests.process.rig import AGENT, HERALD, VIP, VIP6, Rig, Speaker, objects, sh

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


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_a_vip_that_a_stranger_answers_for_is_left_to_it(rig: Rig, vip: str) -> None:
    """OWNERSHIP.md 1: an empty seat is probed for before it is taken."""
    prefix = 128 if ":" in vip else 32
    sh("ip", "-n", rig.client, "addr", "add", f"{vip}/{prefix}", "dev", "eth0", *NODAD[vip])

    other = VIP6 if vip == VIP else VIP
    speaker = rig.start().holds(other)

    eventually(
        lambda: seats(speaker).get(vip, ("", ""))[1],
        until="held_elsewhere".__eq__,
        within_s=DEADLINES.seat_taken,
    )
    assert {other} == speaker.held()


def test_metrics_and_health_are_served(rig: Rig) -> None:
    speaker = rig.start().holds(VIP)
    rig.resolve(VIP)

    status, ready = eventually(
        partial(speaker.get, 17472, "/readyz"),
        until=lambda got: got[0] == 200,
        within_s=DEADLINES.process_up,
    )
    assert (status, ready.strip()) == (200, "ok")
    assert speaker.get(17472, "/healthz")[0] == 200
    assert speaker.get(9120, "/nothing")[0] == 404
    _, page = speaker.get(9120, "/metrics")
    label = f'ip="{VIP}",node="n1",protocol="layer2",service="demo/web-0"'
    assert f"metallb_speaker_announced{{{label}}} 1.0" in page
    assert "# TYPE metallb_layer2_requests_received counter" in page
    [answered] = [
        float(line.split()[-1])
        for line in page.splitlines()
        if line.startswith(f'metallb_layer2_responses_sent{{ip="{VIP}"}}')
    ]
    assert answered >= 1
    assert "stentor_herald_up 1.0" in page


def test_without_a_herald_the_agent_is_not_ready_and_says_why(rig: Rig) -> None:
    speaker = rig.start().holds(VIP)
    os.kill(speaker.pid, signal.SIGSTOP)  # or it would start the next herald at once
    speaker.kill(HERALD)

    status, why = eventually(
        partial(speaker.get, 17472, "/readyz"),
        until=lambda got: got[0] == 503 and "no herald" in got[1],  # not the agent's own start
        within_s=DEADLINES.process_up,
    )

    assert (status, "no herald is connected" in why) == (503, True)
    assert speaker.get(17472, "/healthz")[0] == 200
    assert "stentor_herald_up 0.0" in speaker.get(9120, "/metrics")[1]
    os.kill(speaker.pid, signal.SIGCONT)
    speaker.holds(VIP)


def test_status_files_name_the_holder_and_the_reason(rig: Rig) -> None:
    rig.start().holds(VIP)
    folder = rig.manifests / ".status" / "nodes" / "n1"
    path = folder / "Service" / "demo_web-0.yaml"

    def vips() -> list[dict[str, str]]:
        return yaml.safe_load(path.read_text())["vips"] if path.exists() else []

    held = {"vip": VIP, "holder": "n1", "reason": "held"}
    eventually(vips, until=lambda found: held in found, within_s=DEADLINES.file_seen)
    l2_status = yaml.safe_load((folder / "ServiceL2Status" / "demo_web-0.yaml").read_text())
    assert l2_status["status"]["node"] == "n1"


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_an_announcement_corrects_a_neighbour_that_still_knows_the_old_holder(
    rig: Rig, vip: str
) -> None:
    entry = (vip, "lladdr", "02:00:00:00:00:99", "nud", "stale", "dev", "eth0")
    sh("ip", "-n", rig.client, "neigh", "replace", *entry)

    rig.start().holds(vip)

    eventually(partial(rig.neighbour, vip), until=rig.lladdr().__eq__, within_s=DEADLINES.answered)


NODAD = {VIP: (), VIP6: ("nodad",)}


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
