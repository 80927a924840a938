"""Which interfaces answer: MetalLB's choice, as a pure function of what the kernel lists."""

import enum
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

import attrs

# linux/if.h
IFF_UP = 0x1
IFF_BROADCAST = 0x2
IFF_LOOPBACK = 0x8
IFF_NOARP = 0x80
IFF_LOWER_UP = 0x10000

# Addresses on these are bound for VIPs on purpose: by us (lo) and by kube-proxy in IPVS mode.
VIP_HOMES = frozenset({"lo", "kube-ipvs0"})


class Refusal(enum.StrEnum):
    """Why an interface does not answer."""

    EXCLUDED = "excluded"  # its name matches an exclude expression
    NOT_UP = "not_up"  # administratively down
    HAS_MASTER = "has_master"  # member of a bond or bridge: the master answers
    NO_ARP = "no_arp"  # NOARP is set
    NO_BROADCAST = "no_broadcast"  # not a broadcast network, so no ARP, and no NDP either
    NOT_ETHERNET = "not_ethernet"  # its LLADDR is not six octets


@attrs.frozen
class Link:
    """An interface as rtnetlink lists it."""

    ifindex: int
    name: str
    lladdr: bytes = b""
    flags: int = 0
    master: int = 0  # ifindex of a bond, bridge or VRF, 0 for none
    kind: str = ""  # "vlan", "bond", "veth", ...; "" for a plain device
    lower: int = 0  # ifindex of the device a VLAN stands on, 0 for none
    vlan: int = 0  # VLAN id when kind is "vlan"
    xdp_program: int = 0  # id of the XDP program attached now, 0 for none
    xdp_native: bool = False
    link_local: bool = False  # has a usable link-local IPv6 address

    @property
    def carrier(self) -> bool:
        """Whether the lower layer is up."""
        return bool(self.flags & IFF_LOWER_UP)


@attrs.frozen
class Choice:
    """Interfaces that answer, and why the others do not."""

    chosen: tuple[Link, ...]  # sorted by name
    refused: dict[str, Refusal]  # by interface name


def choose(links: Iterable[Link], excludes: Sequence[re.Pattern[str]]) -> Choice:
    """
    Choose as MetalLB does: not excluded by name, up, no master, not NOARP, broadcast.

    Only a VRF as master is no obstacle, unlike there: it routes and is no Ethernet device, so its
    member is what hears and answers.
    NDP further needs a link-local address: that is `Link.link_local` of a chosen one.
    """
    chosen: list[Link] = []
    refused: dict[str, Refusal] = {}
    by_name = sorted(links, key=lambda link: link.name)
    vrfs = frozenset(link.ifindex for link in by_name if link.kind == "vrf")
    for link in by_name:
        reason = _refusal(link, excludes, vrfs)
        if reason is None:
            chosen.append(link)
        else:
            refused[link.name] = reason
    return Choice(tuple(chosen), refused)


def _refusal(
    link: Link, excludes: Sequence[re.Pattern[str]], vrfs: frozenset[int]
) -> Refusal | None:
    refusals = (
        (any(pattern.search(link.name) for pattern in excludes), Refusal.EXCLUDED),
        (not link.flags & IFF_UP, Refusal.NOT_UP),
        (link.master != 0 and link.master not in vrfs, Refusal.HAS_MASTER),
        (link.flags & IFF_NOARP != 0, Refusal.NO_ARP),
        (not link.flags & IFF_BROADCAST, Refusal.NO_BROADCAST),
        (len(link.lladdr) != 6 or not any(link.lladdr), Refusal.NOT_ETHERNET),
    )
    return next((reason for refused, reason in refusals if refused), None)


@attrs.frozen
class HostAddress:
    """An address of this host."""

    address: IPv4Address | IPv6Address
    ifname: str
    prefix_length: int = 128  # on-link are those that share so many bits with it


def untouchable(
    addresses: Iterable[HostAddress], next_hops: Iterable[IPv4Address | IPv6Address]
) -> frozenset[IPv4Address | IPv6Address]:
    """Addresses that must never be VIPs (OWNERSHIP.md 11): this host's own, and its next hops."""
    own = {item.address for item in addresses if item.ifname not in VIP_HOMES}
    return frozenset(own | set(next_hops))
