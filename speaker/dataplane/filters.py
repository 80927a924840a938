"""Classic BPF filters of AF_PACKET sockets (linux/filter.h): what never wakes this process."""

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant

LEN, LDH, LDB, JEQ, JGT, RET = 0x80, 0x28, 0x30, 0x15, 0x25, 0x06
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h


def attach(sock: socket.socket, instructions: Sequence[Instruction]) -> None:
    """Filter a socket; before it is bound, so that nothing slips in. Raises OSError."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: count, padding, pointer
    program = struct.pack("@HxxxxxxQ", len(instructions), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
