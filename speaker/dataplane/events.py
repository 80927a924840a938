"""Events of the program, out of its ring buffer."""

import ctypes
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import attrs

from speaker.dataplane.layout import EVENT, EventKind, Voice
from speaker.dataplane.libbpf import SAMPLE_FN, Libbpf
from speaker.dataplane.values import HeardVoice

BATCH: Final = 256
_STOP: Final = -1  # ends a ring_buffer__consume after the record it came with


def decode(record: bytes) -> HeardVoice | None:
    """One record; None for a kind or family that this version does not know."""
    if len(record) < EVENT.size_bytes:
        return None
    found: dict[str, Any] = EVENT.unpack(record)
    if found["kind"] not in set(EventKind) or found["family"] not in {4, 6}:
        return None
    vip: bytes = found["vip"]
    return HeardVoice(
        kind=EventKind(found["kind"]),
        time_ns=found["time_ns"],
        vip=IPv4Address(vip[:4]) if found["family"] == 4 else IPv6Address(vip),
        ifindex=found["ifindex"],
        vlan=found["vlan"],
        lladdr=found["lladdr"],
        voice=Voice(found["state"]) if found["state"] in set(Voice) else Voice.PASS,
    )


@attrs.define
class Events:
    """Consumer of the ring buffer: `fd` is readable while there is something to read."""

    fd: int
    _libbpf: Libbpf
    _ring: int
    _callback: Callable[..., int]  # kept alive: libbpf calls it
    _read: list[bytes]

    @classmethod
    def open(cls, libbpf: Libbpf, map_fd: int) -> "Events":
        """Consume the ring buffer `map_fd`; raises KernelError."""
        read: list[bytes] = []

        def take(_: int, data: int, size: int) -> int:
            read.append(ctypes.string_at(data, size))
            return _STOP if len(read) >= BATCH else 0

        callback = SAMPLE_FN(take)
        ring = libbpf.pointer("open the ring buffer", "ring_buffer__new", map_fd, callback, 0, None)
        return cls(libbpf.lib.ring_buffer__epoll_fd(ring), libbpf, ring, callback, read)

    def read(self) -> list[HeardVoice]:
        """Take at most BATCH events."""
        self._libbpf.lib.ring_buffer__consume(self._ring)
        events = [event for record in self._read if (event := decode(record)) is not None]
        self._read.clear()
        return events

    def close(self) -> None:
        """Stop consuming."""
        if self._ring:
            self._libbpf.lib.ring_buffer__free(self._ring)
            self._ring = 0
            self.fd = -1
