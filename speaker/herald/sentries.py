"""
The sentries of a herald, one for each of its interfaces that carry VIPs, and what they share.

    core --peers, links, plan--> Sentries --which segments are shared--> Paths
    messages, reflections, answers --by cell--> Sentry of the segment

A node is judged on each segment by itself. What is asked about a node as a whole is asked here.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import attrs

from speaker.beats import DecodeError
from speaker.beats.cell import Cell
from speaker.beats.fence import Fences
from speaker.beats.messages import Verdict, decode
from speaker.beats.vigil import Standing
from speaker.herald.actions import Action, SendBeat, Vip
from speaker.herald.claims import Claims, to_vip
from speaker.herald.docket import Docket
from speaker.herald.facts import Fence
from speaker.herald.hands import Hands
from speaker.herald.ledger import Ledger
from speaker.herald.paths import DOUBT_S, Path, Paths
from speaker.herald.peers import Peer
from speaker.herald.seats import Seat
from speaker.herald.sentry import Reflection, Sentry, vouchers
from speaker.herald.world import TAKING_S, Link, World

SURVEY_S: Final = 1.0
ASKED_S: Final = (
    2.2 * DOUBT_S
)  # a node that we do not watch is asked every DOUBT_S whether it lives


@attrs.define
class Sentries:
    """The watch of one herald over all segments. It acts once `tick` is called at `next_wakeup`."""

    world: World
    claims: Claims
    docket: Docket
    hands: Hands
    actions: list[Action]
    ledger: Ledger
    refresh: Callable[[], None]
    meet: Callable[[Peer, float], None]
    look: Callable[[], None] = lambda: None  # calls `reflected` for what waits to be read
    is_on: bool = True
    fences: Fences = attrs.field(factory=Fences)
    paths: Paths = attrs.field(factory=Paths)
    by_interface: dict[str, Sentry] = attrs.field(factory=dict)  # of ours
    epochs: dict[Cell, int] = attrs.field(factory=dict)  # of what was sentenced, then
    _survey_at: float = -inf

    # --- time

    def next_wakeup(self) -> float:
        """When `tick` is due; infinity without beats."""
        if not self.is_on:
            return inf
        due = (sentry.next_wakeup() for sentry in self.by_interface.values())
        return min(self._survey_at, self.paths.next_wakeup(), *due)

    def tick(self, now: float) -> None:
        """Look whom to watch, greet, and let every sentry do its work."""
        if now >= self._survey_at:
            self._survey_at = now + SURVEY_S
            self.survey(now)
        for cell, path in self.paths.greetings(now):
            claimed = self.fences.claimed(cell)
            self.actions.append(
                SendBeat(
                    *cell, path.interface, path.lladdr, 0,
                    has_witness=False, claimed=claimed, address=path.address,
                )
            )  # fmt: skip
        for sentry in self.by_interface.values():
            sentry.tick(now)

    def survey(self, now: float) -> None:
        """Which cells there are, by what the ring says now, and who watches them."""
        if not self.is_on:
            return
        world = self.world
        carrying = [link for link in world.links if self._carries(link.name)]
        doubted = {p.name for p in world.peers.values() if p.is_alive and p.died_at is not None}
        self.paths.offer(
            {
                Cell(name, link.name): _paths(link.name, link.lladdr, peer, carrying)
                for name, peer in world.peers.items()
                if peer.hello is not None
                for link in peer.hello.links
                if self._carries(link.name)
            },
            doubted,
            now,
        )
        for link in carrying:
            self.on(link.name)
        self._share(now)

    def _carries(self, interface: str) -> bool:
        """Whether an interface carries VIPs: on one that does not a silence would tell nothing."""
        return self.world.serving is None or interface in self.world.serving

    def on(self, interface: str) -> Sentry:
        """The sentry of an interface of ours."""
        if interface not in self.by_interface:
            self.by_interface[interface] = self._sentry(interface)
        return self.by_interface[interface]

    def _sentry(self, interface: str) -> Sentry:
        return Sentry(
            interface, self.world, self.claims, self.docket, self.hands, self.actions, self.ledger,
            self.paths, self.fences, self.epochs, self.silent_everywhere,
            self.refresh, self.meet,
        )  # fmt: skip

    def _share(self, now: float) -> None:
        """Tell every sentry who is on its segment."""
        up = {link.name for link in self.world.links}
        segments: dict[str, dict[str, str]] = {name: {} for name in self.by_interface}
        found, is_stale = self.paths.found(), False
        for name, peer in self.world.peers.items():
            before, peer.via = peer.via, {}
            for segment, path in sorted(found.get(name, {}).items()):
                if path.interface in up and self._carries(segment):
                    # Of two interfaces of a peer on one segment of ours, one is watched.
                    peer.via.setdefault(path.interface, segment)
            is_stale |= bool(peer.silent) and before != peer.via
            for interface, segment in peer.via.items():
                segments[interface][name] = segment
        for interface, sentry in self.by_interface.items():
            if not self._carries(interface):
                sentry.close(now)
            sentry.survey(segments[interface], now)
        if is_stale:  # what a silence means depends on the segments shared with the node
            self.refresh()
        own = self.world.own
        own.reflects = tuple(
            sorted(
                sentry.cell(node)
                for sentry in self.by_interface.values()
                for node in sentry.vigil.reflecting()
            )
        )
        own.fences = self.fences.records()

    # --- what comes in

    def _of(self, cell: Cell) -> Sentry | None:
        """Whose segment a cell is on, None while we do not know that we share it."""
        path = self.paths.path(cell)
        sentry = self.by_interface.get(path.interface) if path is not None else None
        return sentry if sentry is not None and sentry.cell(cell.node) == cell else None

    def reflected(self, reflection: Reflection, now: float) -> None:
        """A verified reply of a cell that we asked."""
        cell = reflection.cell
        if self.paths.answered(cell, reflection.interface, now, by_udp=reflection.by_udp):
            self._share(now)
        sentry = self._of(cell)
        if sentry is not None and sentry.interface == reflection.interface:
            sentry.reflected(reflection, now)

    def request_heard(self, cell: Cell, now: float, *, has_witness: bool) -> None:
        """A verified beat of a node reached us: it lives, and if it has a witness it is heard."""
        if (sentry := self._of(cell)) is not None:
            sentry.request_heard(cell.node, now, has_witness=has_witness)

    def refused(self, cell: Cell, now: float) -> None:
        """The host of a cell sent an ICMP error for a datagram of ours."""
        sentry, path = self._of(cell), self.paths.path(cell)
        if sentry is not None and path is not None and path.address is not None:
            sentry.refused(cell.node, now)

    def segment_answered(self, vip: Vip, lladdr: bytes, now: float, interface: str) -> None:
        """Somebody answered a probe; `interface` "" stands for any of ours."""
        for name, sentry in self.by_interface.items():
            if interface in {"", name}:
                sentry.segment_answered(vip, lladdr, now)

    def message(self, payload: bytes, now: float) -> None:
        """A watcher speaks; hostile bytes count."""
        self.look()
        try:
            message = decode(payload)
        except DecodeError:
            self.ledger.count("messages_malformed")
            return
        cell = Cell(message.accused, message.segment)
        if cell.node == self.world.own.node or cell.node not in self.world.peers:
            return
        if isinstance(message, Verdict):
            # Who does not watch it has never seen its epoch, and would fence it at none.
            self.fences.seen(cell, message.epoch)
            if message.acted:
                self.world.taking[message.author] = now + TAKING_S
                if self.fences.record(cell, message.epoch):
                    self._share(now)
        if (sentry := self._of(cell)) is not None:
            sentry.heard(message, now)

    def heard_fences(self, fences: tuple[Fence, ...], now: float) -> None:
        """Facts of a peer name fence records."""
        own = self.world.own.node
        others = (f for f in fences if f.node != own)
        if sum(self.fences.record(Cell(f.node, f.segment), f.epoch) for f in others):
            self._share(now)

    def acted(self, now: float) -> None:
        """Called when seats were judged: a take of a dead node's seat is what fences it."""
        for sentry in self.by_interface.values():
            sentry.acted(now)

    # --- weak takes, and our own re-entry

    def weak_of(self, seat: Seat) -> list[tuple[Cell, int]]:
        """The cell to which we give way for a seat, with its epoch when it fell silent."""
        serving = (
            (cell, epoch)
            for cell, epoch in sorted(self.epochs.items())
            if cell.node == seat.weak_of and seat.is_served_by(cell.segment)
        )
        return [*serving][:1]

    def resume_weak(self, cell: Cell, epoch: int) -> None:
        """The herald before us took seats of a node weakly, whose epoch there was this."""
        self.epochs[cell] = epoch

    def heard_by_any(self, interface: str, now: float) -> bool:
        """Whether anybody hears us on a segment; where nobody is watched nobody can tell."""
        sentry = self.by_interface.get(interface) if self.is_on else None
        return sentry is None or sentry.heard_by_any(now)

    # --- what is known of a node as a whole

    def is_beating(self, node: str, now: float) -> bool:
        """Whether it reflects on any segment: then it is not dead, whatever memberlist says."""
        self.look()
        peer = self.world.peers.get(node)
        is_silent = peer is None or peer.is_silent
        return (not is_silent and self.is_vouched(node, now)) or any(
            sentry.is_beating(node, now) or self._was_asked(sentry, node, now)
            for sentry in self._watching(node)
        )

    def is_vouched(self, node: str, now: float) -> bool:
        """
        Whether a peer whose herald acts says that the node's program reflects its beats.

        Not everybody watches everybody: of a holding node memberlist alone would say that it died.
        """
        return any(peer.is_fresh(now) for peer in vouchers(self.world, node))

    def _was_asked(self, sentry: Sentry, node: str, now: float) -> bool:
        """Whether a node that we do not watch has answered a greeting."""
        is_watched = sentry.vigil.standing(node) is not Standing.UNPROVEN
        if is_watched or sentry.silence.is_sentenced(node):
            return False
        return self.paths.heard_within(sentry.cell(node), ASKED_S, now)

    def may_beat(self, node: str) -> bool:
        """Whether we share a segment with it on which nobody has found it silent."""
        return any(sentry.silent(node) is None for sentry in self._watching(node))

    def silent_everywhere(self, node: str) -> bool:
        """
        Whether it was found dead, with a witness, on every segment that we share with it.

        False for one whose gossip takes another network: that it is silent here says nothing of
        its life there.
        """
        watching = self._watching(node)
        found = [sentry.silent(node) for sentry in watching]
        peer = self.world.peers.get(node)
        return (
            peer is not None
            and bool(found)
            and all(silent is not None and not silent.weak for silent in found)
            and any(sentry.gossips_here(peer) for sentry in watching)
        )

    def _watching(self, node: str) -> list[Sentry]:
        """The sentries on whose segments a node is."""
        peer = self.world.peers.get(node)
        return [] if peer is None else [self.by_interface[name] for name in peer.via]

    def accused(self) -> list[tuple[Cell, Path]]:
        """Every cell with an open case, and the path to it."""
        cells = (s.cell(node) for s in self.by_interface.values() for node in s.silence.accused())
        return [(cell, path) for cell in cells if (path := self.paths.path(cell)) is not None]

    @property
    def is_calm(self) -> bool:
        """Whether everybody is found, watched and reflects, and nobody is accused or fenced."""
        watched = sum(len(sentry.vigil.watchees) for sentry in self.by_interface.values())
        is_told = len(self.world.own.reflects) >= watched
        is_quiet = is_told and not self.fences.cells() and not self.paths.is_seeking()
        return is_quiet and all(sentry.is_calm for sentry in self.by_interface.values())

    @property
    def least_watched(self) -> int:
        """How many nodes are watched on the segment on which they are the fewest."""
        counts = (len(sentry.vigil.watchees) for sentry in self.by_interface.values())
        return min(counts, default=0)


def _paths(segment: str, lladdr: bytes, peer: Peer, links: list[Link]) -> tuple[Path, ...]:
    """All paths that might lead to a peer's interface: the same name first, frames first."""
    paths = []
    for link in sorted(links, key=lambda ln: (ln.name != segment, ln.name)):
        paths.append(Path(link.name, lladdr))
        hosts = map(to_vip, sorted(peer.hosts))
        near = (a for a in hosts if not a.is_link_local and any(a in n for n in link.networks))
        if (address := next(near, None)) is not None:
            paths.append(Path(link.name, lladdr, address))
    return tuple(paths)
