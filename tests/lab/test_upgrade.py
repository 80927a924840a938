"""Upgrades with --on-stop hold, to a build whose map layout differs, while a client asks."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

import attrs
import pytest

from speaker.dataplane.layout import LAYOUT_VERSION
from stentor.lab import client, variant, views
from stentor.lab.client import Asking
from stentor.lab.lab import STOP_WITHIN_S, Lab, Target
from stentor.lab.probe import Kind
from stentor.lab.topology import Host
from tests.eventually import DEADLINES, eventually
from tests.lab.conftest import MakeLab
from tests.lab.seen import owner_of, settled

pytestmark = pytest.mark.root

OURS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return variant.build(tmp_path_factory.mktemp("variant") / "tree")


@pytest.fixture
def holding(make_lab: MakeLab) -> Lab:
    """Three nodes that stop with hold. The first speakers are of our own build."""
    lab = make_lab(count=3, services=3)
    lab = attrs.evolve(lab, speaker_flags=("--on-stop", "hold"))
    for node in lab.topology.nodes:
        speaker = lab.speaker(node)
        assert speaker is not None
        speaker.stop(STOP_WITHIN_S)
        lab.start_speaker(node)
    eventually(lambda: settled(lab), within_s=DEADLINES.ring_joined, what="owners agreed")
    return lab


def exchange(lab: Lab, node: Host, build: Path) -> None:
    """SIGTERM with hold, then the other build; returns when it works."""
    eventually(
        lambda: views.view(lab, node),
        until=lambda view: view is not None and not view.hold_refusal,
        within_s=DEADLINES.ring_joined,
        what="the others say that it reflects, so that it may hold",
    )
    speaker = lab.speaker(node)
    assert speaker is not None
    speaker.stop(STOP_WITHIN_S)
    attrs.evolve(lab, build=build).start_speaker(node)
    eventually(lambda: views.view(lab, node), within_s=DEADLINES.process_up, what="herald back")
    log = lab.log(node).read_text()
    assert log.count('"seats_held_on"') > 0, log[-4000:]
    assert log.count('"hold_refused"') == 0


@pytest.fixture
def asked(holding: Lab) -> Iterator[list[Asking]]:
    """A client that asks for one VIP of each node, by ARP, ND and HTTP of both families."""
    with ExitStack() as stack:
        probes = []
        for v4, v6 in holding.topology.vips[:2]:
            for kind, vip in ((Kind.ARP, v4), (Kind.ND, v6), (Kind.HTTP, v4), (Kind.HTTP, v6)):
                probes.append(stack.enter_context(client.asking(holding, kind, vip)))
        for probe in probes:
            eventually(probe.samples, within_s=DEADLINES.answered, what="asking")
        yield probes


def requests(lab: Lab) -> dict[tuple[str, str], int]:
    """Counters of every node for every VIP."""
    seen = {node.name: views.counters(lab, node) for node in lab.topology.nodes}
    return {
        (name, each.vip): each.requests
        for name, found in seen.items()
        if found is not None
        for each in found.vips
    }


def lost(probes: list[Asking], since: float) -> dict[str, list[float]]:
    """When questions stayed without an answer, in seconds after `since`, by who asked."""
    found = {
        f"{probe.kind} {probe.vip}": [
            round(each.asked_at - since, 3)
            for each in probe.samples()
            if each.asked_at >= since and not each.by
        ]
        for probe in probes
    }
    return {name: times for name, times in found.items() if times}


def layouts(lab: Lab, node: Host) -> list[str]:
    """Layout versions that are pinned on a node."""
    return sorted(path.name for path in lab.bpffs(node).glob("v*"))


def test_a_rolling_upgrade_and_a_downgrade_lose_nothing_and_move_nothing(
    holding: Lab, asked: list[Asking], other_build: Path
) -> None:
    since, owners, counts = time.monotonic(), settled(holding), requests(holding)
    assert owners

    for build, version in ((other_build, LAYOUT_VERSION + 1), (OURS, LAYOUT_VERSION)):
        for node in holding.topology.nodes:
            exchange(holding, node, build)
            assert layouts(holding, node) == [f"v{version}"]
        eventually(lambda: settled(holding), until=lambda now: now == owners, within_s=20.0)
        now = requests(holding)
        assert {key: now[key] >= counts[key] for key in counts} == dict.fromkeys(counts, True)
        counts = now

    assert lost(asked, since) == {}
    by = {(probe.kind, probe.vip): probe.tally(since).by for probe in asked}
    assert {len(names) for names in by.values()} == {1}, by  # nobody else has ever answered


def test_a_rolling_upgrade_while_another_host_dies_loses_only_what_that_host_held(
    holding: Lab, asked: list[Asking], other_build: Path
) -> None:
    first, second = (vips[0] for vips in holding.topology.vips[:2])
    dying = owner_of(holding, first)
    kept = [each for each in asked if owner_of(holding, each.vip) != dying]
    others = [node for node in holding.topology.nodes if node != dying]
    since = time.monotonic()
    speaker = holding.speaker(others[0])
    assert speaker is not None

    speaker.stop(STOP_WITHIN_S)
    holding.kill(dying, Target.HOST)
    attrs.evolve(holding, build=other_build).start_speaker(others[0])
    exchange(holding, others[1], other_build)

    def taken_over() -> bool:
        now = views.holders(holding, tuple(others))
        return not now.silent and dying.name not in now.agreed.values() and len(now.agreed) == 6

    eventually(taken_over, within_s=DEADLINES.failed_over, what="taken over")
    assert lost(kept, since) == {}
    assert isinstance(second, IPv4Address)
    assert client.answers(holding, first) != ()
