"""A running lab: its network, the speakers and workloads in it, and what to do to them."""

import enum
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from stentor.lab import manifests, processes
from stentor.lab.errors import LabError
from stentor.lab.network import Network, namespaces, processes_in, run
from stentor.lab.processes import Process
from stentor.lab.topology import INTERFACE, Host, Topology, is_lab

STOP_WITHIN_S = 10.0
_PACKAGE_ROOT = Path(__file__).parents[2]


class Target(enum.StrEnum):
    """What `kill` can hit on a node."""

    AGENT = "agent"  # policy; VIPs stay answered
    HERALD = "herald"  # membership and ownership; its lease covers the restart
    SUPERVISOR = "supervisor"  # the kernel takes both children with it
    HOST = "host"  # everything at once and the link, as when the power fails


_CHILD_MODULES = {Target.AGENT: "speaker.agent", Target.HERALD: "speaker.herald.main"}


@attrs.frozen
class Lab:
    """
    One lab. `xdp_mode` goes to the speakers, as do `speaker_flags`; `build` is where the packages
    are that its processes run.
    """

    topology: Topology
    xdp_mode: str = "native"
    speaker_flags: tuple[str, ...] = ()
    build: Path = _PACKAGE_ROOT

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.topology.directory

    @property
    def network(self) -> Network:
        """Its namespaces and links."""
        return Network(self.topology)

    @property
    def manifests(self) -> Path:
        """The directory of objects, which all nodes share."""
        return self.directory / "manifests"

    def state_dir(self, node: Host) -> Path:
        """The --state-dir of a node."""
        return self.directory / node.name / "state"

    def bpffs(self, node: Host) -> Path:
        """The --bpffs of a node: `ip netns exec` hides /sys/fs/bpf behind a fresh /sys."""
        return self.directory / node.name / "bpf"

    def log(self, node: Host, program: str = "speaker") -> Path:
        """Where a program of a node writes."""
        return self.directory / node.name / f"{program}.log"

    # -- as a whole ------------------------------------------------------------------------------

    def up(self) -> None:
        """Build and start whatever is not there. Raises LabError."""
        require_root()
        self.topology.save()
        self.network.build()
        if not self.manifests.is_dir():
            manifests.write(self.topology, self.manifests)
        for node in self.topology.nodes:
            self.start(node)

    def down(self) -> None:
        """Stop every process, remove every namespace, mount and file, also of a broken lab."""
        require_root()
        for pid_file in sorted(self.directory.glob("*/*.pid")):
            process = processes.recorded(pid_file)
            if process is not None:
                process.kill()
        for name in filter(self.topology.owns_namespace, namespaces()):
            for pid in processes_in(name):
                process = processes.find(pid)
                if process is not None:
                    process.kill()
                    process.wait(STOP_WITHIN_S)
        self.network.remove()
        for mount in reversed(mounts_below(self.directory)):
            run(["umount", str(mount)])
        if is_lab(self.directory):  # never a directory that merely was named on the command line
            shutil.rmtree(self.directory, ignore_errors=True)
            if self.directory.exists():
                raise LabError(f"{self.directory} cannot be removed")

    # -- one node --------------------------------------------------------------------------------

    def start(self, node: Host) -> None:
        """Start the workload and the speaker of `node` where they do not run."""
        workload = ["stentor.lab.workload", node.name]
        self._spawn(node, "workload", workload, before=processes.PREFERRED)
        self.start_speaker(node)

    def start_speaker(self, node: Host) -> Process:
        """Start the speaker of `node` where it does not run."""
        self.state_dir(node).mkdir(parents=True, exist_ok=True)
        self.bpffs(node).mkdir(parents=True, exist_ok=True)
        if self.bpffs(node) not in mounts_below(self.directory):
            run(["mount", "-t", "bpf", "st-lab-bpf", str(self.bpffs(node))])
        return self._spawn(node, "speaker", ["stentor.cli.main", *self.speaker_arguments(node)])

    def speaker_arguments(self, node: Host) -> list[str]:
        """The command line of a node's speaker after `stentor`."""
        others = [other for other in self.topology.nodes if other != node]
        is_apart = self.topology.management
        return [
            "speaker",
            *("--node-name", node.name),
            *("--manifests", str(self.manifests)),
            *("--state-dir", str(self.state_dir(node))),
            *("--bpffs", str(self.bpffs(node))),
            *("--xdp-mode", self.xdp_mode),
            *("--ml-bindaddr", str(node.management_v4 if is_apart else node.v4)),
            *(
                flag
                for other in others
                for flag in ("--join", str(other.management_v4 if is_apart else other.v4))
            ),
            *self.speaker_flags,
        ]

    def _spawn(
        self, node: Host, program: str, arguments: list[str], before: Sequence[str] = ()
    ) -> Process:
        enter = ["ip", "netns", "exec", node.namespace]
        return processes.start(
            [*enter, *before, sys.executable, "-m", *arguments],
            pid_file=self._pid_file(node, program),
            log=self.log(node, program),
            # Without the latter `python -m` would prefer the packages of the directory we are in.
            environment={"PYTHONPATH": python_path(self.build), "PYTHONSAFEPATH": "1"},
        )

    def _pid_file(self, node: Host, program: str) -> Path:
        return self.directory / node.name / f"{program}.pid"

    def speaker(self, node: Host) -> Process | None:
        """The supervisor of `node` if it runs."""
        process = processes.recorded(self._pid_file(node, "speaker"))
        return process if process is not None and process.is_alive else None

    def process(self, node: Host, target: Target) -> Process:
        """The supervisor of a node or a child of it. Raises LabError when it does not run."""
        supervisor = self.speaker(node)
        if supervisor is not None and target is Target.SUPERVISOR:
            return supervisor
        module = _CHILD_MODULES.get(target, "")
        for pid, command_line in supervisor.children().items() if supervisor and module else ():
            child = processes.find(pid)
            if child is not None and module in command_line.split():
                return child
        raise LabError(f"no {target} runs on {node.name}; see {self.log(node)}")

    def kill(self, node: Host, target: Target) -> None:
        """SIGKILL a process of `node`, or all of them and its link. Raises LabError."""
        require_root()
        if target is not Target.HOST:
            self.process(node, target).kill()
            return
        self.network.cut(node, silently=False)
        for pid in processes_in(node.namespace):
            process = processes.find(pid)
            if process is not None:
                process.kill()
                process.wait(STOP_WITHIN_S)
        self._forget(node)

    def _forget(self, node: Host) -> None:
        """What a reboot forgets: pinned programs, files under /run, addresses that came later."""
        # The kernel's own progs.debug and maps.debug beside our directories cannot be removed.
        for path in self.bpffs(node).glob("*"):
            if path.is_dir():
                shutil.rmtree(path)
        shutil.rmtree(self.state_dir(node), ignore_errors=True)
        self.network.flush_lo(node)

    def cut(self, node: Host, *, silently: bool = False, interface: str = INTERFACE) -> None:
        """Take an interface of `node` off its segment; `silently` leaves its carrier on."""
        require_root()
        self.network.cut(node, silently=silently, interface=interface)

    def heal(self, node: Host) -> None:
        """Put `node` back on its segments and start what does not run there."""
        require_root()
        self.network.heal(node)
        self.start(node)


def require_root() -> None:
    """Raise LabError for anybody but root."""
    if os.geteuid() != 0:
        raise LabError("a lab needs root (network namespaces and BPF): run it with sudo")


def python_path(build: Path = _PACKAGE_ROOT) -> str:
    """PYTHONPATH under which a child finds this very package, installed or not, or a `build`."""
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(build), *([inherited] if inherited else [])])


def mounts_below(directory: Path) -> list[Path]:
    """Mount points under `directory`, in the order they were mounted."""
    fields = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    points = [Path(field[1]) for field in fields]
    return [point for point in points if point.is_relative_to(directory)]
