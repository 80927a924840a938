"""What every decision on a seat looks at besides the seat: this node, its peers, the addresses."""

from ipaddress import IPv4Network, IPv6Network
from math import inf

import attrs

from speaker.herald.actions import Vip
from speaker.herald.facts import Claim, Flag
from speaker.herald.peers import Peer
from speaker.herald.seats import PlannedSeat
from speaker.herald.teller import OwnFacts

AGENT_SILENT_S = 5.0
TAKING_S = 0.25  # from the first of 10,000 seats taken to the last TAKE


@attrs.frozen
class Link:
    """One attached interface."""

    name: str
    lladdr: bytes
    carrier: bool = True
    epoch: int = 0  # of its cell
    networks: tuple[IPv4Network | IPv6Network, ...] = ()  # on-link, by its addresses


@attrs.define
class World:
    """This node and its ring at one moment; recomputed when a member or the plan changes."""

    own: OwnFacts
    peers: dict[str, Peer]
    now: float
    has_plan: bool = False
    is_started: bool = False
    is_leaving: bool = False
    waiting: frozenset[str] = frozenset()  # interfaces whose cell may not speak: see reentry.py
    is_on_trial: bool = False
    is_holding: bool = False  # stopped, but for the program: no seat changes any more
    is_duplicate: bool = False
    agent_at: float = -inf
    has_links: bool = False  # whether the interfaces were told yet
    links: tuple[Link, ...] = ()  # with carrier, by name
    next_hops: frozenset[bytes] = frozenset()
    untouchable: frozenset[bytes] = frozenset()
    listed: frozenset[str] = frozenset()  # alive by memberlist
    serving: frozenset[str] | None = None  # names of interfaces that carry VIPs; None = all
    # By memberlist or by our own ears, and not found silent on every segment.
    alive: frozenset[str] = frozenset()
    able: frozenset[str] = frozenset()  # peers that can answer for some seats, as they say
    foreigners: frozenset[str] = frozenset()  # members that are not Stentor
    taking: dict[str, float] = attrs.field(factory=dict)  # who takes a dead node's seats, till when
    _touched: dict[str, frozenset[bytes]] = attrs.field(factory=dict)  # addresses of each peer
    _unclear_at: float = -inf
    _unclear: bool = False
    _heard: frozenset[str] = frozenset()  # alive by memberlist or by our own ears
    _silences: frozenset[tuple[str, str, bool]] = frozenset()  # node, its interface, weak
    _silent_for: dict[frozenset[str] | None, frozenset[str]] = attrs.field(factory=dict)

    @property
    def agent_is_fresh(self) -> bool:
        """Whether our own policy process spoke lately."""
        return self.now - self.agent_at < AGENT_SILENT_S

    def refresh_peers(self) -> bool:
        """Recompute the sets of peers; returns whether any changed."""
        peers = self.peers.values()
        before = self.listed, self.alive, self.able, self.foreigners, self._silences
        self.listed = frozenset(p.name for p in peers if p.is_member)
        self._heard = frozenset(p.name for p in peers if p.is_alive)
        self.alive = frozenset(p.name for p in peers if p.is_alive and not p.is_silent)
        self.able = frozenset(p.name for p in peers if p.is_able)
        self.foreigners = frozenset(p.name for p in peers if p.is_foreign(self.now))
        self._silences = frozenset(
            (p.name, name, silent.weak) for p in peers for name, silent in p.silent.items()
        )
        self._silent_for.clear()
        return before != (self.listed, self.alive, self.able, self.foreigners, self._silences)

    def silent_for(self, plan: PlannedSeat | None) -> frozenset[str]:
        """Peers that cannot hold the seat: silent on a segment that serves it."""
        if not self._silences:
            return frozenset()
        interfaces = plan.interfaces if plan is not None else None
        if interfaces not in self._silent_for:
            self._silent_for[interfaces] = frozenset(
                p.name for p in self.peers.values() if p.silence_for(interfaces) is not None
            )
        return self._silent_for[interfaces]

    def alive_for(self, plan: PlannedSeat | None) -> frozenset[str]:
        """Peers that live and that no silence keeps from holding the seat."""
        return self._heard - self.silent_for(plan)

    def able_for(self, plan: PlannedSeat | None) -> frozenset[str]:
        """Those of them that can answer for seats, as they say."""
        return self.able - self.silent_for(plan)

    def refresh_peer(self, peer: Peer) -> bool:
        """The same when nothing but this peer can have changed: of hundreds one looks at one."""
        if peer.silent:
            return self.refresh_peers()
        before = self.listed, self.alive, self.able, self.foreigners
        name, is_alive = peer.name, peer.is_alive
        self.listed = _with(self.listed, name, is_in=peer.is_member)
        self._heard = _with(self._heard, name, is_in=is_alive)
        self.alive = _with(self.alive, name, is_in=is_alive)
        self.able = _with(self.able, name, is_in=peer.is_able)
        self.foreigners = _with(self.foreigners, name, is_in=peer.is_foreign(self.now))
        return before != (self.listed, self.alive, self.able, self.foreigners)

    def refresh_untouchable(self) -> frozenset[bytes]:
        """Recompute the addresses never to be touched; returns those that became so or ceased."""
        before = self.untouchable
        for peer in self.peers.values():
            self._touched[peer.name] = _addresses(peer)
        self.untouchable = self.own.hosts.union(self.next_hops, *self._touched.values())
        return before ^ self.untouchable

    def refresh_untouchable_of(self, peer: Peer) -> frozenset[bytes]:
        """The same when nothing but this peer can have changed."""
        before, now = self._touched.get(peer.name, frozenset()), _addresses(peer)
        if not before <= now:
            return self.refresh_untouchable()  # another may have the address too
        self._touched[peer.name] = now
        added = now - before - self.untouchable
        self.untouchable |= added
        return added

    def flags(self) -> int:
        """What our hello says."""
        flags = 0
        if self.is_started and not self.is_duplicate and not self.is_waiting_everywhere:
            flags |= Flag.STARTED
        if self.is_leaving or self.is_holding:
            flags |= Flag.LEAVING
        if self.agent_is_fresh:
            flags |= Flag.AGENT_FRESH
        if self.links:
            flags |= Flag.LINKED
        if self.is_on_trial:
            flags |= Flag.TRIAL
        return flags

    @property
    def is_waiting_everywhere(self) -> bool:
        """Whether no cell of ours that carries VIPs may speak."""
        serving = {ln.name for ln in self.links if self.serving is None or ln.name in self.serving}
        return bool(serving) and serving <= self.waiting

    def is_waiting_for(self, plan: PlannedSeat) -> bool:
        """Whether a cell of ours that serves the seat may not speak."""
        if plan.interfaces is None:
            return bool(self.waiting)
        return not self.waiting.isdisjoint(plan.interfaces)

    def link_of(self, plan: PlannedSeat | None) -> Link | None:
        """The first interface with carrier on which the VIP is advertised."""
        for link in self.links:
            if plan is None or plan.interfaces is None or link.name in plan.interfaces:
                return link
        return None

    def lladdr_of(self, node: str, plan: PlannedSeat | None) -> bytes | None:
        """The LLADDR of a peer on the segment of the VIP."""
        link = self.link_of(plan)
        peer = self.peers.get(node)
        return peer.lladdr(link.name if link else "") if peer else None

    def place(self, plan: PlannedSeat) -> int | None:
        """How many able candidates rank before us; None when we are no candidate."""
        able, node, ahead = self.able_for(plan), self.own.node, 0
        for name in plan.candidates:
            if name == node:
                return ahead
            ahead += name in able
        return None

    def taking_until(self, plan: PlannedSeat) -> float:
        """
        Until when the words of an able candidate before us may be on their way.

        It has told that it acts on a death; of thousands of seats not every TAKE is there in time
        for the next one's turn.
        """
        ahead = plan.candidates[: plan.candidates.index(self.own.node)]
        able = self.able_for(plan)
        return max((self.taking.get(n, -inf) for n in ahead if n in able), default=-inf)

    def heir(self, plan: PlannedSeat, excluded: tuple[str, ...]) -> str | None:
        """The best able candidate other than us whose herald acts."""
        able = self.able_for(plan)
        for name in plan.candidates:
            if name not in able or name in excluded:
                continue
            if self.peers[name].is_fresh(self.now):
                return name
        return None

    def metallb_owner(self, plan: PlannedSeat) -> str | None:
        """The first candidate that is a live member, whatever it runs (OWNERSHIP.md 10)."""
        for name in plan.candidates:
            if name in self.listed or name == self.own.node:
                return name
        return None

    def is_unclear(self) -> bool:
        """Whether a live peer may hold seats that we have not been told of yet."""
        if self._unclear_at != self.now:
            self._unclear_at = self.now
            self._unclear = any(p.is_alive and p.is_unclear(self.now) for p in self.peers.values())
        return self._unclear

    def node_of(self, lladdr: bytes) -> str | None:
        """The peer of the ring that has this LLADDR."""
        for peer in self.peers.values():
            if peer.hello is not None and any(ln.lladdr == lladdr for ln in peer.hello.links):
                return peer.name
        return None


def _with(names: frozenset[str], name: str, *, is_in: bool) -> frozenset[str]:
    if (name in names) is is_in:
        return names
    return names | {name} if is_in else names - {name}


def _addresses(peer: Peer) -> frozenset[bytes]:
    """What no VIP may be: the address of a live member, and of what its host has besides."""
    return peer.hosts | {peer.address.packed} if peer.address and peer.is_alive else peer.hosts


__all__ = ["Claim", "Link", "Vip", "World"]
