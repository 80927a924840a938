"""The kernel, arping and ndisc6 as clients: VIPs resolve, whatever happens to our processes."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stentor.lab import client, views
from stentor.lab.lab import Lab, Target
from stentor.lab.probe import Kind
from tests.eventually import DEADLINES, eventually
from tests.lab.seen import neighbour, owner_of, settled

pytestmark = pytest.mark.root
FAMILIES = pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Nothing runs in that process inside the `with` block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@FAMILIES
def test_the_kernel_of_a_client_resolves_a_vip(trio: Lab, family: int) -> None:
    for pair in trio.topology.vips:
        assert owner_of(trio, pair[family]).lladdr_text == neighbour(trio, pair[family])


@FAMILIES
def test_one_lladdr_alone_answers_arping_and_ndisc6(trio: Lab, family: int) -> None:
    vip = trio.topology.vips[0][family]

    assert client.answers(trio, vip) == (owner_of(trio, vip).lladdr_text,)


def test_the_answers_come_from_native_xdp(trio: Lab) -> None:
    """The rung that was asked for, and counters that only the BPF program moves."""
    vip = trio.topology.vips[0][0]
    owner = owner_of(trio, vip)
    before = views.totals(trio)[str(vip)].answers

    client.answers(trio, vip)

    view = views.view(trio, owner)
    assert view is not None
    assert [(at.interface, at.rung) for at in view.attachments] == [("eth0", "native")]
    assert views.totals(trio)[str(vip)].answers > before


@FAMILIES
def test_vips_resolve_while_the_agent_is_stopped(trio: Lab, family: int) -> None:
    vip = trio.topology.vips[0][family]
    owner = owner_of(trio, vip)

    with stopped(trio.process(owner, Target.AGENT).pid):
        assert owner.lladdr_text == neighbour(trio, vip)
        assert client.answers(trio, vip) == (owner.lladdr_text,)


@pytest.mark.parametrize("target", [Target.AGENT, Target.HERALD])
@pytest.mark.parametrize("kind", [Kind.ARP, Kind.ND])
def test_no_question_is_lost_while_a_process_restarts(
    trio: Lab, kind: Kind, target: Target
) -> None:
    vip = trio.topology.vips[0][0 if kind is Kind.ARP else 1]
    owners = settled(trio)
    owner = owner_of(trio, vip)
    before = trio.process(owner, target)

    with client.asking(trio, kind, vip) as asking:
        eventually(lambda: asking.tally(0.0).by, within_s=DEADLINES.answered)
        since = time.monotonic()
        trio.kill(owner, target)
        eventually(
            lambda: restarted(trio, target, owner.name, before.pid), within_s=DEADLINES.process_up
        )
        eventually(lambda: settled(trio) == owners, within_s=DEADLINES.ring_joined)
        tally = asking.tally(since)

    assert tally.asked > 0
    assert (tally.lost, tally.by) == (0, (owner.lladdr_text,))


def restarted(lab: Lab, target: Target, name: str, old_pid: int) -> bool:
    """Whether another process has the place of the one killed."""
    supervisor = lab.speaker(lab.topology.node(name))
    assert supervisor is not None, "the supervisor ended with its child"
    module = {Target.AGENT: "speaker.agent", Target.HERALD: "speaker.herald.main"}[target]
    found = [pid for pid, line in supervisor.children().items() if module in line.split()]
    return bool(found) and found != [old_pid]


def test_a_killed_supervisor_leaves_no_orphans_and_the_next_one_takes_up_its_vips(
    trio: Lab,
) -> None:
    owners = settled(trio)
    node = owner_of(trio, trio.topology.vips[0][0])
    children = [trio.process(node, target) for target in (Target.AGENT, Target.HERALD)]

    trio.kill(node, Target.SUPERVISOR)
    eventually(
        lambda: not any(child.is_alive for child in children), within_s=DEADLINES.process_down
    )
    trio.start_speaker(node)

    eventually(lambda: settled(trio) == owners, within_s=DEADLINES.failed_over)
