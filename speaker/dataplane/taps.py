"""
The last rung: ARP, ND and beats taken off AF_PACKET sockets, run through the very same program,
and its answers sent by hand.

Two sockets an interface. Beats are taken before questions, so that a herald that was stopped obeys
a claim that came meanwhile before it answers what was asked meanwhile; and a new tap hears beats
alone for EARS_NS, since nobody reflected while there was none. A turn takes so many frames and no
more: a flood costs its own questions, not the lease.
"""

import errno
import select
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Final

import attrs

from speaker.dataplane import filters
from speaker.dataplane.errors import KernelError
from speaker.dataplane.filters import JEQ, JGT, LDB, LDH, LEN, RET
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.runner import ROOM_BYTES, Runner

FRAMES_A_TURN: Final = 32  # of each socket: a millisecond or so
EARS_NS: Final = 60_000_000  # two beats: whoever fences us has said so by then
BUFFER_BYTES: Final = 1 << 20  # waiting frames of a socket: some thousand

ETH_P_ALL: Final = 0x0003  # linux/if_ether.h; a protocol of its own would not see tagged frames
BEAT_PORT: Final = 7947  # bpf/include/beat_udp.h
_VLAN: Final = 0x8100
_SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h
_SOL_PACKET: Final = 263  # linux/socket.h
_PACKET_AUXDATA: Final = 8  # linux/if_packet.h
_PACKET_IGNORE_OUTGOING: Final = 23
_AUXDATA: Final = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata, linux/if_packet.h
_VLAN_VALID: Final = 1 << 4  # TP_STATUS_VLAN_VALID
_TPID_VALID: Final = 1 << 6
_LLADDRS_BYTES: Final = 12  # in front of a tag
_TAG_BYTES: Final = 4
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_AUXDATA.size)

# The kernel has taken the tag out before a filter runs.
_LONGEST: Final = ROOM_BYTES - _TAG_BYTES
_QUESTIONS: Final = (
    (LEN, 0, 0, 0),
    (JGT, 9, 0, _LONGEST),  # longer than anything that is answered
    (LDH, 0, 0, 12),  # EtherType
    (JEQ, 6, 0, 0x0806),  # ARP
    (JEQ, 0, 6, 0x86DD),  # IPv6
    (LDB, 0, 0, 20),  # next header
    (JEQ, 0, 4, 58),  # ICMPv6
    (LDB, 0, 0, 54),  # type
    (JEQ, 1, 0, 135),  # neighbour solicitation
    (JEQ, 0, 1, 136),  # neighbour advertisement
    (RET, 0, 0, ROOM_BYTES),  # take it
    (RET, 0, 0, 0),  # leave it
)
_BEATS: Final = (
    (LEN, 0, 0, 0),
    (JGT, 13, 0, _LONGEST),
    (LDH, 0, 0, 12),
    (JEQ, 10, 0, 0x88B5),  # a beat in a frame of its own
    (JEQ, 0, 4, 0x0800),  # IPv4
    (LDB, 0, 0, 23),  # protocol
    (JEQ, 0, 8, 17),  # UDP
    (LDH, 0, 0, 36),  # destination port; with options it is not ours, nor does the program look
    (JEQ, 5, 6, BEAT_PORT),
    (JEQ, 0, 5, 0x86DD),  # IPv6
    (LDB, 0, 0, 20),
    (JEQ, 0, 3, 17),
    (LDH, 0, 0, 56),
    (JEQ, 0, 1, BEAT_PORT),
    (RET, 0, 0, ROOM_BYTES),
    (RET, 0, 0, 0),
)


_NOTHING: Final = ((RET, 0, 0, 0),)


@attrs.define(eq=False)
class Tap:
    """The sockets of one interface."""

    ifindex: int
    beats: socket.socket
    questions: socket.socket
    answers_from_ns: int = -1  # -1: not known yet

    @classmethod
    def open(cls, ifindex: int) -> "Tap":
        """Raises KernelError when the interface is gone, or without CAP_NET_RAW."""
        beats = _open(ifindex, _BEATS)
        try:
            return cls(ifindex, beats, _open(ifindex, _QUESTIONS))
        except KernelError:
            beats.close()
            raise

    def is_bound(self) -> bool:
        """Whether the interface is still there: the kernel unbinds what hears one that goes."""
        try:
            name = self.questions.getsockname()[0]
            return bool(name and socket.if_nametoindex(name) == self.ifindex)
        except OSError:
            return False

    def close(self) -> None:
        """Hear nothing more."""
        self.beats.close()
        self.questions.close()


@attrs.define
class Taps:
    """
    All interfaces on this rung, answered by whoever calls `answer` when `fileno` is readable.

    `counts` gets `packets_unsent` (queue full, link down) and `packets_failed` (interface gone).
    """

    libbpf: Libbpf
    program_fd: int  # of the tc program, replaced when the tables grow
    counts: "Counter[str]" = attrs.field(factory=Counter)
    _taps: dict[int, Tap] = attrs.field(factory=dict)
    _mute: list[socket.socket] = attrs.field(factory=list)
    _fresh: list[Tap] = attrs.field(factory=list)  # that hear beats alone so far
    _poll: select.epoll = attrs.field(factory=select.epoll)
    _runner: Runner | None = None

    def fileno(self) -> int:
        """For add_reader; the same as long as this lives."""
        return self._poll.fileno()

    def put_on(self, ifindex: int) -> None:
        """Answer on an interface; raises KernelError."""
        self.take_off(ifindex)
        tap = self._taps[ifindex] = Tap.open(ifindex)
        self._mute = self._mute or _mute_port()
        self._poll.register(tap.beats, select.EPOLLIN)
        self._fresh.append(tap)

    def look(self, now_ns: int) -> None:
        """Begin to answer questions where beats were heard long enough; called every beat."""
        for tap in self._fresh[:]:
            if tap.answers_from_ns < 0:
                tap.answers_from_ns = now_ns + EARS_NS
            elif now_ns >= tap.answers_from_ns:
                self._poll.register(tap.questions, select.EPOLLIN)
                self._fresh.remove(tap)

    def stands(self, ifindex: int) -> bool:
        """Whether an interface is still answered."""
        tap = self._taps.get(ifindex)
        return tap is not None and tap.is_bound()

    def take_off(self, ifindex: int) -> None:
        """Answer there no more, but for what was asked before: another rung did not see it."""
        tap = self._taps.pop(ifindex, None)
        if tap is None:
            return
        self._drain(tap, tap.beats)
        if tap in self._fresh:
            self._fresh.remove(tap)
        else:
            self._drain(tap, tap.questions)
        tap.close()  # which also takes it out of the poll

    def close(self) -> None:
        """Close everything."""
        for ifindex in list(self._taps):
            self.take_off(ifindex)
        for sock in self._mute:
            sock.close()
        self._poll.close()

    def answer(self) -> None:
        """One bounded turn over all interfaces, beats first; `fileno` stays readable for more."""
        taps = list(self._taps.values())
        for tap in taps:
            self._drain(tap, tap.beats)
        for tap in taps:
            if tap not in self._fresh:
                self._drain(tap, tap.questions)

    def _drain(self, tap: Tap, sock: socket.socket) -> None:
        runner = self._runner = self._runner or Runner(self.libbpf)
        frame = memoryview(runner.room)
        for _ in range(FRAMES_A_TURN):
            try:
                size, ancillary, _, _ = sock.recvmsg_into([frame[_TAG_BYTES:]], _ANCILLARY_BYTES)
            except OSError:  # drained, or the interface went down
                return
            start = _TAG_BYTES
            if tag := _tag(ancillary):  # the LLADDRs move forward, it goes where they ended
                frame[:_LLADDRS_BYTES] = bytes(frame[start : start + _LLADDRS_BYTES])
                frame[_LLADDRS_BYTES : _LLADDRS_BYTES + _TAG_BYTES] = tag
                start = 0
            self._answer(tap, runner, start, size + _TAG_BYTES)

    def _answer(self, tap: Tap, runner: Runner, start: int, end: int) -> None:
        try:
            answer = runner.run(self.program_fd, tap.ifindex, start, end)
        except OSError:
            self.counts["packets_failed"] += 1
            return
        if answer is None:
            return
        try:
            tap.questions.send(answer)
        except OSError:
            self.counts["packets_unsent"] += 1


def _tag(ancillary: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The 802.1Q tag that the kernel took out of the frame, b"" for none."""
    for level, kind, data in ancillary:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA) and len(data) >= _AUXDATA.size:
            status, _, _, _, _, tci, tpid = _AUXDATA.unpack_from(data)
            if status & _VLAN_VALID:
                return struct.pack("!HH", tpid if status & _TPID_VALID else _VLAN, tci)
    return b""


def _mute_port() -> list[socket.socket]:
    """
    Bind the port of beats without hearing it: the kernel sees the datagrams too, and would call
    the port unreachable beside our answer. Who has it bound already does as much.
    """
    bound = []
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError:  # a kernel without IPv6
            continue
        try:
            filters.attach(sock, _NOTHING)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("", BEAT_PORT))
        except OSError:
            sock.close()
        else:
            bound.append(sock)
    return bound


def _open(ifindex: int, instructions: Sequence[filters.Instruction]) -> socket.socket:
    """A socket that has its filter before it is bound, so that nothing else slips in."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except OSError as exc:
        raise KernelError("open an AF_PACKET socket", exc.errno or errno.EPERM) from exc
    try:
        filters.attach(sock, instructions)
        sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        sock.bind((socket.if_indextoname(ifindex), ETH_P_ALL))
    except OSError as exc:
        sock.close()
        raise KernelError(f"hear interface {ifindex}", exc.errno or errno.ENODEV) from exc
    return sock
