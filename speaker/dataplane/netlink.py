"""
Raw rtnetlink: one socket, requests with their answers, dumps, and bounded parsing.

    nlmsghdr   length u32, type u16, flags u16, sequence u32, port u32         (host order)
    rtattr     length u16 (with these four bytes), type u16, value, padded to 4

pyroute2 does this too, for some 20 MB that the herald does not have.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

import attrs

from speaker.dataplane.errors import ApplyError, KernelError

# linux/netlink.h
NLM_F_REQUEST: Final = 0x1
NLM_F_MULTI: Final = 0x2
NLM_F_ACK: Final = 0x4
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_DUMP: Final = 0x300
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

# linux/rtnetlink.h
RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_SETLINK: Final = 19
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_GETROUTE: Final = 26
RTM_DELQDISC: Final = 37
RTM_GETTFILTER: Final = 46
RTMGRP_LINK: Final = 0x1
RTMGRP_IPV4_IFADDR: Final = 0x10
RTMGRP_IPV4_ROUTE: Final = 0x40
RTMGRP_IPV6_IFADDR: Final = 0x100
RTMGRP_IPV6_ROUTE: Final = 0x400

HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; beyond net.core.rmem_max
_RECEIVE_BYTES = 1 << 16
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_TIMEOUT_S = 2.0  # the kernel answers at once; this only ends a wait for a lost answer


@attrs.frozen
class Message:
    """One netlink message without its header."""

    kind: int
    flags: int
    body: memoryview


def attribute(kind: int, value: bytes) -> bytes:
    """One rtattr, padded."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(body: memoryview) -> dict[int, memoryview]:
    """Attributes by type, the last of a kind winning; stops at what does not fit."""
    found: dict[int, memoryview] = {}
    offset, end = 0, len(body)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < 4 or offset + length > end:
            break
        found[kind & _TYPE_MASK] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def messages(data: memoryview) -> Iterator[Message]:
    """Messages of one datagram; stops at what does not fit."""
    offset, end = 0, len(data)
    while offset + HEADER.size <= end:
        length, kind, flags, _, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > end:
            return
        yield Message(kind, flags, data[offset + HEADER.size : offset + length])
        offset += (length + 3) & ~3


@attrs.define
class Netlink:
    """A socket for requests: `ask` for one answer, `dump` for lists. Use as a context manager."""

    _socket: socket.socket
    _sequence: int = 0

    @classmethod
    def open(cls) -> "Netlink":
        """Open in the network namespace of the caller."""
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        sock.settimeout(_TIMEOUT_S)
        sock.bind((0, 0))
        return cls(sock)

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, what: str, kind: int, flags: int, body: bytes) -> None:
        """Send a change and wait for its acknowledgement; KernelError that begins with `what`."""
        self._send(kind, NLM_F_REQUEST | NLM_F_ACK | flags, body)
        for message in self._answers():
            if message.kind == NLMSG_ERROR:
                code = -int.from_bytes(message.body[:4], "little", signed=True)
                if code:
                    raise KernelError(what, code)
                return

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """List objects; raises KernelError. A dump the kernel calls inconsistent is repeated."""
        for _ in range(3):
            self._send(kind, NLM_F_REQUEST | NLM_F_DUMP, body)
            found: list[Message] = []
            for message in self._answers():
                if message.kind == NLMSG_DONE:
                    break
                if message.kind == NLMSG_ERROR:
                    code = -int.from_bytes(message.body[:4], "little", signed=True)
                    raise KernelError(f"rtnetlink dump {kind}", code)
                found.append(message)
            if not any(message.flags & 0x10 for message in found):  # NLM_F_DUMP_INTR
                break
        return found

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), kind, flags, self._sequence, 0)
        self._socket.sendto(header + body, (0, 0))

    def _answers(self) -> Iterator[Message]:
        while True:
            try:
                data = memoryview(self._socket.recv(_RECEIVE_BYTES))
            except OSError as exc:
                raise ApplyError(f"rtnetlink did not answer: {exc}") from exc
            sequence = int.from_bytes(data[8:12], "little") if len(data) >= 16 else -1
            if sequence == self._sequence:  # else: the tail of an answer given up on
                yield from messages(data)


@attrs.define
class Subscription:
    """A non-blocking socket for changes; `overrun` once the kernel dropped some."""

    _socket: socket.socket
    overrun: bool = False

    @classmethod
    def open(cls, groups: int) -> "Subscription":
        """Subscribe in the network namespace of the caller."""
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 20)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((0, groups))
        return cls(sock)

    def fileno(self) -> int:
        """For add_reader."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self, datagrams: int = 64) -> list[Message]:
        """Take up to `datagrams`; sets `overrun` when the kernel says that some were lost."""
        found: list[Message] = []
        for _ in range(datagrams):
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise ApplyError(
                        f"rtnetlink subscription: {os.strerror(exc.errno or 0)}"
                    ) from exc
                self.overrun = True
                continue
            found.extend(messages(memoryview(data)))
        return found
