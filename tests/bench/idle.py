"""
What a herald costs that has nothing to do: its share of a core, and the frames of its node.

Labs of several sizes; every node is measured at once. The share for 50 nodes is a straight line
through the others: beats go to three nodes whatever the number, hellos to all.
"""

import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import attrs

from stentor.lab.lab import Lab, Target
from stentor.lab.topology import Topology
from tests.bench.rows import Row
from tests.eventually import eventually
from tests.lab.seen import settled

SIZES = (3, 6, 10)
LARGE = 50
_SERVICES = 3
_QUIET_S = 4.0  # the rounds of announcements are over by then
_FOR_S = 20.0
_UP_S = 120.0
_AIM_PERCENT = 2.0


@attrs.frozen
class _Sample:
    """One node: seconds of CPU, wakings of its herald, frames of its interface both ways."""

    cpu_s: float
    wakings: int
    frames: int


def _sample(pid: int, namespace: str) -> _Sample:
    run_ns = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [wakings] = [int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt")]
    command = ["ip", "-n", namespace, "-j", "-s", "link", "show", "eth0"]
    shown = subprocess.run(command, capture_output=True, check=True)
    [link] = json.loads(shown.stdout)
    frames = sum(link["stats64"][way]["packets"] for way in ("rx", "tx"))
    return _Sample(run_ns / 1e9, wakings, frames)


def _measure(count: int) -> tuple[list[float], list[float], list[float]]:
    """Percent of a core, wakings a second and frames a second, by node."""
    pid = os.getpid()
    directory = Path(f"/run/st-bench-{pid}")
    made = Lab(Topology(count, services=_SERVICES, prefix=f"st-i{pid}", directory=directory))
    try:
        made.down()
        made.up()
        eventually(lambda: settled(made), within_s=_UP_S, what="VIPs held")
        time.sleep(_QUIET_S)
        nodes = [(made.process(n, Target.HERALD).pid, n.namespace) for n in made.topology.nodes]
        before, start = [_sample(*node) for node in nodes], time.monotonic()
        time.sleep(_FOR_S)
        after, took_s = [_sample(*node) for node in nodes], time.monotonic() - start
    finally:
        made.down()
    pairs = list(zip(before, after, strict=True))
    return (
        [100 * (b.cpu_s - a.cpu_s) / took_s for a, b in pairs],
        [(b.wakings - a.wakings) / took_s for a, b in pairs],
        [(b.frames - a.frames) / took_s for a, b in pairs],
    )


def _row(name: str, unit: str, values: list[float], aim: float | None = None) -> Row:
    least = min(values)
    text = "" if aim is None else f"least <= {aim:g}"
    met = None if aim is None else least <= aim
    return Row(name, unit, "", least, statistics.median(values), max(values), text, met)


def run() -> list[Row]:
    """Measure each size; the extrapolation is of the least shares."""
    rows: list[Row] = []
    shares: list[float] = []
    for count in SIZES:
        share, wakings, frames = _measure(count)
        shares.append(min(share))
        aim = _AIM_PERCENT if count == SIZES[0] else None
        rows += [
            _row(f"herald of {count} nodes", "% core", share, aim),
            _row(f"wakings of it, {count} nodes", "1/s", wakings),
            _row(f"frames of its node both ways, {count} nodes", "1/s", frames),
        ]
    slope, base = statistics.linear_regression(SIZES, shares)
    rows.append(_row(f"herald of {LARGE} nodes, extrapolated", "% core", [base + slope * LARGE]))
    return rows
