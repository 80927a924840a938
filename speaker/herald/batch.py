"""
Many frames with one system call: sendmmsg(2), which Python's socket does not have.

Some 2 us a frame on a veth, of which nearly all is the kernel's own way of a frame. Frames made by
an XDP program (BPF_F_TEST_XDP_LIVE_FRAMES) took 1 us, but only drivers with ndo_xdp_xmit take them,
no bond, bridge or VLAN does, and tcpdump does not see them; see docs/reference/performance.md.
"""

import ctypes
from typing import Final

AT_ONCE: Final = 256
MAX_BYTES: Final = 128
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("sent_bytes", ctypes.c_uint))


class Batch:
    """Room for AT_ONCE frames of up to MAX_BYTES and their headers, some 60 KiB."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(AT_ONCE * MAX_BYTES)
        self._vectors = (_IoVec * AT_ONCE)()
        self._headers = (_MMsgHdr * AT_ONCE)()
        self._frame_bytes = 0  # that the vectors are laid out for
        start = ctypes.addressof(self._vectors)
        for number, message in enumerate(self._headers):
            message.header.vectors = start + number * ctypes.sizeof(_IoVec)
            message.header.vector_count = 1

    def send(self, fd: int, frames: bytes, frame_bytes: int) -> int:
        """Send frames of `frame_bytes` that lie one behind the other; returns how many went."""
        self._lay_out(frame_bytes)
        sent, turn_bytes = 0, AT_ONCE * frame_bytes
        for at in range(0, len(frames), turn_bytes):
            some = frames[at : at + turn_bytes]
            ctypes.memmove(self._buffer, some, len(some))
            count = len(some) // frame_bytes
            gone = self._send_first(fd, count)
            sent += gone
            if gone < count:
                break
        return sent

    def _lay_out(self, frame_bytes: int) -> None:
        if self._frame_bytes == frame_bytes:
            return
        if frame_bytes > MAX_BYTES:
            raise ValueError(f"frames of {frame_bytes} octets, at most {MAX_BYTES}")
        start = ctypes.addressof(self._buffer)
        for number, vector in enumerate(self._vectors):
            vector.base, vector.size = start + number * frame_bytes, frame_bytes
        self._frame_bytes = frame_bytes

    def _send_first(self, fd: int, count: int) -> int:
        """Send the first `count` frames of the buffer; the kernel may take them in several goes."""
        sent = 0
        while sent < count:
            first = ctypes.byref(self._headers, sent * ctypes.sizeof(_MMsgHdr))
            gone = _LIBC.sendmmsg(fd, first, count - sent, 0)
            if gone <= 0:
                break
            sent += gone
        return sent
