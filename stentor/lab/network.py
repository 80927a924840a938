"""The namespaces, links and addresses of a lab, through iproute2."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from stentor.lab.errors import LabError
from stentor.lab.topology import (
    BRIDGE,
    INTERFACE,
    MANAGEMENT,
    MANAGEMENT_BRIDGE,
    V4_PREFIX_LENGTH,
    V6_PREFIX_LENGTH,
    Host,
    Topology,
)

_NETNS_DIR = Path("/run/netns")
_PORT_DISABLED, _PORT_FORWARDING = "0", "3"  # enum of `bridge link set ... state`


@attrs.frozen
class Network:
    """Builds, cuts and removes what a Topology describes. Every method may be called twice."""

    topology: Topology

    def build(self) -> None:
        """Make the whole network; one that is half made is made anew. Raises LabError."""
        if self.is_built():
            return
        self.remove()
        topology = self.topology
        _ip([f"netns add {name}" for name in topology.namespaces])
        for name in topology.namespaces:
            _ip(["link set lo up"], namespace=name)
        options = "stp_state 0 forward_delay 0"
        _ip(
            [f"link add {BRIDGE} type bridge {options}", f"link set {BRIDGE} up"],
            namespace=topology.switch,
        )
        for host in topology.hosts:
            self._connect(host)
        ports = [node.name for node in topology.nodes]
        if topology.management:
            ports += [node.management_port for node in topology.nodes]
            self._build_management()
        self._hang(ports)
        _ip([f"link set {BRIDGE} alias {self._mark}"], namespace=topology.switch)

    def _hang(self, ports: Sequence[str], loss_percent: float = 0.0) -> None:
        """The XDP program that passes, or loses some of, what comes in at ports of the switch."""
        enter = ["ip", "netns", "exec", self.topology.switch, sys.executable]
        run([*enter, "-m", "stentor.lab.xdp_pass", "--loss", str(loss_percent), *ports])

    def lose(self, percent: float) -> None:
        """From now on lose so many of all frames on the segment, whoever sends them, at random."""
        self._hang([host.name for host in self.topology.hosts], percent)

    def is_built(self) -> bool:
        """Whether this very network stands, to its last step, which is the mark on the bridge."""
        if not set(self.topology.namespaces) <= set(namespaces()):
            return False
        links = json.loads(run(["ip", "-n", self.topology.switch, "-json", "link"]))
        return any(link.get("ifalias") == self._mark for link in links)

    @property
    def _mark(self) -> str:
        topology = self.topology
        kinds = f"{'' if topology.has_router else '-alone'}{'-m' if topology.management else ''}"
        return f"stentor-lab-of-{topology.count}{kinds}"

    def _build_management(self) -> None:
        """A second bridge, with the nodes alone on it."""
        switch, bridge = self.topology.switch, MANAGEMENT_BRIDGE
        options = "stp_state 0 forward_delay 0"
        _ip([f"link add {bridge} type bridge {options}", f"link set {bridge} up"], switch)
        for node in self.topology.nodes:
            port = node.management_port
            _ip(
                [
                    f"link add {MANAGEMENT} netns {node.namespace}"
                    f" type veth peer name {port} netns {switch}"
                ]
            )
            _ip([f"link set {port} master {bridge}", f"link set {port} up"], switch)
            _ip(
                [
                    f"addr add {node.management_v4}/{V4_PREFIX_LENGTH} dev {MANAGEMENT}",
                    f"link set {MANAGEMENT} up",
                ],
                node.namespace,
            )

    def _connect(self, host: Host) -> None:
        switch = self.topology.switch
        _ip(
            [
                f"link add {INTERFACE} netns {host.namespace} address {host.lladdr_text}"
                f" type veth peer name {host.name} netns {switch}"
            ]
        )
        _ip([f"link set {host.name} master {BRIDGE}", f"link set {host.name} up"], namespace=switch)
        _ip(
            [
                f"addr add {host.v4}/{V4_PREFIX_LENGTH} dev {INTERFACE}",
                f"addr add {host.v6}/{V6_PREFIX_LENGTH} dev {INTERFACE} nodad",
                f"link set {INTERFACE} up",
            ],
            namespace=host.namespace,
        )
        if self.topology.has_router and host != self.topology.router:
            router = self.topology.router
            _ip(
                [
                    f"route add default via {router.v4}",
                    f"route add default via {router.v6} dev {INTERFACE}",
                ],
                namespace=host.namespace,
            )

    def cut(self, node: Host, *, silently: bool, interface: str = INTERFACE) -> None:
        """
        Take `node` off a segment: its cable is pulled, so that it sees the carrier go.

        `silently`: the switch stops forwarding on its port instead, and the node notices nothing.
        """
        if silently:
            self._port_state(_port(node, interface), _PORT_DISABLED)
        else:
            _ip([f"link set {_port(node, interface)} down"], namespace=self.topology.switch)

    def heal(self, node: Host) -> None:
        """Put `node` back on its segments, however it was cut."""
        for interface in (INTERFACE, MANAGEMENT) if self.topology.management else (INTERFACE,):
            port = _port(node, interface)
            _ip([f"link set {port} up"], namespace=self.topology.switch)
            self._port_state(port, _PORT_FORWARDING)

    def _port_state(self, name: str, state: str) -> None:
        port = ["dev", name, "state", state]
        run(["bridge", "-n", self.topology.switch, "link", "set", *port])

    def flush_lo(self, node: Host) -> None:
        """Take every address from `lo` that it did not have at first."""
        run(["ip", "-n", node.namespace, "addr", "flush", "dev", "lo", "scope", "global"])

    def remove(self) -> None:
        """Remove every namespace of this prefix, with all in it."""
        ours = [name for name in namespaces() if self.topology.owns_namespace(name)]
        _ip([f"netns del {name}" for name in ours])


def _port(node: Host, interface: str) -> str:
    return node.management_port if interface == MANAGEMENT else node.name


def namespaces() -> list[str]:
    """The named network namespaces of this machine."""
    return sorted(path.name for path in _NETNS_DIR.iterdir()) if _NETNS_DIR.is_dir() else []


def processes_in(namespace: str) -> list[int]:
    """The pids of all processes in a named namespace."""
    return [int(pid) for pid in run(["ip", "netns", "pids", namespace]).split()]


def run(command: Sequence[str]) -> str:
    """Run a command to its end and return its output. Raises LabError with its complaint."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        raise LabError(f"{command[0]} is not installed") from exc
    if done.returncode != 0:
        raise LabError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _ip(commands: Iterable[str], namespace: str | None = None) -> None:
    """Run commands of ip(8) as one batch, all in `namespace`. Raises LabError."""
    batch = "\n".join(commands)
    if not batch:
        return
    where = ["-n", namespace] if namespace else []
    done = subprocess.run(
        ["ip", *where, "-batch", "-"], input=batch, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(where)}: {done.stderr.strip()}\nof:\n{batch}")
