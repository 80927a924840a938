"""The client of a lab: asks for VIPs in the background, and once with the usual tools."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import attrs

from speaker.herald.frames import Vip
from stentor.lab import processes, samples
from stentor.lab.lab import Lab, python_path
from stentor.lab.probe import Kind, Sample
from stentor.lab.processes import Process
from stentor.lab.samples import Tally
from stentor.lab.topology import INTERFACE


@attrs.frozen
class Asking:
    """One probe at work."""

    kind: Kind
    vip: Vip
    process: Process
    lines: Path

    def samples(self) -> list[Sample]:
        """All questions so far that are settled."""
        return samples.read(self.lines)

    def settled_until(self, moment: float) -> bool:
        """Whether it is known what became of every question asked before that monotonic moment."""
        samples = self.samples()
        return bool(samples) and samples[-1].asked_at > moment

    def tally(self, since: float, until: float | None = None) -> Tally:
        """What became of the questions asked since then."""
        return samples.tally(self.samples(), since, time.monotonic() if until is None else until)


@contextmanager
def asking(lab: Lab, kind: Kind, vip: Vip) -> Iterator[Asking]:
    """Ask for `vip` in the background, as fast as `probe` says, inside the `with` block."""
    client = lab.topology.client
    name = f"{kind}-{vip}"
    lines = lab.directory / client.name / f"{name}.jsonl"
    pid_file = lines.with_suffix(".pid")
    lines.parent.mkdir(parents=True, exist_ok=True)
    lines.unlink(missing_ok=True)
    enter = ["ip", "netns", "exec", client.namespace]
    process = processes.start(
        [
            *enter,
            *processes.PREFERRED,
            sys.executable,
            "-m",
            "stentor.lab.probe",
            str(kind),
            str(vip),
        ],
        pid_file=pid_file,
        log=lines,
        environment={"PYTHONPATH": python_path()},
    )
    try:
        yield Asking(kind, vip, process, lines)
    finally:
        process.kill()
        process.wait(within_s=5.0)


def answers(lab: Lab, vip: Vip, *, wait_s: int = 1) -> tuple[str, ...]:
    """Ask for `vip` with arping or ndisc6; every LLADDR that answered within that time, sorted."""
    if isinstance(vip, IPv4Address):
        # Two broadcasts a second apart; it ends with the second answer, so that both are read.
        tool = ["arping", "-b", "-c", "2", "-w", str(wait_s + 1), "-I", INTERFACE, str(vip)]
    else:
        tool = ["ndisc6", "-m", "-n", "-r", "1", "-w", str(wait_s * 1000), str(vip), INTERFACE]
    enter = ["ip", "netns", "exec", lab.topology.client.namespace]
    done = subprocess.run([*enter, *tool], capture_output=True, text=True, check=False)
    return tuple(sorted(set(_lladdrs(done.stdout))))


def _lladdrs(output: str) -> list[str]:
    """Every LLADDR in the output of arping or ndisc6, lower case."""
    words = output.replace("[", " ").replace("]", " ").lower().split()
    return [word for word in words if len(word) == 17 and word.count(":") == 5]
