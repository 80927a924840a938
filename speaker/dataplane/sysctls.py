"""
Settings of attached interfaces: ARP, and RX VLAN offload where a VLAN upper needs it.

arp_announce=2: the kernel never sends ARP with a VIP (on lo or an IPVS device) as its sender.
arp_ignore=1: it never answers for one either. The program drops such questions under a lease only,
and a VIP may stay on lo for longer (--release-grace, a frozen or stopped herald): seen as two nodes
answering for one VIP. IPv6 needs no such setting: a solicitation for an address of another
interface goes unanswered.
RX VLAN offload takes the tag out of the frame before XDP sees it.
"""

import ctypes
import errno
import fcntl
import socket
import struct
from pathlib import Path
from typing import Final

from speaker.dataplane.errors import KernelError
from speaker.dataplane.undo import Originals

_PROC_SYS: Final = Path("/proc/sys")
# Documentation/networking/ip-sysctl.rst; what kube-proxy calls strict ARP
_ARP: Final = {"arp_announce": "2", "arp_ignore": "1"}
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GFLAGS: Final = 0x25
_ETHTOOL_SFLAGS: Final = 0x26
_ETH_FLAG_RXVLAN: Final = 1 << 8


def keep_kernel_quiet(ifname: str, originals: Originals) -> bool:
    """
    Keep the kernel from speaking for addresses of lo; True when `originals` has learnt something.

    Raises KernelError, where /proc/sys is read-only for one.
    """
    changes = [_set(f"net/ipv4/conf/{ifname}/{name}", _ARP[name], originals) for name in _ARP]
    return any(changes)


def _set(key: str, wanted: str, originals: Originals) -> bool:
    path = _PROC_SYS / key
    try:
        before = path.read_text(encoding="ascii").strip()
        if before == wanted:
            return False
        path.write_text(wanted, encoding="ascii")
    except OSError as exc:
        raise KernelError(f"set {key} to {wanted}", exc.errno or 0) from exc
    return originals.sysctls.setdefault(key, before) == before


def restore_sysctls(originals: Originals) -> list[str]:
    """Put sysctls back; lines on what was done. An interface that is gone is no matter."""
    done = []
    for key, value in sorted(originals.sysctls.items()):
        path = _PROC_SYS / key
        if not path.exists():
            continue
        try:
            path.write_text(value, encoding="ascii")
        except OSError as exc:
            raise KernelError(f"set {key} to {value}", exc.errno or 0) from exc
        done.append(f"sysctl {key.replace('/', '.')} = {value}")
    return done


def rx_vlan_offload(ifname: str) -> bool:
    """Whether the NIC takes VLAN tags out of frames; False where ethtool does not know."""
    try:
        return bool(_flags(ifname, _ETHTOOL_GFLAGS) & _ETH_FLAG_RXVLAN)
    except OSError:
        return False


def set_rx_vlan_offload(ifname: str, *, on: bool) -> None:
    """Turn it on or off; raises KernelError when the driver has it fixed."""
    what = f"turn rxvlan {'on' if on else 'off'} on {ifname}"
    try:
        flags = _flags(ifname, _ETHTOOL_GFLAGS) & ~_ETH_FLAG_RXVLAN
        _flags(ifname, _ETHTOOL_SFLAGS, flags | (_ETH_FLAG_RXVLAN if on else 0))
    except OSError as exc:
        raise KernelError(
            f"turn rxvlan {'on' if on else 'off'} on {ifname}", exc.errno or 0
        ) from exc
    if rx_vlan_offload(ifname) is not on:
        raise KernelError(what, errno.EOPNOTSUPP, "it is fixed")


def _flags(ifname: str, command: int, value: int = 0) -> int:
    """ETHTOOL_GFLAGS or ETHTOOL_SFLAGS: `struct ethtool_value` behind the pointer of an ifreq."""
    argument = bytearray(struct.pack("=II", command, value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        buffer = (ctypes.c_char * len(argument)).from_buffer(argument)
        request = struct.pack("16sQ8x", ifname.encode(), ctypes.addressof(buffer))
        fcntl.ioctl(sock, _SIOCETHTOOL, request)
    return int(struct.unpack("=II", argument)[1])
