"""
Faults that hit a node of a lab at one known instant.

Whatever takes time is done before: a `Strike` holds the pids and the switch's port, so that the
fault itself is a few system calls. `ip` and `bridge` would take milliseconds, under load many.
"""

import enum
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs

from stentor.lab.errors import LabError
from stentor.lab.inside import inside
from stentor.lab.lab import Lab, Target
from stentor.lab.network import processes_in
from stentor.lab.topology import Host

_RTM_SETLINK = 19  # linux/rtnetlink.h
_NLM_F_REQUEST_ACK = 0x5  # linux/netlink.h
_NLMSG_ERROR = 2
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_IFINFO = struct.Struct("=BxHiII")  # struct ifinfomsg
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr
_IFLA_PROTINFO_NESTED = 12 | 0x8000
_IFLA_BRPORT_STATE = 1
_BR_STATE_DISABLED = 0
_IFF_UP = 1


class Fault(enum.StrEnum):
    """What is done to the victim of a trial."""

    HOST_DEATH = "host-death"  # all its processes frozen and its port silent, at once
    HERALD_KILLED = "herald-sigkill"
    HERALD_STOPPED = "herald-sigstop"  # for longer than its lease of 3 s
    AGENT_KILLED = "agent-sigkill"
    LINK_CUT = "link-cut"  # the node sees its carrier go
    PLANNED_LEAVE = "planned-leave"  # SIGTERM of its supervisor
    ROLLING_RESTART = "rolling-restart"  # SIGTERM and start, one node after the other
    ROLLING_UPGRADE = "rolling-upgrade"  # the same with hold, to a build with another map layout

    @property
    def moves_vips(self) -> bool:
        """Whether the victim's VIPs have to be taken over."""
        return self in _MOVING

    @property
    def mends_itself(self) -> bool:
        """Whether nothing is left to be repaired once what was hit is back."""
        return self in {Fault.HERALD_KILLED, Fault.AGENT_KILLED}

    @property
    def is_rolling(self) -> bool:
        """Whether it goes through all nodes, one after the other."""
        return self in {Fault.ROLLING_RESTART, Fault.ROLLING_UPGRADE}

    @property
    def may_move_any(self) -> bool:
        """Whether VIPs of every node may move: each node leaves once."""
        return self is Fault.ROLLING_RESTART


_MOVING = {Fault.HOST_DEATH, Fault.HERALD_STOPPED, Fault.LINK_CUT, Fault.PLANNED_LEAVE}


@attrs.frozen
class Instant:
    """When a fault happened: CLOCK_MONOTONIC just before its first and just after its last part."""

    began_ns: int
    ended_ns: int


@attrs.define
class Strike:
    """A fault, made ready to hit `victim`."""

    fault: Fault
    pids: tuple[int, ...]
    message: bytes  # to the switch's kernel, empty where the network stays
    netlink: socket.socket

    def hit(self) -> Instant:
        """Do it. Raises LabError when the kernel refuses."""
        missed = 0
        began = time.monotonic_ns()
        if self.message:
            self.netlink.send(self.message)
        for pid in self.pids:
            try:
                os.kill(pid, _SIGNALS[self.fault])
            except ProcessLookupError:
                missed += 1
        ended = time.monotonic_ns()
        if self.message:
            _check(self.netlink.recv(4096))
        # On a whole host a process may have come to its end by itself.
        if missed and missed == len(self.pids):
            raise LabError("what was to be hit had just ended by itself")
        return Instant(began, ended)


_SIGNALS = {
    Fault.HOST_DEATH: signal.SIGSTOP,
    Fault.HERALD_KILLED: signal.SIGKILL,
    Fault.HERALD_STOPPED: signal.SIGSTOP,
    Fault.AGENT_KILLED: signal.SIGKILL,
    Fault.PLANNED_LEAVE: signal.SIGTERM,
    Fault.ROLLING_RESTART: signal.SIGTERM,
    Fault.ROLLING_UPGRADE: signal.SIGTERM,
}
_TARGETS = {
    Fault.HERALD_KILLED: Target.HERALD,
    Fault.HERALD_STOPPED: Target.HERALD,
    Fault.AGENT_KILLED: Target.AGENT,
    Fault.PLANNED_LEAVE: Target.SUPERVISOR,
    Fault.ROLLING_RESTART: Target.SUPERVISOR,
    Fault.ROLLING_UPGRADE: Target.SUPERVISOR,
}


@contextmanager
def ready(lab: Lab, fault: Fault, victim: Host) -> Iterator[Strike]:
    """Look up all that `fault` needs to hit `victim`. Raises LabError."""
    if fault is Fault.HOST_DEATH:
        pids = tuple(processes_in(victim.namespace))
    else:
        target = _TARGETS.get(fault)
        pids = () if target is None else (lab.process(victim, target).pid,)
    with netlink_in(lab.topology.switch) as (netlink, interfaces):
        port = interfaces[victim.name]
        messages = {Fault.HOST_DEATH: silence_port(port), Fault.LINK_CUT: take_down(port)}
        yield Strike(fault, pids, messages.get(fault, b""), netlink)


@contextmanager
def netlink_in(namespace: str) -> Iterator[tuple[socket.socket, dict[str, int]]]:
    """A routing socket of a namespace, where it stays, and the indices of its interfaces."""
    with inside(namespace):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        interfaces = {name: index for index, name in socket.if_nameindex()}
    with sock:
        sock.settimeout(5.0)
        yield sock, interfaces


def silence_port(index: int) -> bytes:
    """The message after which a bridge forwards nothing on a port, whose carrier stays."""
    state = _attribute(_IFLA_BRPORT_STATE, bytes([_BR_STATE_DISABLED]))
    info = _IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    return _message(info + _attribute(_IFLA_PROTINFO_NESTED, state))


def take_down(index: int) -> bytes:
    """The message that takes an interface down, so that its peer sees the carrier go."""
    return _message(_IFINFO.pack(socket.AF_UNSPEC, 0, index, 0, _IFF_UP))


def _attribute(kind: int, value: bytes) -> bytes:
    octets = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    return octets + bytes(-len(octets) % 4)


def _message(body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), _RTM_SETLINK, _NLM_F_REQUEST_ACK, 1, 0) + body


def _check(answer: bytes) -> None:
    """Raise LabError unless the kernel acknowledged."""
    kind = _HEADER.unpack_from(answer)[1]
    [error] = struct.unpack_from("=i", answer, _HEADER.size)
    if kind != _NLMSG_ERROR or error:
        raise LabError(f"the switch's kernel refused the cut: {os.strerror(-error)}")


def thaw(pids: Sequence[int]) -> None:
    """SIGCONT whatever of `pids` is still there."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue
