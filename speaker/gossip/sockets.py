"""Opening the gossip sockets, and the form of addresses in which sockets give and take them."""

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from speaker.gossip.errors import BindError
from speaker.gossip.outputs import Endpoint

RECEIVE_BUFFER_BYTES = 2 << 20  # what memberlist asks for; the kernel may give less
TCP_BACKLOG = 128


@attrs.frozen
class Sockets:
    """The two sockets of a node, non-blocking, on one address and port."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def is_ipv6(self) -> bool:
        """Whether they are IPv6 sockets, which carry IPv4 as mapped addresses."""
        return self.udp.family == socket.AF_INET6

    def destination(self, to: Endpoint) -> Endpoint:
        """Give an address in the form that these sockets take."""
        host, port = to
        return (f"::ffff:{host}", port) if self.is_ipv6 and ":" not in host else to


@contextmanager
def open_sockets(bind: str, port: int) -> Iterator[Sockets]:
    """
    Bind UDP and TCP on `bind`, an IPv4 or IPv6 address; "::" takes IPv4 too.

    Raises BindError, which names address, port and what to do.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as udp,
        socket.socket(family, socket.SOCK_STREAM) as tcp,
    ):
        for each in (udp, tcp):
            each.setblocking(False)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Only for TCP, where it ignores what remains of closed connections: on UDP it would let
        # two programs have one port.
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        for each, transport in ((udp, "UDP"), (tcp, "TCP")):
            try:
                each.bind((bind, port))
                if each is tcp:
                    tcp.listen(TCP_BACKLOG)
            except OSError as exc:
                raise BindError(_explain(bind, port, transport, exc)) from exc
        yield Sockets(udp, tcp)


def _explain(bind: str, port: int, transport: str, exc: OSError) -> str:
    head = f"gossip cannot use {transport} port {port} of {bind}"
    if exc.errno == errno.EADDRINUSE:
        flag = "u" if transport == "UDP" else "t"
        return (
            f"{head}: another program has it; end that one "
            f"(`ss -ln{flag}p 'sport = :{port}'` shows it), or give all nodes another gossip port"
        )
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"{head}: this host has no such address; bind to one that `ip address` shows"
    if exc.errno == errno.EACCES:
        return f"{head}: not permitted; take a port from 1024 up, or run with CAP_NET_BIND_SERVICE"
    return f"{head}: {exc.strerror or exc}"


def source_endpoint(address: Sequence[Any]) -> Endpoint:
    """Give what a socket calls a peer as plain address text, without mapping and scope."""
    host = str(address[0]).partition("%")[0]
    return host.removeprefix("::ffff:") if "." in host else host, int(address[1])
