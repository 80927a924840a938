"""
Three heralds and three Go nodes in one lab and one ring, and who owns each VIP, asked three ways:
what every Go node elects, what every herald says, and what the segment answers for it.

The Go nodes elect as MetalLB does and answer nothing: a VIP of theirs has to be silent.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import attrs
import msgspec

from speaker.herald.frames import Vip, read_claim
from speaker.planners.election import ranked
from stentor.lab import manifests, views
from stentor.lab.lab import Lab, Target
from stentor.lab.network import processes_in
from stentor.lab.questions import arp_request, neighbour_solicitation
from stentor.lab.topology import INTERFACE, Host, Topology
from tests.bpf.netns import standing_in
from tests.eventually import DEADLINES, eventually

NODES = 6
HERALDS = 3  # n1 to n3; the others are Go nodes
PORT = 7946
ANSWERED_WITHIN_S = 0.06
_ETH_P_ALL = 3  # linux/if_ether.h
Owners = dict[str, str]


@attrs.define(eq=False)
class MixedRing:
    """The ring. `live` are the nodes that take part, as whoever breaks it notes."""

    lab: Lab
    program: Path  # tests/peers/memberlist, built
    wire: socket.socket  # the client's
    live: set[str] = attrs.field(factory=set)
    _goes: dict[str, "subprocess.Popen[bytes]"] = attrs.field(factory=dict)

    @property
    def vips(self) -> list[Vip]:
        """Every VIP, IPv4 and IPv6."""
        return [vip for pair in self.lab.topology.vips for vip in pair]

    def is_herald(self, name: str) -> bool:
        """Whether this node runs Stentor."""
        return int(name[1:]) <= HERALDS

    def node(self, name: str) -> Host:
        """A node by name."""
        return self.lab.topology.node(name)

    # --- what is done to nodes

    def start(self, name: str) -> None:
        """Start what runs on a node."""
        node = self.node(name)
        if self.is_herald(name):
            self.lab.start(node)
        else:
            self._start_go(node)
        self.live.add(name)

    def _start_go(self, node: Host) -> None:
        topology = self.lab.topology
        others = [other for other in topology.nodes if other != node]
        log = self.lab.log(node, "go")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._goes[node.name] = subprocess.Popen(
                [
                    *("ip", "netns", "exec", node.namespace, str(self.program)),
                    *("-name", node.name, "-bind", str(node.v4), "-port", str(PORT)),
                    *(flag for vip, _ in topology.vips for flag in ("-vip", str(vip))),
                    *(flag for other in others for flag in ("-join", f"{other.v4}:{PORT}")),
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to all that runs on a node; SIGKILL waits until it is gone."""
        for pid in processes_in(self.node(name).namespace):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if number is not signal.SIGKILL:
            return
        if (go := self._goes.pop(name, None)) is not None:
            go.communicate()
        namespace = self.node(name).namespace
        eventually(lambda: not processes_in(namespace), within_s=DEADLINES.process_down)

    def leave(self, name: str) -> None:
        """Have a node say goodbye; returns before it has."""
        if self.is_herald(name):
            os.kill(self.lab.process(self.node(name), Target.SUPERVISOR).pid, signal.SIGTERM)
            return
        stdin = self._goes[name].stdin
        assert stdin is not None
        stdin.write(b"leave\n")
        stdin.flush()

    def has_left(self, name: str) -> bool:
        """Whether a node that was told to leave is done with it."""
        if self.is_herald(name):
            return self.lab.speaker(self.node(name)) is None
        return b'"leave_done"' in self.lab.log(self.node(name), "go").read_bytes()

    # --- who owns what

    def expected(self) -> Owners:
        """MetalLB's rule over the live nodes: both VIPs of a Service go by its first."""
        pairs = self.lab.topology.vips
        return {str(vip): ranked(self.live, pair[0], {})[0] for pair in pairs for vip in pair}

    def elected(self, name: str) -> Owners:
        """What a Go node printed last, of the first VIP of each Service."""
        found: Owners = {}
        for line in self.lab.log(self.node(name), "go").read_bytes().splitlines():
            if line.startswith(b'{"event":"owners"'):
                found = msgspec.json.decode(line)["owners"]
        return found

    def said(self, name: str) -> Owners:
        """What a herald's status says."""
        seen = views.view(self.lab, self.node(name))
        return {s.vip: s.holder or "" for s in seen.seats} if seen is not None else {}

    def answered(self) -> dict[str, set[str]]:
        """Whose LLADDRs the segment answers for each VIP, by name of the node."""
        client = self.lab.topology.client
        own = bytes.fromhex(client.lladdr_text.replace(":", ""))
        names = {node.lladdr_text: node.name for node in self.lab.topology.nodes}
        found: dict[str, set[str]] = {str(vip): set() for vip in self.vips}
        for vip in self.vips:
            self.wire.send(
                arp_request(vip, own, client.v4)
                if isinstance(vip, IPv4Address)
                else neighbour_solicitation(vip, own, client.v6)
            )
        until = time.monotonic() + ANSWERED_WITHIN_S
        while (left := until - time.monotonic()) > 0:
            self.wire.settimeout(left)
            try:
                frame = self.wire.recv(256)
            except TimeoutError:
                break
            claim = read_claim(frame) if frame[:6] == own else None
            if claim is not None and str(claim.vip) in found:
                lladdr = claim.lladdr.hex(":")
                found[str(claim.vip)].add(names.get(lladdr, lladdr))
        return found

    def all_are_up(self) -> bool:
        """Whether every live node can be asked."""
        return all(self.said(n) if self.is_herald(n) else self.elected(n) for n in self.live)

    # --- whether all agree

    def goes_agree(self) -> bool:
        """Whether every live Go node elects what MetalLB's rule says."""
        goes = [name for name in self.live if not self.is_herald(name)]
        owners = self.expected()
        wanted = {str(first): owners[str(first)] for first, _ in self.lab.topology.vips}
        return all(self.elected(name) == wanted for name in goes)

    def heralds_agree(self) -> bool:
        """Whether every live herald names the same owners."""
        heralds = [name for name in self.live if self.is_herald(name)]
        return all(self.said(name) == self.expected() for name in heralds)

    def segment_agrees(self) -> bool:
        """Whether every VIP of a herald is answered by it alone, and a Go node's by nobody."""
        owners = self.expected()
        wanted = {vip: {o} if self.is_herald(o) else set() for vip, o in owners.items()}
        return self.answered() == wanted

    def close(self) -> None:
        """End the Go nodes; the lab does the rest."""
        for go in self._goes.values():
            go.kill()
            go.communicate()


def _client_wire(topology: Topology) -> socket.socket:
    """A socket on the client's interface; it stays there."""
    with standing_in(topology.client.namespace):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        wire.bind((INTERFACE, _ETH_P_ALL))
    return wire


@contextmanager
def mixed_ring(program: Path, services: int = 14) -> Iterator[MixedRing]:
    """A started ring, nothing of it is left afterwards. Of 14 Services each node owns some."""
    prefix = f"st-m{os.getpid()}"
    topology = Topology(
        count=NODES, services=services, prefix=prefix, directory=Path("/run") / prefix
    )
    lab = Lab(topology)
    try:
        lab.down()
        topology.save()
        lab.network.build()
        manifests.write(topology, lab.manifests)
        with _client_wire(topology) as wire:
            ring = MixedRing(lab, program, wire)
            try:
                for node in topology.nodes:
                    ring.start(node.name)
                yield ring
            finally:
                ring.close()
    finally:
        lab.down()
