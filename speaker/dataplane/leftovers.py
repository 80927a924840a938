"""Undo everything any version of us left behind."""

import os
import shutil
import socket
from pathlib import Path

from speaker.dataplane import bpffs as fs
from speaker.dataplane import hooks, multicast, sysctls, undo
from speaker.dataplane.attach import PinName
from speaker.dataplane.errors import ApplyError, KernelError
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.netlink import Netlink


def cleanup(bpffs: Path, state_dir: Path) -> tuple[str, ...]:
    """
    Undo everything any version of us left: links, filters, pins, groups, sysctls, offloads.

    Returns a line for each thing undone; idempotent. Raises ApplyError without the privilege.
    """
    done: list[str] = []
    originals = undo.load(state_dir)
    if bpffs.is_dir() and fs.is_bpffs(bpffs):
        for version in sorted(bpffs.glob("v*")):
            done += _detach(version / "links")
            done += _remove_tree(version)
    for ifindex in originals.clsact:
        done += _drop_clsact(int(ifindex))
    with Netlink.open() as netlink:
        for group in multicast.standing():
            multicast.leave(netlink, group)
            done.append(f"multicast group {socket.inet_ntop(socket.AF_INET6, group[1])}")
    done += sysctls.restore_sysctls(originals)
    present = {name for _, name in socket.if_nameindex()}
    for name in originals.rxvlan:
        if name in present:
            sysctls.set_rx_vlan_offload(name, on=True)
            done.append(f"rxvlan of {name} on")
    for name in originals.allmulti:
        if name in present and multicast.set_allmulti(name, on=False):
            done.append(f"allmulti of {name} off")
    done += _remove_mounts(bpffs, originals)
    undo.forget(state_dir)
    return tuple(done)


def _detach(links: Path) -> list[str]:
    done = []
    libbpf: Libbpf | None = None
    for path in sorted(links.iterdir()) if links.is_dir() else []:
        name = PinName.parse(path.name)
        libbpf = libbpf or Libbpf()
        fd = libbpf.get(path)
        try:
            if name is not None:
                hooks.take_off(libbpf, name.ifindex, name.rung, fd)
        finally:
            os.close(fd)
        path.unlink()
        done.append(f"program of interface {path.name.partition('-')[0]}")
    return done


def _remove_tree(version: Path) -> list[str]:
    try:
        shutil.rmtree(version)
    except OSError as exc:
        raise ApplyError(f"cannot remove {version}: {exc.strerror}") from exc
    return [f"pins in {version}"]


def _drop_clsact(ifindex: int) -> list[str]:
    try:
        return [f"clsact qdisc of interface {ifindex}"] if hooks.drop_clsact(ifindex) else []
    except KernelError:
        return []  # the interface is gone, or its qdisc


def _remove_mounts(bpffs: Path, originals: undo.Originals) -> list[str]:
    if bpffs.is_dir() and fs.is_bpffs(bpffs) and not bpffs.is_mount():
        bpffs.rmdir()
    return [f"bpffs on {path}" for path in originals.bpffs if fs.unmount(Path(path))]
