"""
One real node and a client in a lab: latency of an answer, and memory of herald and agent.

The reference for latency is the kernel of the same node, asked for the node's own address over the
same link in the same second.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stentor.lab.lab import Lab, Target
from stentor.lab.topology import Topology
from tests.bench.rows import Row
from tests.eventually import DEADLINES, eventually
from tests.lab.seen import settled

_SERVICES = 40  # two VIPs each, the most that the lab's pool holds


@contextmanager
def lab() -> Iterator[Lab]:
    """A lab of one node that holds all its VIPs."""
    pid = os.getpid()
    made = Lab(
        Topology(
            count=1,
            services=_SERVICES,
            prefix=f"st-b{pid}",
            directory=Path(f"/run/st-bench-{pid}"),
        )
    )
    try:
        made.down()
        made.up()
        eventually(lambda: settled(made), within_s=DEADLINES.ring_joined, what="VIPs held")
        yield made
    finally:
        made.down()


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def latency(made: Lab) -> list[Row]:
    """p50 and p99 of an answer in microseconds at 1,000 requests/s; spread over ten slices."""
    node, client = made.topology.nodes[0], made.topology.client
    vip4, vip6 = made.topology.vips[0]
    asked = [
        ("ARP by XDP", str(vip4), "ARP by the kernel"),
        ("ARP by the kernel", str(node.v4), ""),
        ("NDP by XDP", str(vip6), "NDP by the kernel"),
        ("NDP by the kernel", str(node.v6), ""),
    ]
    enter = ["ip", "netns", "exec", client.namespace, sys.executable, "-m", "tests.bench.asker"]
    own = f"{client.v4},{client.v6}"
    done = subprocess.run(
        [*enter, "eth0", own, *(target for _, target, _ in asked)],
        check=True,
        stdout=subprocess.PIPE,
    )
    taken = json.loads(done.stdout)
    rows = []
    for name, target, reference in asked:
        lost = taken[target].count(None)
        heard = [micros for micros in taken[target] if micros is not None]
        if not heard:
            raise RuntimeError(f"{name}: none of {lost} requests for {target} was answered")
        size = max(1, len(heard) // 10)
        slices = [heard[at : at + size] for at in range(0, len(heard) - size + 1, size)]
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            figures = [_percentile(part, share) for part in slices]
            middle = _percentile(heard, share)
            title = f"{name}, {label} of {len(heard)} answers, {lost} lost"
            rows.append(Row(title, "us", reference, min(figures), middle, max(figures)))
    return rows


def _anonymous_mb(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [kilobytes] = [line.split()[1] for line in rollup.splitlines() if line.startswith("Anonymous:")]
    return int(kilobytes) / 1024


def memory(made: Lab) -> list[Row]:
    """Anonymous memory of herald and agent, sampled ten times."""
    aims = {Target.HERALD: 25.0, Target.AGENT: 90.0}
    rows = []
    for target, aim in aims.items():
        process = made.process(made.topology.nodes[0], target)
        samples = [_anonymous_mb(process.pid) for _ in range(10)]
        middle = statistics.median(samples)
        title = f"{target} anonymous memory, {2 * _SERVICES} VIPs"
        rows.append(
            Row(title, "MB", "", min(samples), middle, max(samples), f"<= {aim:g}", middle <= aim)
        )
    return rows


def run() -> list[Row]:
    """Latency, then memory, of one lab."""
    with lab() as made:
        return [*latency(made), *memory(made)]
