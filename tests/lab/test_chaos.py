"""`stentor lab chaos` on real labs: one cheap fault, its instruments, and an interrupt."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest

from stentor.lab import chaos_bench, chaos_report, chaos_strike, client
from stentor.lab.chaos_figures import Setting, Trial
from stentor.lab.chaos_frames import Kind, Tape
from stentor.lab.chaos_report import Report
from stentor.lab.chaos_strike import Fault
from stentor.lab.lab import Lab, python_path
from stentor.lab.network import namespaces
from stentor.lab.topology import Topology
from tests.eventually import DEADLINES, eventually
from tests.lab.conftest import fresh_directory

pytestmark = pytest.mark.root
PREFIX = f"st-c{os.getpid()}"
SMALL = ("--trials", "1", "--nodes", "3", "--load", "0", "--detect", "beats")


def start(*arguments: str) -> "subprocess.Popen[str]":
    """`stentor lab chaos` with a prefix of its own."""
    command = ["-m", "stentor.cli.main", "lab", "chaos", "--prefix", PREFIX, *arguments]
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": python_path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_behind() -> list[str]:
    """Namespaces, files and processes of such a run."""
    ours = [name for name in namespaces() if name.startswith(PREFIX)]
    files = [str(path) for path in Path("/run").glob(f"{PREFIX}*")]
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    running = [line for line in listed.stdout.splitlines() if f"/run/{PREFIX}" in line]
    return [*ours, *files, *running]


def test_a_killed_agent_costs_the_client_nothing(tmp_path: Path) -> None:
    path = tmp_path / "build" / "chaos.json"

    process = start(*SMALL, "--faults", "agent-sigkill", "--json", str(path))
    printed, progress = process.communicate(timeout=4 * DEADLINES.failed_over)

    assert process.returncode == 0, progress
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    [trial] = report.trials
    assert (report.complete, trial.problem, trial.fault) == (True, "", "agent-sigkill")
    assert trial.asked > 0
    assert (trial.unanswered, trial.broke_one_voice, trial.strayed) == (0, 0, ())
    assert {(http.lost, http.asked > 0) for http in trial.http} == {(0, True)}
    assert len(trial.http) == 2
    assert "agent-sigkill" in printed
    assert "1/1" in progress
    assert left_behind() == []


def test_what_was_done_before_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"
    arguments = (*SMALL, "--faults", "link-cut", "--json", str(path))
    done = Trial(Setting(), str(Fault.LINK_CUT), 0, "n1", first_words_ms={"192.0.2.108": 90.0})
    chaos_report.write(path, Report(False, 7, 0.0, 1.0, (done,)))

    process = start(*arguments, "--resume")
    printed, progress = process.communicate(timeout=DEADLINES.process_up)

    assert process.returncode == 0, progress
    assert "1 trials, 0 to do" in progress
    assert "90.0" in printed
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    assert (report.complete, report.trials) == (True, (done,))


def test_a_trial_that_would_not_end_in_time_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"

    process = start(*SMALL, "--faults", "link-cut", "--minutes", "0.1", "--json", str(path))
    _, progress = process.communicate(timeout=DEADLINES.process_up)

    assert process.returncode == 1
    assert "--resume" in progress
    assert not msgspec.json.decode(path.read_bytes(), type=Report).complete
    assert left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "chaos.json"
    process = start(*SMALL, "--faults", "link-cut", "--load", "1", "--json", str(path))
    eventually(
        lambda: Path("/run", PREFIX, "load").exists(), within_s=DEADLINES.process_up, what="load"
    )

    process.send_signal(number)
    process.communicate(timeout=DEADLINES.failed_over)

    assert process.returncode != 0
    assert left_behind() == []
    assert not msgspec.json.decode(path.read_bytes(), type=Report).complete


def test_what_is_not_known_is_refused_before_anything_is_built() -> None:
    process = start("--faults", "meteor")

    _, complaint = process.communicate(timeout=DEADLINES.process_up)

    assert process.returncode == 1
    assert "no fault 'meteor'; there are host-death, " in complaint
    assert left_behind() == []


@pytest.fixture
def segment() -> Iterator[Lab]:
    """The network of a lab with one node, in which nothing runs."""
    directory = fresh_directory()
    lab = Lab(Topology(count=1, prefix=directory.name, directory=directory))
    lab.down()
    try:
        lab.topology.save()
        lab.network.build()
        yield lab
    finally:
        lab.down()


def test_the_listener_hears_each_answer_once_at_the_time_it_passed(segment: Lab) -> None:
    """Unicast too, which a bridge hands up only when it is promiscuous."""
    [node] = segment.topology.nodes
    tape = Tape(segment.directory / "switch" / "heard.bin")

    with chaos_bench.listening(segment, tape):
        began_ns = time.monotonic_ns()
        assert client.answers(segment, node.v4) == (node.lladdr_text,)
        ended_ns = time.monotonic_ns()
        heard = eventually(
            lambda: [h for h in tape.read() if h.vip == node.v4 and h.is_voice],
            until=lambda answers: len(answers) >= 2,
            within_s=DEADLINES.answered,
        )

    assert {(one.kind, one.lladdr.hex(":")) for one in heard} == {
        (Kind.ARP_REPLY, node.lladdr_text)
    }
    assert len(heard) == 2  # arping asked twice
    assert all(began_ns < one.at_ns < ended_ns for one in heard)


@pytest.mark.parametrize("fault", [Fault.HOST_DEATH, Fault.LINK_CUT])
def test_a_node_that_was_hit_is_not_heard_until_it_is_healed(segment: Lab, fault: Fault) -> None:
    [node] = segment.topology.nodes

    with chaos_strike.ready(segment, fault, node) as strike:
        strike.hit()

    assert client.answers(segment, node.v4) == ()
    segment.network.heal(node)
    eventually(
        lambda: client.answers(segment, IPv4Address(node.v4)) == (node.lladdr_text,),
        within_s=DEADLINES.answered,
    )
