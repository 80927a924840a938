"""
`python -m stentor.lab.chaos_sniffer BRIDGE`: write what the segment says about addresses to stdout.

Runs in the switch's namespace until it is killed or its parent ends. A promiscuous bridge passes up
each frame that it forwards, once, whatever the ports: what a cut port does not forward is not
heard. Times are the kernel's, of the arrival at the bridge's port.
"""

import os
import socket
import struct
import sys
import time

import attrs

from stentor.lab.chaos_frames import encode, encode_lost, read

_ETH_P_ALL = 3  # linux/if_ether.h
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS = 263, 1, 6  # linux/if_packet.h, socket.h
_MR_PROMISC = 1  # linux/if_packet.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the message has the same number
_TIMESPEC = struct.Struct("@ll")
_MEMBERSHIP = struct.Struct("@iHH8s")  # struct packet_mreq
_COUNTS = struct.Struct("@II")  # struct tpacket_stats: frames, frames dropped
_BUFFER_BYTES = 32 << 20  # seconds of frames, while others have the CPUs
_BURST = 256
_LOOK_EVERY_S = 0.5
_FRAME_BYTES = 128  # all we read is in the first 86


@attrs.define
class Clock:
    """Turns the kernel's CLOCK_REALTIME stamps into CLOCK_MONOTONIC."""

    _ahead_ns: int = 0  # of CLOCK_REALTIME

    def compare(self) -> None:
        """Compare the clocks; of ten tries the one that was least disturbed counts."""
        tries = []
        for _ in range(10):
            before = time.monotonic_ns()
            real = time.time_ns()
            after = time.monotonic_ns()
            tries.append((after - before, real - (before + after) // 2))
        self._ahead_ns = min(tries)[1]

    def monotonic_ns(self, realtime_ns: int) -> int:
        """The same moment in CLOCK_MONOTONIC nanoseconds."""
        return realtime_ns - self._ahead_ns


def listen(bridge: str) -> socket.socket:
    """A socket that hears what `bridge` forwards, with the kernel's time of each frame."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    wire.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    wire.bind((bridge, _ETH_P_ALL))
    member = _MEMBERSHIP.pack(socket.if_nametoindex(bridge), _MR_PROMISC, 0, bytes(8))
    wire.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
    wire.settimeout(_LOOK_EVERY_S)
    return wire


def receive(wire: socket.socket, clock: Clock) -> bytes:
    """The records of the next frames; empty when none came for a while."""
    records = []
    flags = 0
    for _ in range(_BURST):
        try:
            frame, ancillary, _, _ = wire.recvmsg(_FRAME_BYTES, 64, flags)
        except (BlockingIOError, TimeoutError):
            break
        flags = socket.MSG_DONTWAIT
        [stamp] = [data for _, kind, data in ancillary if kind == _SO_TIMESTAMPNS]
        seconds, nanoseconds = _TIMESPEC.unpack(stamp)
        heard = read(frame, clock.monotonic_ns(seconds * 10**9 + nanoseconds))
        if heard is not None:
            records.append(encode(heard))
    return b"".join(records)


def main(bridge: str) -> None:
    """Listen until the parent ends. The first record says that nothing was lost so far."""
    parent = os.getppid()
    clock = Clock()
    with listen(bridge) as wire:
        clock.compare()
        os.write(1, encode_lost(time.monotonic_ns(), 0))
        looked_at = time.monotonic()
        while True:
            records = receive(wire, clock)
            if records:
                os.write(1, records)
            if time.monotonic() - looked_at >= _LOOK_EVERY_S:
                looked_at = time.monotonic()
                if os.getppid() != parent:
                    return
                clock.compare()
                lost = _COUNTS.unpack(wire.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size))[1]
                if lost:
                    os.write(1, encode_lost(time.monotonic_ns(), lost))


if __name__ == "__main__":
    main(sys.argv[1])
