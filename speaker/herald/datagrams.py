"""Beats by UDP out of one interface, for fabrics that drop their EtherType."""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import attrs

from speaker.beats import BEAT_BYTES, HOP_LIMIT, PORT
from speaker.herald.actions import Vip

DATAGRAMS_A_TURN: Final = 256
_IP_RECVERR: Final = 11  # linux/in.h
_IPV6_RECVERR: Final = 25  # linux/in6.h
_ERROR: Final = struct.Struct("=IBBBxII")  # struct sock_extended_err, linux/errqueue.h
_ERROR_BYTES: Final = 512


@attrs.define(eq=False)
class Datagrams:
    """
    A socket for each IP version, opened when it is first needed.

    They are bound to the interface, so that no route leads a beat to another segment, and send with
    a hop limit of 255, which a router would lower: programs reflect nothing else (RFC 5082).
    `watch(fd)` and `unwatch(fd)` are called for a socket that comes and goes; call `read` when one
    is readable. `heard(octets)` gets what came, `refused(address)` who has no socket or program.
    """

    interface: str
    watch: Callable[[int], None]
    unwatch: Callable[[int], bool]
    heard: Callable[[bytes], bool]
    refused: Callable[[Vip], None]
    _sockets: dict[int, socket.socket] = attrs.field(factory=dict)

    def send(self, octets: bytes, address: Vip) -> None:
        """Send a beat; raises OSError."""
        sock = self._sockets.get(address.version)
        if sock is None:
            sock = self._sockets[address.version] = _open(self.interface, address.version)
            self.watch(sock.fileno())
        sock.sendto(octets, (str(address), PORT))

    def read(self) -> bool:
        """Take what came; returns whether any of it was heard."""
        heard = False
        for sock in self._sockets.values():
            self._read_errors(sock)
            for _ in range(DATAGRAMS_A_TURN):
                try:
                    octets = sock.recv(BEAT_BYTES + 1)
                except BlockingIOError:
                    break
                except OSError:  # the error that was read from the queue, once more
                    continue
                heard = self.heard(octets) or heard
        return heard

    def _read_errors(self, sock: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(DATAGRAMS_A_TURN):
                _, control, _, target = sock.recvmsg(BEAT_BYTES, _ERROR_BYTES, socket.MSG_ERRQUEUE)
                codes = [_ERROR.unpack_from(data)[0] for *_, data in control]
                if errno.ECONNREFUSED in codes:
                    self.refused(ip_address(target[0].partition("%")[0]))

    def close(self) -> None:
        """Close what was opened."""
        for sock in self._sockets.values():
            self.unwatch(sock.fileno())
            sock.close()
        self._sockets.clear()


def _open(interface: str, version: int) -> socket.socket:
    is_v4 = version == 4
    family = socket.AF_INET if is_v4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if is_v4:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOP_LIMIT)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, HOP_LIMIT)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    except OSError:
        sock.close()
        raise
    return sock
