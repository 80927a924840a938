"""The segment of a lab, which tests listen to and write on: beats that pass, and forged ones."""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import attrs

from speaker.beats import ETHERTYPE
from stentor.lab.inside import inside
from stentor.lab.lab import Lab
from stentor.lab.topology import BRIDGE, Host
from tests.eventually import DEADLINES

_SOL_PACKET, _ADD_MEMBERSHIP, _MR_PROMISC = 263, 1, 1  # linux/if_packet.h
_PACKET_OUTGOING = 4  # linux/if_packet.h
_HEADER_BYTES = 14


@attrs.frozen
class Wire:
    """
    Sockets at the switch. What is sent to a port reaches that node alone, and the switch learns
    nothing from it: a forged source address would draw the node's frames elsewhere.
    """

    bridge: socket.socket
    ports: dict[str, socket.socket]

    def beats(self, within_s: float) -> Iterator[bytes]:
        """Frames with beats, each once, as the segment carries them within that time."""
        deadline = time.monotonic() + within_s
        while (left_s := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self.bridge], [], [], left_s)
            for _ in readable:
                frame, address = self.bridge.recvfrom(2048)
                if address[2] != _PACKET_OUTGOING:
                    yield frame

    def capture(
        self, count: int, wanted: Callable[[bytes], bool], within_s: float = DEADLINES.answered
    ) -> list[bytes]:
        """The next `count` beats that are `wanted`. Raises AssertionError when they do not come."""
        self.drain()
        found: list[bytes] = []
        for frame in self.beats(within_s):
            if wanted(frame):
                found.append(frame)
            if len(found) == count:
                return found
        raise AssertionError(f"{len(found)} beats within {within_s} s, wanted {count}")

    def drain(self) -> None:
        """Forget what was carried until now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.bridge.recv(1, socket.MSG_DONTWAIT)

    def send(self, node: Host, frame: bytes) -> None:
        """Put a frame on the cable of a node, as if the switch forwarded it there."""
        self.ports[node.name].send(frame)


@contextmanager
def wire_of(lab: Lab) -> Iterator[Wire]:
    """The segment of `lab` inside the `with` block."""
    with ExitStack() as stack:
        with inside(lab.topology.switch):
            bridge = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            bridge.bind((BRIDGE, ETHERTYPE))
            index = socket.if_nametoindex(BRIDGE).to_bytes(4, "little")
            member = index + _MR_PROMISC.to_bytes(2, "little") + bytes(10)
            bridge.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
            ports = {}
            for node in lab.topology.nodes:
                port = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
                port.bind((node.name, 0))
                ports[node.name] = port
        yield Wire(bridge, ports)


def lladdr(host: Host) -> bytes:
    """The LLADDR of a host, in wire order."""
    return bytes.fromhex(host.lladdr_text.replace(":", ""))


def is_from(host: Host) -> Callable[[bytes], bool]:
    """Whether a frame comes from that host."""
    return lambda frame: frame[6:12] == lladdr(host)


def is_to(host: Host) -> Callable[[bytes], bool]:
    """Whether a frame goes to that host."""
    return lambda frame: frame[:6] == lladdr(host)


def beat_in(frame: bytes) -> bytes:
    """The octets of the beat."""
    return frame[_HEADER_BYTES:]


def framed(source: Host, target: Host, beat: bytes) -> bytes:
    """A frame with a beat."""
    return lladdr(target) + lladdr(source) + ETHERTYPE.to_bytes(2, "big") + beat
