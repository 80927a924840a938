"""The lab that trials share: its listener, prober and load, and when it has settled."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import attrs

from speaker.herald.frames import Vip
from stentor.lab import processes, views
from stentor.lab.chaos_frames import Tape
from stentor.lab.errors import LabError
from stentor.lab.lab import Lab, Target, python_path
from stentor.lab.processes import Process
from stentor.lab.secret import key_flags
from stentor.lab.topology import BRIDGE, Host, Topology

PREFER_PLANNED_S = 15.0  # afterwards any owners will do that all nodes agree on
SETTLED_WITHIN_S = 60.0
STARTED_WITHIN_S = 10.0
_STOP_WITHIN_S = 5.0
# Ends with its parent even where the parent was killed outright.
BUSY = (
    "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n for _ in range(10**6): pass"
)
_LAST_LINES = 3
_POLL_S = 0.05
_SETTLE_POLL_S = 0.1  # each look costs every herald a view


class TrialFailed(Exception):  # noqa: N818 - the trial's result, not a fault of this program
    """The lab did not get where a trial begins or ends; the text says what was seen."""


@attrs.frozen
class Bench:
    """The lab with its listener, which all trials share."""

    lab: Lab
    tape: Tape

    def settle(self) -> dict[Vip, Host]:
        """Wait until all nodes agree who holds what, preferably as planned. Raises TrialFailed."""
        planned = views.planned_owners(self.lab)
        began = time.monotonic()
        while True:
            seen = views.holders(self.lab)
            whole = not seen.silent and set(seen.agreed) == set(planned)
            waited_s = time.monotonic() - began
            if whole and (seen.agreed == planned or waited_s > PREFER_PLANNED_S):
                node = self.lab.topology.node
                return {ip_address(vip): node(name) for vip, name in seen.agreed.items()}
            if waited_s > SETTLED_WITHIN_S:
                missing = sorted(set(planned) - set(seen.agreed))
                raise TrialFailed(
                    f"not settled within {SETTLED_WITHIN_S:.0f} s: no agreement on"
                    f" {' '.join(missing) or 'nothing'}, silent {' '.join(seen.silent) or 'nobody'}"
                    f"{''.join(map(self._last_words, seen.silent))}"
                )
            time.sleep(_SETTLE_POLL_S)

    def _last_words(self, name: str) -> str:
        """What a silent node logged last: the lab will be gone when somebody asks why."""
        node = self.lab.topology.node(name)
        log = self.lab.log(node)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        state = "runs" if self.lab.speaker(node) is not None else "ended"
        return f"; the speaker of {name} {state}: {' | '.join(lines[-_LAST_LINES:])}"

    def revive(self, *, all_nodes: bool = False) -> None:
        """After a failed trial reboot the nodes whose herald is silent, or all. Raises LabError."""
        for node in self.lab.topology.nodes:
            if all_nodes or views.view(self.lab, node) is None:
                self.lab.kill(node, Target.HOST)
                self.lab.heal(node)


@contextmanager
def running(topology: Topology, flags: tuple[str, ...], load: int) -> Iterator[Bench]:
    """A lab of its own with listener, prober and load; nothing is left of it, whatever happens."""
    Lab(topology).down()
    lab = Lab(topology, speaker_flags=(*flags, *key_flags(topology.directory)))
    try:
        with ExitStack() as stack:
            lab.up()
            tape = Tape(topology.directory / "switch" / "heard.bin")
            stack.enter_context(listening(lab, tape))
            stack.enter_context(probing(lab))
            for number in range(load):
                stack.enter_context(_busy(lab, number))
            yield Bench(lab, tape)
    finally:
        with _undisturbed():
            lab.down()


@contextmanager
def listening(lab: Lab, tape: Tape) -> Iterator[None]:
    """Write down what the segment of `lab` says, to `tape`, inside the `with` block."""
    module = ["-m", "stentor.lab.chaos_sniffer", BRIDGE]
    with _child(lab, tape.path, [*_in(lab.topology.switch), sys.executable, *module]) as child:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while not tape.path.stat().st_size:
            if not child.is_alive or time.monotonic() > deadline:
                raise LabError(f"nobody listens on the segment; see {tape.path}")
            time.sleep(_POLL_S)
        yield


@contextmanager
def probing(lab: Lab) -> Iterator[None]:
    """Ask for every VIP of `lab` from its client's cable inside the `with` block."""
    client: Host = lab.topology.client
    vips = [str(vip) for pair in lab.topology.vips for vip in pair]
    command = [sys.executable, "-m", "stentor.lab.chaos_prober", *vips]
    log = lab.directory / client.name / "prober.log"
    with _child(lab, log, [*_in(client.namespace), *command]):
        yield


@contextmanager
def _busy(lab: Lab, number: int) -> Iterator[None]:
    log = lab.directory / "load" / f"busy-{number}.log"
    with _child(lab, log, [sys.executable, "-c", BUSY]):
        yield


@contextmanager
def _child(lab: Lab, output: Path, command: list[str]) -> Iterator[Process]:
    """A process that writes to `output` and ends with the `with` block, or at worst with `down`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    process = processes.start(
        command,
        pid_file=output.with_suffix(".pid"),
        log=output,
        environment={"PYTHONPATH": python_path()},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(_STOP_WITHIN_S)


def _in(namespace: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *processes.PREFERRED]


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing interrupts the `with` block: what cleans up has to come to its end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
