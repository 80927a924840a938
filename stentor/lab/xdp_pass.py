"""
`python -m stentor.lab.xdp_pass INTERFACE...`: hang an XDP program that passes all on interfaces.

veth drops what its peer sends by XDP_TX unless it has an XDP program itself (seen on 6.18; GRO
alone was not enough). The switch's end of each node's cable gets one here, as a real switch needs
none. It goes away with the interface.
"""

import ctypes
import socket
import sys

from speaker.dataplane.libbpf import PROG_TYPE_XDP, XDP_FLAGS_DRV_MODE, Libbpf

XDP_PASS = 2  # linux/bpf.h enum xdp_action
# r0 = XDP_PASS (BPF_ALU64 | BPF_MOV | BPF_K); exit (BPF_JMP | BPF_EXIT)
PROGRAM = (
    bytes.fromhex("b7000000") + XDP_PASS.to_bytes(4, "little") + bytes.fromhex("9500000000000000")
)
LICENSE = b"Apache-2.0"


def load(libbpf: Libbpf) -> int:
    """The descriptor of the program. Raises KernelError."""
    libbpf.lib.bpf_prog_load.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
    )
    count = len(PROGRAM) // 8
    arguments = (PROG_TYPE_XDP, b"st_lab_pass", LICENSE, PROGRAM, count, None)
    return libbpf.call("load a program that passes all", "bpf_prog_load", *arguments)


def main(interfaces: list[str]) -> None:
    """Attach to each interface of this network namespace, in native mode."""
    libbpf = Libbpf()
    program = load(libbpf)
    libbpf.lib.bpf_xdp_attach.argtypes = (
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_uint32,
        ctypes.c_void_p,
    )
    for name in interfaces:
        index = socket.if_nametoindex(name)
        libbpf.call(f"attach to {name}", "bpf_xdp_attach", index, program, XDP_FLAGS_DRV_MODE, None)


if __name__ == "__main__":
    main(sys.argv[1:])
