"""
Held VIPs as addresses on lo (--bind-vips), so that this host takes the packets its answers attract.

Each has valid and preferred lifetime LIFETIME_S and is refreshed every REFRESH_S: what a dead
herald leaves behind the kernel removes. Such an address makes the kernel answer ARP for it on
every interface; the XDP program answers or drops those questions first while the lease is valid,
and for 60 s after it ended, which is why no address here may outlive its herald for longer.
"""

import heapq
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

import attrs

from speaker.dataplane.errors import ApplyError
from speaker.dataplane.netlink import (
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RTM_DELADDR,
    RTM_NEWADDR,
    Netlink,
    attribute,
)
from speaker.herald.frames import Vip
from speaker.state_dir import read_or_none, write_atomically
from stentor.logging import Log

LIFETIME_S = 60
REFRESH_S = 15.0
RETRY_S = 1.0
BOUND_NAME = "lo.vips"  # in the state directory: what --cleanup takes away

_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, ifindex
_CACHEINFO = struct.Struct("=IIII")  # preferred, valid, created, updated
IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 6, 8  # linux/if_addr.h
IFA_F_NODAD = 0x02
IFA_F_NOPREFIXROUTE = 0x200


def address_body(vip: Vip, ifindex: int, lifetime_s: int) -> bytes:
    """Body of RTM_NEWADDR and RTM_DELADDR for `vip` as a host address."""
    family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
    return b"".join(
        (
            _IFADDRMSG.pack(family, vip.max_prefixlen, 0, 0, ifindex),
            attribute(IFA_ADDRESS, vip.packed),
            attribute(IFA_LOCAL, vip.packed),
            attribute(IFA_FLAGS, struct.pack("=I", IFA_F_NODAD | IFA_F_NOPREFIXROUTE)),
            attribute(IFA_CACHEINFO, _CACHEINFO.pack(lifetime_s, lifetime_s, 0, 0)),
        )
    )


@attrs.define
class LoBinder:
    """
    Keeps VIPs on lo. Only `step` and `close` change anything there, the former one VIP at a time.

    `netlink` is a socket of our own; `state_dir` keeps the list for --cleanup.
    """

    netlink: Netlink
    state_dir: Path
    log: Log
    _until: dict[Vip, float | None] = attrs.field(factory=dict)  # None = held, else end of grace
    _due: list[tuple[float, bytes, Vip]] = attrs.field(factory=list)  # bytes: a total order
    _at: dict[Vip, float] = attrs.field(factory=dict)  # the entry of `_due` that counts
    _unbind: set[Vip] = attrs.field(factory=set)
    _listed: frozenset[Vip] = frozenset()
    _ifindex: int = attrs.field(factory=lambda: socket.if_nametoindex("lo"))

    def hold(self, vip: Vip, now: float) -> None:
        """Bind `vip` and keep it."""
        if vip not in self._until or vip in self._unbind:
            self._schedule(vip, now)
        self._unbind.discard(vip)
        self._until[vip] = None

    def release(self, vip: Vip, now: float, grace_s: float) -> None:
        """Keep `vip` for `grace_s` more, then let it go; no-op unless held."""
        if vip in self._until and self._until[vip] is None:
            self._until[vip] = now + grace_s
            self._schedule(vip, min(self._at[vip], now + grace_s))

    def drop(self, vip: Vip) -> None:
        """Take `vip` away at the next step."""
        if vip in self._until:
            self._unbind.add(vip)

    def next_due(self) -> float | None:
        """When `step` has work; 0 for at once; None for never."""
        if self._unbind:
            return 0.0
        return self._due[0][0] if self._due else None

    def is_due(self, now: float) -> bool:
        """Whether `step` has work now."""
        return bool(self._unbind) or bool(self._due and self._due[0][0] <= now)

    def step(self, now: float) -> None:
        """Carry out one change that is due."""
        if self._unbind:
            self._take_away(self._unbind.pop())
        elif self._due and self._due[0][0] <= now:
            when, _, vip = heapq.heappop(self._due)
            if self._at.get(vip) == when:  # else it was scheduled anew since
                self._refresh(vip, now)

    def _schedule(self, vip: Vip, when: float) -> None:
        self._at[vip] = when
        heapq.heappush(self._due, (when, vip.packed, vip))

    def keep_list(self) -> None:
        """Write down what is bound, where that has changed."""
        bound = self._until.keys()
        if bound != self._listed:
            lines = sorted(map(str, bound))
            write_atomically(self.state_dir / BOUND_NAME, "\n".join(lines).encode())
            self._listed = frozenset(bound)

    def close(self) -> None:
        """Take every VIP away: without a herald nobody keeps the kernel from answering for them."""
        for vip in list(self._until):
            self._take_away(vip)
        self.keep_list()

    def _refresh(self, vip: Vip, now: float) -> None:
        until = self._until[vip]
        if until is not None and until <= now:
            self._take_away(vip)
            return
        wait = REFRESH_S
        try:
            self._ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, vip)
        except ApplyError as exc:
            self.log.warn("vip_not_bound", vip=vip, message=str(exc))
            wait = RETRY_S
        self._schedule(vip, now + wait if until is None else min(until, now + wait))

    def _take_away(self, vip: Vip) -> None:
        self._until.pop(vip, None)
        self._at.pop(vip, None)
        try:
            self._ask(RTM_DELADDR, 0, vip)
        except ApplyError as exc:  # the kernel was faster, or it goes with its lifetime
            self.log.debug("vip_not_unbound", vip=vip, message=str(exc))

    def _ask(self, kind: int, flags: int, vip: Vip) -> None:
        what = f"{'bind' if kind == RTM_NEWADDR else 'unbind'} {vip} on lo"
        self.netlink.ask(what, kind, flags, address_body(vip, self._ifindex, LIFETIME_S))


def remove_all(state_dir: Path) -> list[str]:
    """Take away what a herald with this state directory left on lo; a line for each."""
    lines: list[str] = []
    listed = read_or_none(state_dir / BOUND_NAME) or b""
    ifindex = socket.if_nametoindex("lo")
    with Netlink.open() as netlink:
        for text in listed.decode().split():
            try:
                netlink.ask("unbind", RTM_DELADDR, 0, address_body(ip_address(text), ifindex, 0))
            except ApplyError:
                continue  # its lifetime has ended
            lines.append(f"removed {text} from lo")
    return lines
