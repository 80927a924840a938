"""
The hooks of one interface, each put on, swapped and taken off by the kernel's own means.

XDP and tcx are bpf_links, whose pin keeps them on; a tc filter of a clsact qdisc stays by itself,
and the pin of its program tells later processes that it is ours.
"""

import ctypes
import errno
import os
import socket
import struct
from typing import Final

from speaker.dataplane import netlink as nl
from speaker.dataplane.errors import KernelError
from speaker.dataplane.libbpf import (
    ATTACH_TCX_INGRESS,
    ATTACH_XDP,
    TC_F_REPLACE,
    TC_INGRESS,
    XDP_FLAGS_DRV_MODE,
    XDP_FLAGS_SKB_MODE,
    Libbpf,
    TcHook,
    TcOpts,
)
from speaker.dataplane.program import Program
from speaker.dataplane.values import Rung

LINK_RUNGS: Final = frozenset({Rung.NATIVE, Rung.GENERIC, Rung.TCX})

# Ours among tc filters of an interface: before the default priorities that tc gives (49152 down).
_HANDLE: Final = 1
_PRIORITY: Final = 0x53
_TCMSG: Final = struct.Struct("=BBHiIII")
_CLSACT: Final = 0xFFFF_FFF1  # TC_H_CLSACT, linux/pkt_sched.h
_CLSACT_HOOKS: Final = (0xFFFF_FFF2, 0xFFFF_FFF3)  # its ingress and egress


def put_on(libbpf: Libbpf, program: Program, ifindex: int, rung: Rung) -> int:
    """
    Attach; returns a descriptor to be pinned: the link, or for CLSACT the program.


    Raises KernelError; with EBUSY or EEXIST the hook is taken: foreign programs are never replaced.
    """
    match rung:
        case Rung.NATIVE:
            return libbpf.link_create(program.xdp_fd, ifindex, ATTACH_XDP, XDP_FLAGS_DRV_MODE)
        case Rung.GENERIC:
            return libbpf.link_create(program.xdp_fd, ifindex, ATTACH_XDP, XDP_FLAGS_SKB_MODE)
        case Rung.TCX:
            return libbpf.link_create(program.tc_fd, ifindex, ATTACH_TCX_INGRESS)
        case _:
            if filter_program(libbpf, ifindex):
                raise KernelError(f"tc filter on interface {ifindex}", errno.EBUSY)
            _filter(libbpf, program, ifindex, 0)
            return os.dup(program.tc_fd)


def swap(libbpf: Libbpf, program: Program, ifindex: int, rung: Rung, fd: int) -> int:
    """Put `program` in place of ours, atomically; returns the descriptor to pin instead."""
    if rung in LINK_RUNGS:
        libbpf.link_update(fd, program.tc_fd if rung is Rung.TCX else program.xdp_fd)
        return fd
    _filter(libbpf, program, ifindex, TC_F_REPLACE)
    os.close(fd)
    return os.dup(program.tc_fd)


def stands(libbpf: Libbpf, ifindex: int, rung: Rung, fd: int) -> bool:
    """Whether it is still on: nobody detached the link or removed the filter."""
    if rung in LINK_RUNGS:
        return bool(libbpf.link_info(fd).ifindex == ifindex)
    return filter_program(libbpf, ifindex) == libbpf.program_id(fd)


def take_off(libbpf: Libbpf, ifindex: int, rung: Rung, fd: int) -> None:
    """Detach; a hook or interface that is gone is fine. Raises KernelError."""
    try:
        if rung in LINK_RUNGS:
            libbpf.call("detach a link", "bpf_link_detach", fd)
        elif stands(libbpf, ifindex, rung, fd):
            hook, options = _hook(ifindex), _options(0, 0)
            libbpf.call(
                "remove a tc filter",
                "bpf_tc_detach",
                ctypes.addressof(hook),
                ctypes.addressof(options),
            )
    except KernelError as exc:
        if exc.errno not in {errno.ENOENT, errno.ENOLINK, errno.ENODEV, errno.EINVAL}:
            raise


def xdp_program(libbpf: Libbpf, ifindex: int) -> int:
    """Id of the XDP program attached to the interface by anybody, in any mode; 0 for none."""
    for flags in (0, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE):
        found = ctypes.c_uint32()
        if not libbpf.lib.bpf_xdp_query_id(ifindex, flags, ctypes.byref(found)) and found.value:
            return found.value
    return 0


def make_clsact(libbpf: Libbpf, ifindex: int) -> bool:
    """Give the interface a clsact qdisc; False when it had one. Raises KernelError."""
    hook = _hook(ifindex)
    try:
        libbpf.call("make a clsact qdisc", "bpf_tc_hook_create", ctypes.addressof(hook))
    except KernelError as exc:
        if exc.errno == errno.EEXIST:
            return False
        raise
    return True


def drop_clsact(ifindex: int) -> bool:
    """Remove the clsact qdisc when it has no filters; whether it was."""
    with nl.Netlink.open() as netlink:
        for parent in _CLSACT_HOOKS:
            ask = _TCMSG.pack(socket.AF_UNSPEC, 0, 0, ifindex, 0, parent, 0)
            if netlink.dump(nl.RTM_GETTFILTER, ask):
                return False
        body = _TCMSG.pack(socket.AF_UNSPEC, 0, 0, ifindex, 0xFFFF0000, _CLSACT, 0)
        netlink.ask("remove the clsact qdisc", nl.RTM_DELQDISC, 0, body)
    return True


def filter_program(libbpf: Libbpf, ifindex: int) -> int:
    """Id of the program of the tc filter in our place, 0 for none."""
    hook, options = _hook(ifindex), _options(0, 0)
    try:
        libbpf.call(
            "query a tc filter", "bpf_tc_query", ctypes.addressof(hook), ctypes.addressof(options)
        )
    except KernelError:
        return 0
    return int(options.prog_id)


def _filter(libbpf: Libbpf, program: Program, ifindex: int, flags: int) -> None:
    hook, options = _hook(ifindex), _options(program.tc_fd, flags)
    libbpf.call(
        "attach a tc filter", "bpf_tc_attach", ctypes.addressof(hook), ctypes.addressof(options)
    )


def _hook(ifindex: int) -> TcHook:
    return TcHook(sz=ctypes.sizeof(TcHook), ifindex=ifindex, attach_point=TC_INGRESS)


def _options(program_fd: int, flags: int) -> TcOpts:
    return TcOpts(
        sz=ctypes.sizeof(TcOpts),
        prog_fd=program_fd,
        flags=flags,
        handle=_HANDLE,
        priority=_PRIORITY,
    )
