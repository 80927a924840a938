"""
`python -m stentor.lab.xdp_pass [--loss PERCENT] INTERFACE...`: hang a small XDP program on them.

veth drops what its peer sends by XDP_TX unless it has an XDP program itself (seen on 6.18; GRO
alone was not enough). The switch's end of each node's cable gets one here, as a real switch needs
none. It goes away with the interface, and takes the place of the one that was there before.

With a loss it drops so many of the frames that come in, at random: netem is not in every kernel.
"""

import argparse
import ctypes
import socket

from speaker.dataplane.libbpf import PROG_TYPE_XDP, XDP_FLAGS_DRV_MODE, Libbpf

XDP_DROP, XDP_PASS = 1, 2  # linux/bpf.h enum xdp_action
GET_PRANDOM_U32 = 7  # linux/bpf.h enum bpf_func_id
LICENSE = b"Apache-2.0"
_CALL, _EXIT, _MOV, _JLT32 = 0x85, 0x95, 0xB7, 0xA6  # linux/bpf.h, BPF_JMP32 | BPF_JLT | BPF_K
_RANGE = 1 << 32


def instruction(code: int, *, immediate: int = 0, offset: int = 0) -> bytes:
    """One instruction on register 0, `struct bpf_insn`."""
    number = immediate.to_bytes(4, "little")
    return bytes([code, 0]) + offset.to_bytes(2, "little") + number


def program(loss_percent: float = 0.0) -> bytes:
    """The instructions that pass all frames but `loss_percent` of them."""
    passes = instruction(_MOV, immediate=XDP_PASS) + instruction(_EXIT)
    if not loss_percent:
        return passes
    threshold = min(_RANGE - 1, round(_RANGE * loss_percent / 100))
    return b"".join(
        (
            instruction(_CALL, immediate=GET_PRANDOM_U32),
            instruction(_JLT32, immediate=threshold, offset=len(passes) // 8),
            passes,
            instruction(_MOV, immediate=XDP_DROP),
            instruction(_EXIT),
        )
    )


def load(libbpf: Libbpf, instructions: bytes) -> int:
    """The descriptor of the program. Raises KernelError."""
    libbpf.lib.bpf_prog_load.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
    )
    count = len(instructions) // 8
    arguments = (PROG_TYPE_XDP, b"st_lab_pass", LICENSE, instructions, count, None)
    return libbpf.call("load a program that passes frames", "bpf_prog_load", *arguments)


def main() -> None:
    """Attach to each interface of this network namespace, in native mode."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("interfaces", nargs="+")
    given = parser.parse_args()
    libbpf = Libbpf()
    loaded = load(libbpf, program(given.loss))
    libbpf.lib.bpf_xdp_attach.argtypes = (
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_uint32,
        ctypes.c_void_p,
    )
    for name in given.interfaces:
        index = socket.if_nametoindex(name)
        libbpf.call(f"attach to {name}", "bpf_xdp_attach", index, loaded, XDP_FLAGS_DRV_MODE, None)


if __name__ == "__main__":
    main()
