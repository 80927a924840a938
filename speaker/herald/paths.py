"""
Which segments we share with whom, and how beats get there (OWNERSHIP.md 3). Pure: `now` in.

               answered                    its LLADDR or our interface changed, or `lose`
    SOUGHT ──────────────> FOUND ──────────────────────────────────────────────────────> SOUGHT

Every cell of a peer is greeted by one beat a second, each time along another path, until one comes
back: the interface of ours with the same name first, a frame before a datagram. What was found is
not greeted again, with two exceptions. A cell that only answers datagrams is now and then sent a
frame, which is cheaper and needs no neighbour entry; and one of a node that memberlist calls dead
is asked four times a second whether that is so. A cell that misses beats is sent both, and what
comes back decides.
"""

from collections.abc import Collection, Mapping
from math import inf
from typing import Final

import attrs

from speaker.beats.cell import Cell
from speaker.herald.actions import Vip

GREET_S: Final = 1.0
EAGER: Final = 16  # greetings to one cell at that pace, then one in SLOWLY_S
SLOWLY_S: Final = 10.0
DOUBT_S: Final = 0.25
LOST_S: Final = 0.06  # after two beats by datagrams alone, where both were sent
MAX_PATHS: Final = 16  # to one cell
BURST: Final = 8  # greetings at once: each costs some 50 us of a herald's 25 ms


@attrs.frozen
class Path:
    """A way for beats: out of our `interface` to that LLADDR or, by UDP, to that address."""

    interface: str
    lladdr: bytes
    address: Vip | None = None


@attrs.define
class _Search:
    paths: tuple[Path, ...]
    found: Path | None = None
    tries: int = 0
    next_at: float = -inf
    heard_at: float = -inf
    frame_at: float = -inf  # when a frame last came back


@attrs.define
class Paths:
    """The paths to the cells of all peers."""

    _searches: dict[Cell, _Search] = attrs.field(factory=dict)
    _active: frozenset[Cell] = frozenset()  # of peers that are there
    _doubted: frozenset[str] = frozenset()
    # Asked for at every wakeup, changed once a second: looked up anew when a search has changed.
    _next_at: float | None = None
    _is_seeking: bool | None = None

    # --- what there is

    def offer(
        self, cells: Mapping[Cell, tuple[Path, ...]], doubted: Collection[str], now: float
    ) -> None:
        """
        Replace the cells that are there, each with all paths that might lead to it, best first.

        Nodes in `doubted` are dead to memberlist. What is known of cells that are not there any
        more is kept: a fenced one is still sent beats.
        """
        for cell, paths in cells.items():
            search = self._searches.get(cell)
            if search is None:
                self._searches[cell] = _Search(paths[:MAX_PATHS])
            elif search.paths != paths[:MAX_PATHS]:
                search.paths = paths[:MAX_PATHS]
                if search.found not in search.paths:
                    search.found, search.tries, search.next_at = None, 0, now
        news = frozenset(doubted) - self._doubted
        for cell in cells:
            if cell not in self._active or cell.node in news:
                self._searches[cell].next_at = now
        self._active, self._doubted = frozenset(cells), frozenset(doubted)
        self._changed()

    def lose(self, cell: Cell) -> None:
        """The path leads nowhere any more: look for one anew, slowly."""
        if (search := self._searches.get(cell)) is not None and search.found is not None:
            search.found, search.tries = None, EAGER
            search.next_at = max(search.heard_at, search.next_at) + GREET_S
            self._changed()

    def _changed(self) -> None:
        self._next_at = self._is_seeking = None

    # --- greeting

    def next_wakeup(self) -> float:
        """When `greetings` has some; infinity when everything is found."""
        if self._next_at is None:
            self._next_at = min((self._due(cell) for cell in self._active), default=inf)
        return self._next_at

    def _due(self, cell: Cell) -> float:
        search = self._searches[cell]
        is_settled = search.found is not None and search.found.address is None
        if not search.paths or (is_settled and cell.node not in self._doubted):
            return inf
        return search.next_at

    def greetings(self, now: float) -> list[tuple[Cell, Path]]:
        """Whom to greet now, along which path."""
        greetings: list[tuple[Cell, Path]] = []
        if self.next_wakeup() > now + 1e-9:
            return greetings
        self._changed()
        for cell in sorted(self._active):
            if self._due(cell) > now + 1e-9:
                continue
            search = self._searches[cell]
            greetings.append((cell, self._next_path(search)))
            search.tries += 1
            search.next_at = now + self._pause(cell, search)
            if len(greetings) == BURST:
                break
        return greetings

    def _next_path(self, search: _Search) -> Path:
        found = search.found
        if found is None:
            return search.paths[search.tries % len(search.paths)]
        frame = attrs.evolve(found, address=None)
        return frame if frame in search.paths and search.tries % 2 == 0 else found

    def _pause(self, cell: Cell, search: _Search) -> float:
        if search.found is not None and cell.node in self._doubted:
            return DOUBT_S
        return GREET_S if search.tries < EAGER and search.found is None else SLOWLY_S

    def answered(self, cell: Cell, interface: str, now: float, *, by_udp: bool) -> bool:
        """A reflection came to our interface; returns whether a path was found by it."""
        search = self._searches.get(cell)
        if search is None:
            return False
        search.heard_at = now
        if not by_udp:
            search.frame_at = now
        is_framed = search.found is not None and search.found.address is None
        if is_framed and not (by_udp and now - search.frame_at > LOST_S):
            return False
        if search.found is not None and not is_framed and by_udp:
            return False
        for path in search.paths:
            if path.interface == interface and by_udp is (path.address is not None):
                search.found, search.tries = path, 0
                search.next_at = now + GREET_S
                self._changed()
                return True
        return False

    # --- what is known

    def path(self, cell: Cell) -> Path | None:
        """How beats get to a cell; None while that is not known."""
        search = self._searches.get(cell)
        return None if search is None else search.found

    def ways(self, cell: Cell) -> list[Path]:
        """Every way over the interface of the path: for a cell that misses beats."""
        search = self._searches.get(cell)
        if search is None or (found := search.found) is None:
            return []
        others = (p for p in search.paths if p.interface == found.interface and p != found)
        return [found, *others]

    def found(self) -> dict[str, dict[str, Path]]:
        """The segments shared with each node, by its names of them, with the paths there."""
        shared: dict[str, dict[str, Path]] = {}
        for cell, search in self._searches.items():
            if search.found is not None:
                shared.setdefault(cell.node, {})[cell.segment] = search.found
        return shared

    def heard_within(self, cell: Cell, within_s: float, now: float) -> bool:
        """Whether the cell has reflected so lately."""
        search = self._searches.get(cell)
        return search is not None and now - search.heard_at <= within_s

    def is_seeking(self) -> bool:
        """Whether a cell that is there has no path yet."""
        if self._is_seeking is None:
            self._is_seeking = any(self._searches[cell].found is None for cell in self._active)
        return self._is_seeking
