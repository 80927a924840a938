"""
Solicited-node groups of IPv6 VIPs, joined by autojoin addresses.

A NIC hears a neighbour solicitation, and a switch with MLD snooping forwards it, only where its
group ff02::1:ffXX:XXXX (RFC 4291 2.7.1) was joined. An address with IFA_F_MCAUTOJOIN joins for as
long as it stands: the kernel holds it, not this process. All of them share one kernel socket whose
option memory (net.core.optmem_max) ends somewhere between 365 and 2,340 groups; past that the
interface receives all multicast, and a snooping switch needs a static entry.
"""

import errno
import fcntl
import socket
import struct
from collections import Counter
from ipaddress import IPv6Address
from typing import Final

import attrs

from speaker.dataplane.errors import KernelError
from speaker.dataplane.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    RTM_DELADDR,
    RTM_GETADDR,
    RTM_NEWADDR,
    Netlink,
    attribute,
    attributes,
)

# linux/if_addr.h
_IFA_ADDRESS: Final = 1
_IFA_FLAGS: Final = 8
_IFA_F_NODAD: Final = 0x02
_IFA_F_NOPREFIXROUTE: Final = 0x200
_IFA_F_MCAUTOJOIN: Final = 0x400
_IFADDRMSG: Final = struct.Struct("=BBBBI")
_RT_SCOPE_LINK: Final = 253

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_ALLMULTI: Final = 0x200

_PREFIX: Final = bytes.fromhex("ff0200000000000000000001ff")  # RFC 4291 2.7.1
_FULL: Final = frozenset({errno.ENOBUFS, errno.ENOMEM})

Group = tuple[int, bytes]  # (ifindex, sixteen octets)


def solicited_node(vip: IPv6Address) -> bytes:
    """The group in which a VIP is asked for: its last 24 bits behind ff02::1:ff00:0/104."""
    return _PREFIX + vip.packed[13:]


@attrs.define
class Groups:
    """Groups wanted, counted by VIPs, and those that stand; `settle` makes them agree."""

    _wanted: Counter[Group] = attrs.field(factory=Counter)
    _joined: set[Group] = attrs.field(factory=set)
    _dirty: dict[Group, None] = attrs.field(factory=dict)  # in order, without repeats
    overfull: set[int] = attrs.field(factory=set)  # ifindexes that could not join one more

    def read(self) -> None:
        """Learn what an earlier process joined."""
        self._joined = set(standing())

    @property
    def pending(self) -> bool:
        """Whether `settle` has work."""
        return bool(self._dirty)

    def want(self, ifindex: int, vip: IPv6Address) -> None:
        """One more VIP of this interface is in its group."""
        group = (ifindex, solicited_node(vip))
        self._wanted[group] += 1
        if self._wanted[group] == 1:
            self._dirty[group] = None

    def unwant(self, ifindex: int, vip: IPv6Address) -> None:
        """One VIP less."""
        group = (ifindex, solicited_node(vip))
        self._wanted[group] -= 1
        if self._wanted[group] <= 0:
            del self._wanted[group]
            self._dirty[group] = None

    def forget(self, ifindex: int) -> None:
        """The interface is gone, and with it its addresses."""
        for group in [group for group in self._wanted if group[0] == ifindex]:
            del self._wanted[group]
        self._joined = {group for group in self._joined if group[0] != ifindex}
        self._dirty = {group: None for group in self._dirty if group[0] != ifindex}
        self.overfull.discard(ifindex)

    def settle(self, at_most: int = 64) -> set[int]:
        """
        Join and leave up to `at_most` groups; returns interfaces that became overfull by it.

        An interface that vanished meanwhile is no matter. Raises KernelError otherwise.
        """
        before = set(self.overfull)
        with Netlink.open() as netlink:
            for group in list(self._dirty)[:at_most]:
                self._dirty.pop(group, None)
                self._settle_one(netlink, group)
        return self.overfull - before

    def _settle_one(self, netlink: Netlink, group: Group) -> None:
        if group in self._wanted and group not in self._joined:
            if group[0] in self.overfull:
                return
            try:
                join(netlink, group)
            except KernelError as exc:
                if exc.errno in _FULL:
                    self.overfull.add(group[0])
                elif exc.errno != errno.ENODEV:
                    raise
                return
            self._joined.add(group)
        elif group not in self._wanted and group in self._joined:
            leave(netlink, group)
            self._joined.discard(group)


def _body(group: Group) -> bytes:
    flags = _IFA_F_MCAUTOJOIN | _IFA_F_NODAD | _IFA_F_NOPREFIXROUTE
    return (
        _IFADDRMSG.pack(socket.AF_INET6, 128, 0, _RT_SCOPE_LINK, group[0])
        + attribute(_IFA_ADDRESS, group[1])
        + attribute(_IFA_FLAGS, struct.pack("=I", flags))
    )


def join(netlink: Netlink, group: Group) -> None:
    """Add the autojoin address; one that stands is fine. Raises KernelError."""
    try:
        netlink.ask(
            f"join {IPv6Address(group[1])}", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, _body(group)
        )
    except KernelError as exc:
        if exc.errno != errno.EEXIST:
            raise


def leave(netlink: Netlink, group: Group) -> None:
    """Remove the autojoin address; one that is gone is fine. Raises KernelError."""
    try:
        netlink.ask(f"leave {IPv6Address(group[1])}", RTM_DELADDR, 0, _body(group))
    except KernelError as exc:
        if exc.errno not in {errno.EADDRNOTAVAIL, errno.ENODEV}:
            raise


def standing() -> list[Group]:
    """Autojoin addresses in solicited-node groups, of this network namespace."""
    found = []
    with Netlink.open() as netlink:
        for message in netlink.dump(RTM_GETADDR, _IFADDRMSG.pack(socket.AF_INET6, 0, 0, 0, 0)):
            if message.kind != RTM_NEWADDR or len(message.body) < _IFADDRMSG.size:
                continue
            *_, ifindex = _IFADDRMSG.unpack_from(message.body)
            items = attributes(message.body[_IFADDRMSG.size :])
            flags = int.from_bytes(items.get(_IFA_FLAGS, memoryview(b"")), "little")
            address = bytes(items.get(_IFA_ADDRESS, b""))
            if flags & _IFA_F_MCAUTOJOIN and address.startswith(_PREFIX):
                found.append((ifindex, address))
    return found


def set_allmulti(ifname: str, *, on: bool) -> bool:
    """Receive all multicast, or no more; whether that was a change. Raises KernelError."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sH22x", ifname.encode(), 0))
            (before,) = struct.unpack_from("=H", answer, 16)
            after = before | _IFF_ALLMULTI if on else before & ~_IFF_ALLMULTI
            if after == before:
                return False
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH22x", ifname.encode(), after))
    except OSError as exc:
        raise KernelError(f"set allmulti of {ifname}", exc.errno or 0) from exc
    return True
