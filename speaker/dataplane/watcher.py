"""
Links, addresses and next hops of this network namespace, kept up to date from rtnetlink.

    watcher = Watcher.open()
    loop.add_reader(watcher.fileno(), ...)      # then read()
"""

import enum
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import attrs

from speaker.dataplane import netlink as nl
from speaker.dataplane.interfaces import VIP_HOMES, HostAddress, Link, untouchable

_IFINFO: Final = struct.Struct("=BxHiII")
_IFADDR: Final = struct.Struct("=BBBBI")
_RTMSG: Final = struct.Struct("=BBBBBBBBI")
_NEXTHOP: Final = struct.Struct("=HBBi")
_GROUPS: Final = (
    nl.RTMGRP_LINK
    | nl.RTMGRP_IPV4_IFADDR
    | nl.RTMGRP_IPV6_IFADDR
    | nl.RTMGRP_IPV4_ROUTE
    | nl.RTMGRP_IPV6_ROUTE
)

# linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_EXT_MASK: Final = 29
_IFLA_LINK_NETNSID: Final = 37
_IFLA_XDP: Final = 43
_SKIP_STATS: Final = 1 << 3
_XDP_ATTACHED: Final = 2
_XDP_PROG_ID: Final = 4
_XDP_DRV_PROG_ID: Final = 5
_XDP_SKB_PROG_ID: Final = 6
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_FLAGS: Final = 8
_IFA_F_DADFAILED: Final = 0x08
_RTA_DST: Final = 1
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_MULTIPATH: Final = 9
_RTA_TABLE: Final = 15
_RTA_VIA: Final = 18

Address = IPv4Address | IPv6Address
_RouteKey = tuple[int, int, int, int, bytes]  # family, prefix length, table, priority, prefix


class Changed(enum.Enum):
    """What a read changed."""

    LINKS = "links"  # hand `links()` to DataPlane.sync
    ADDRESSES = "addresses"  # `untouchable()` may differ
    NEXT_HOPS = "next_hops"  # likewise


@attrs.define
class Watcher:
    """The network of one namespace. Addresses on `lo` and kube-ipvs0 are not kept."""

    _changes: nl.Subscription
    _links: dict[int, Link] = attrs.field(factory=dict)
    _addresses: dict[tuple[int, Address], int] = attrs.field(factory=dict)  # prefix length
    _local: dict[int, set[Address]] = attrs.field(factory=dict)  # usable link-local, by ifindex
    _hops: dict[_RouteKey, set[Address]] = attrs.field(factory=dict)

    @classmethod
    def open(cls) -> "Watcher":
        """Subscribe, then list everything; raises ApplyError."""
        watcher = cls(nl.Subscription.open(_GROUPS))
        watcher.refresh()
        return watcher

    def fileno(self) -> int:
        """For add_reader."""
        return self._changes.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._changes.close()

    # -- what is known ---------------------------------------------------------------------------

    def links(self) -> tuple[Link, ...]:
        """Every interface, sorted by name."""
        found = (
            attrs.evolve(link, link_local=bool(self._local.get(link.ifindex)))
            for link in self._links.values()
        )
        return tuple(sorted(found, key=lambda link: link.name))

    def addresses(self) -> tuple[HostAddress, ...]:
        """Unicast addresses of this host, but those of `lo` and kube-ipvs0."""
        return tuple(
            HostAddress(address, self._links[ifindex].name, prefix_length)
            for (ifindex, address), prefix_length in self._addresses.items()
            if ifindex in self._links
        )

    def next_hops(self) -> frozenset[Address]:
        """Gateways of every route of every table."""
        return frozenset(hop for hops in self._hops.values() for hop in hops)

    def untouchable(self) -> frozenset[Address]:
        """Addresses that must never be VIPs (OWNERSHIP.md 11)."""
        return untouchable(self.addresses(), self.next_hops())

    # -- keeping up ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """List everything anew."""
        self._changes.overrun = False
        self._links.clear()
        self._addresses.clear()
        self._local.clear()
        self._hops.clear()
        skip_stats = nl.attribute(_IFLA_EXT_MASK, struct.pack("=I", _SKIP_STATS))
        requests = (
            (nl.RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0) + skip_stats),
            (nl.RTM_GETADDR, _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)),
            (nl.RTM_GETROUTE, _RTMSG.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)),
            (nl.RTM_GETROUTE, _RTMSG.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)),
        )
        with nl.Netlink.open() as netlink:
            for kind, body in requests:
                for message in netlink.dump(kind, body):
                    self._take(message)

    def read(self) -> frozenset[Changed]:
        """
        Take what the kernel reported, up to 64 datagrams (the descriptor stays readable).

        Everything is listed anew when reports were lost.
        """
        changed = {what for message in self._changes.read() if (what := self._take(message))}
        if self._changes.overrun:
            self.refresh()
            return frozenset(Changed)
        return frozenset(changed)

    def _take(self, message: nl.Message) -> Changed | None:
        body = message.body
        if message.kind in {nl.RTM_NEWLINK, nl.RTM_DELLINK} and len(body) >= _IFINFO.size:
            return self._take_link(message)
        if message.kind in {nl.RTM_NEWADDR, nl.RTM_DELADDR} and len(body) >= _IFADDR.size:
            return self._take_address(message)
        if message.kind in {nl.RTM_NEWROUTE, nl.RTM_DELROUTE} and len(body) >= _RTMSG.size:
            return self._take_route(message)
        return None

    def _take_link(self, message: nl.Message) -> Changed | None:
        family, _, ifindex, _, _ = _IFINFO.unpack_from(message.body)
        if family != socket.AF_UNSPEC:  # a bridge's or IPv6's view of the same link
            return None
        if message.kind == nl.RTM_DELLINK:
            self._addresses = {
                key: length for key, length in self._addresses.items() if key[0] != ifindex
            }
            self._local.pop(ifindex, None)
            return Changed.LINKS if self._links.pop(ifindex, None) else None
        link = parse_link(message.body)
        if link is None or self._links.get(ifindex) == link:
            return None
        self._links[ifindex] = link
        return Changed.LINKS

    def _take_address(self, message: nl.Message) -> Changed | None:
        family, prefix_length, old_flags, _, ifindex = _IFADDR.unpack_from(message.body)
        link = self._links.get(ifindex)
        if link is not None and link.name in VIP_HOMES:
            return None
        items = nl.attributes(message.body[_IFADDR.size :])
        address = _address(family, items.get(_IFA_LOCAL) or items.get(_IFA_ADDRESS))
        if address is None or address.is_multicast:
            return None
        flags = int.from_bytes(items.get(_IFA_FLAGS, b""), "little") or old_flags
        is_new = message.kind == nl.RTM_NEWADDR
        changed = Changed.ADDRESSES
        if address.version == 6 and address.is_link_local:
            local = self._local.setdefault(ifindex, set())
            before = bool(local)
            (local.add if is_new and not flags & _IFA_F_DADFAILED else local.discard)(address)
            if bool(local) != before:
                changed = Changed.LINKS
        known = (ifindex, address) in self._addresses
        if is_new:
            self._addresses[(ifindex, address)] = prefix_length
        else:
            self._addresses.pop((ifindex, address), None)
        return changed if known != is_new or changed is Changed.LINKS else None

    def _take_route(self, message: nl.Message) -> Changed | None:
        fields = _RTMSG.unpack_from(message.body)
        family, prefix_length, table = fields[0], fields[1], fields[4]
        items = nl.attributes(message.body[_RTMSG.size :])
        hops = route_hops(family, items)
        key = (
            family,
            prefix_length,
            int.from_bytes(items.get(_RTA_TABLE, b""), "little") or table,
            int.from_bytes(items.get(_RTA_PRIORITY, b""), "little"),
            bytes(items.get(_RTA_DST, b"")),
        )
        before = self._hops.get(key, set())
        if message.kind == nl.RTM_DELROUTE:
            after = before - hops
        elif message.flags & nl.NLM_F_REPLACE:
            after = hops
        else:
            after = before | hops
        if after == before:
            return None
        if after:
            self._hops[key] = after
        else:
            self._hops.pop(key, None)
        return Changed.NEXT_HOPS


def list_links() -> tuple[Link, ...]:
    """Every interface now, without link-local addresses; raises ApplyError."""
    with nl.Netlink.open() as netlink:
        found = [parse_link(m.body) for m in netlink.dump(nl.RTM_GETLINK, _IFINFO.pack(*[0] * 5))]
    return tuple(link for link in found if link is not None)


def parse_link(body: memoryview) -> Link | None:
    """A Link of the body of RTM_NEWLINK; None when it has no name."""
    _, _, ifindex, flags, _ = _IFINFO.unpack_from(body)
    items = nl.attributes(body[_IFINFO.size :])
    name = bytes(items.get(_IFLA_IFNAME, b"")).rstrip(b"\0").decode("ascii", "replace")
    if not name:
        return None
    info = nl.attributes(items.get(_IFLA_LINKINFO, memoryview(b"")))
    kind = bytes(info.get(1, b"")).rstrip(b"\0").decode("ascii", "replace")
    is_vlan = kind == "vlan"
    data = nl.attributes(info.get(2, memoryview(b""))) if is_vlan else {}
    xdp = nl.attributes(items.get(_IFLA_XDP, memoryview(b"")))
    return Link(
        ifindex=ifindex,
        name=name,
        lladdr=bytes(items.get(_IFLA_ADDRESS, b"")),
        flags=flags,
        master=_number(items, _IFLA_MASTER),
        kind=kind,
        # The number of a lower device in another namespace means nothing here.
        lower=_number(items, _IFLA_LINK) if is_vlan and _IFLA_LINK_NETNSID not in items else 0,
        vlan=_number(data, 1) & 0xFFF,
        xdp_program=(
            _number(xdp, _XDP_PROG_ID)
            or _number(xdp, _XDP_DRV_PROG_ID)
            or _number(xdp, _XDP_SKB_PROG_ID)
        ),
        xdp_native=_number(xdp, _XDP_ATTACHED) == 1,
    )


def route_hops(family: int, items: dict[int, memoryview]) -> set[Address]:
    """Gateways of one route: RTA_GATEWAY, RTA_VIA, and those of each part of RTA_MULTIPATH."""
    hops = {_address(family, items.get(_RTA_GATEWAY)), _via(items.get(_RTA_VIA))}
    rest = items.get(_RTA_MULTIPATH, memoryview(b""))
    while len(rest) >= _NEXTHOP.size:
        length, _, _, _ = _NEXTHOP.unpack_from(rest)
        if length < _NEXTHOP.size or length > len(rest):
            break
        part = nl.attributes(rest[_NEXTHOP.size : length])
        hops |= {_address(family, part.get(_RTA_GATEWAY)), _via(part.get(_RTA_VIA))}
        rest = rest[(length + 3) & ~3 :]
    return {hop for hop in hops if hop is not None}


def _via(value: memoryview | None) -> Address | None:
    """`struct rtvia`: family u16, then the address."""
    if value is None or len(value) < 2:
        return None
    return _address(int.from_bytes(value[:2], "little"), value[2:])


def _address(family: int, value: memoryview | None) -> Address | None:
    if value is None:
        return None
    if family == socket.AF_INET and len(value) == 4:
        return IPv4Address(bytes(value))
    if family == socket.AF_INET6 and len(value) == 16:
        return IPv6Address(bytes(value))
    return None


def _number(items: dict[int, memoryview], kind: int) -> int:
    return int.from_bytes(items.get(kind, b""), "little")
