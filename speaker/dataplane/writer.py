"""
What is said about VIPs, carried into tables and groups: a little at once, the rest in slices.

    put, remove ──(few)──────────────────────────> slots, groups
         └──────(many)──> queue ──step──────────> slots, groups
    speak ───────────────────────────────────────> slots
    more VIPs or attachments ──step: grow───> larger maps
    removals, long chains ─────step: rebuild──> the spare half
    attachment gone ───────────step: drop─────> its keys away
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv6Address

import attrs

from speaker.dataplane import counters
from speaker.dataplane.errors import ApplyError
from speaker.dataplane.layout import Voice
from speaker.dataplane.multicast import Groups
from speaker.dataplane.program import Program, Sizes
from speaker.dataplane.rows import adopt_all
from speaker.dataplane.spots import Spot
from speaker.dataplane.store import Store
from speaker.dataplane.tables import CrowdedError, Row
from speaker.dataplane.values import Vip, VipRow

AT_ONCE = 64  # rows that `put` and `remove` carry out themselves
_ROWS_A_STEP = 96
_GROUPS_A_STEP = 32
_KEYS_A_STEP = 2048
_REST_S = 0.02  # between two fills of a half: a program may still read it for microseconds
_NOT_COUNTED = 0xFFFF_FFFF  # beyond every map of counters: the program finds none


@attrs.define
class Writer:
    """Rows by VIP, and everything that follows from them in `store` and `groups`."""

    store: Store
    groups: Groups
    swap: Callable[[Program], None]  # puts a program on every attachment
    rows: dict[Vip, VipRow]
    spots: dict[bytes, Spot] = attrs.field(factory=dict)
    _stats: dict[Vip, int] = attrs.field(factory=dict)
    _free: list[int] = attrs.field(factory=list)
    _versions: Counter[int] = attrs.field(factory=Counter)
    _queue: dict[Vip, None] = attrs.field(factory=dict)
    _dropped: deque[bytes] = attrs.field(factory=deque)  # places whose keys are to go
    _grouped: dict[Vip, frozenset[int]] = attrs.field(factory=dict)
    _job: Iterator[None] | None = None
    _floor: dict[int, int] = attrs.field(factory=lambda: {4: 1, 6: 1})
    _is_growing: bool = False
    _is_refused: bool = False  # the kernel gave no larger maps: not tried again until `retry`
    _rest_until: float = 0.0

    @classmethod
    def adopt(
        cls,
        store: Store,
        groups: Groups,
        swap: Callable[[Program], None],
        names: dict[tuple[int, int], str],
    ) -> "Writer":
        """Go on with what the tables say; `names` of interfaces as spots.place_names."""
        rows: dict[Vip, VipRow] = {}
        stats: dict[Vip, int] = {}
        for table in store.tables.values():
            found = {key: row for key in table.keys() if (row := table.row(key))}  # noqa: SIM118
            some, indexes = adopt_all(found, names)
            rows |= some
            stats |= indexes
        used = set(stats.values())
        return cls(
            store=store,
            groups=groups,
            swap=swap,
            rows=rows,
            stats={vip: stat for vip, stat in stats.items() if stat != _NOT_COUNTED},
            free=[n for n in reversed(range(store.sizes.stats)) if n not in used],
            versions=Counter(vip.version for vip in rows),
        )

    def move(self, spots: dict[bytes, Spot]) -> None:
        """Write for these attachments from now on: all rows for new or changed ones."""
        old, self.spots = self.spots, spots
        gone = [place for place in old if place not in spots]
        self._dropped.extend(gone)
        if gone or any(old.get(place) is not spot for place, spot in spots.items()):
            self._queue.update(dict.fromkeys(self.rows))

    def retry(self) -> None:
        """Larger maps may be tried again."""
        self._is_refused = False

    def stats(self) -> dict[int, Vip]:
        """VIPs by the index of their counters."""
        return {stat: vip for vip, stat in self._stats.items()}

    def put(self, rows: Iterable[VipRow]) -> None:
        """Make the table say `rows`; VIPs not named stay. Past 64 rows work waits for `step`."""
        changed = []
        for row in rows:
            before = self.rows.get(row.vip)
            if before == row:
                continue
            if before is None:
                self._versions[row.vip.version] += 1
            self.rows[row.vip] = row
            changed.append(row.vip)
        self._apply_or_queue(changed)

    def remove(self, vips: Iterable[Vip]) -> None:
        """Take VIPs out of the table: from now on their frames pass uncounted."""
        gone = [vip for vip in vips if self.rows.pop(vip, None) is not None]
        self._versions.subtract(vip.version for vip in gone)
        self._apply_or_queue(gone)

    def speak(self, vip: Vip, voice: Voice, lladdr: bytes | None = None) -> None:
        """
        Flip one VIP that was put, on all its interfaces; at once, one store per interface.

        Raises KeyError for one that was not put.
        """
        row = self.rows[vip]
        self._flip(VipRow(vip, voice, row.interfaces, lladdr, row.listen))

    def listen(self, vips: Iterable[Vip], *, on: bool) -> None:
        """Report (or no more) whoever speaks for these VIPs, also where we do not: for probing."""
        for vip in vips:
            self._flip(attrs.evolve(self.rows[vip], listen=on))

    def _flip(self, row: VipRow) -> None:
        self.rows[row.vip] = row
        table, address = self.store.tables[row.vip.version], row.vip.packed
        for spot in self.spots.values():
            table.flip(spot.place + address, spot.word(row))

    def _apply_or_queue(self, vips: list[Vip]) -> None:
        if len(vips) > AT_ONCE:
            self._queue.update(dict.fromkeys(vips))
            return
        for vip in vips:
            self._apply(vip)

    def _apply(self, vip: Vip) -> None:
        """Make slots and groups of one VIP agree with its row, or its absence."""
        row = self.rows.get(vip)
        table, address = self.store.tables[vip.version], vip.packed
        stat = self._stat_of(vip) if row is not None else None
        if row is not None and stat is None and not self._is_refused:
            self._queue[vip] = None  # the map of counters grows first
            return
        for spot in self.spots.values():
            key = spot.place + address
            if row is None:
                table.drop(key)
            else:
                index = _NOT_COUNTED if stat is None else stat
                table.set(key, Row(spot.word(row), spot.attachment.cell, index))
        if row is None and vip in self._stats:
            self._free.append(self._stats.pop(vip))
        if isinstance(vip, IPv6Address):
            self._follow_groups(vip, row)

    def _stat_of(self, vip: Vip) -> int | None:
        stat = self._stats.get(vip)
        if stat is None and self._free and not self._is_growing:
            stat = self._stats[vip] = self._free.pop()
            counters.zero(self.store.libbpf, self.store.program.maps["stats"], stat)
        return stat

    def _follow_groups(self, vip: IPv6Address, row: VipRow | None) -> None:
        before = self._grouped.pop(vip, frozenset())
        after = frozenset(
            spot.own_ifindex
            for spot in self.spots.values()
            if row is not None and spot.wants_group(row)
        )
        for ifindex in after - before:
            self.groups.want(ifindex, vip)
        for ifindex in before - after:
            self.groups.unwant(ifindex, vip)
        if after:
            self._grouped[vip] = after

    # -- work that waits -------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether `step` has work."""
        return (
            self._job is not None
            or bool(self._queue)
            or bool(self._dropped)
            or self.groups.pending
            or self._wanted_sizes() != self.store.sizes
            or (not self._is_refused and self._wants_rebuild() is not None)
        )

    def step(self, now: float) -> set[int]:
        """
        Do one slice (about a millisecond) of waiting work; returns interfaces, by ifindex, that
        cannot join more groups.

        `now`: monotonic seconds. Raises ApplyError when the kernel refuses: what is in the tables
        stays.
        """
        if self._queue and not self._is_waiting_for_growth():
            self._step_queue()
        elif self._job is not None or self._begin_job(now):
            self._step_job(now)
        elif self.groups.pending:
            return self.groups.settle(_GROUPS_A_STEP)
        return set()

    def _is_waiting_for_growth(self) -> bool:
        """Rows wait for a growth: half-filled tables would only be filled twice."""
        return self._is_growing or self._wanted_sizes() != self.store.sizes

    def _step_queue(self) -> None:
        for vip in list(self._first(self._queue, _ROWS_A_STEP)):
            del self._queue[vip]
            self._apply(vip)

    @staticmethod
    def _first(queue: Iterable[Vip], count: int) -> Iterator[Vip]:
        for _, vip in zip(range(count), queue, strict=False):
            yield vip

    def _begin_job(self, now: float) -> bool:
        sizes = self._wanted_sizes()
        if sizes != self.store.sizes:
            self._is_growing = True
            self._job = self._grow(sizes)
        elif self._dropped:
            self._job = self._drop_place(self._dropped.popleft())
        elif now >= self._rest_until:
            version = self._wants_rebuild()
            self._job = None if version is None else self.store.rebuild(version)
        return self._job is not None

    def _wants_rebuild(self) -> int | None:
        return next((v for v, table in self.store.tables.items() if table.wants_rebuild), None)

    def _step_job(self, now: float) -> None:
        assert self._job is not None
        try:
            next(self._job)
        except StopIteration:
            self._end_job(now)
        except CrowdedError:  # a chain too long: twice the slots, or more
            for version, table in self.store.tables.items():
                if table.wants_growth:
                    self._floor[version] = 2 * max(self._floor[version], table.live.slots)
            self._end_job(now)
        except ApplyError:
            self._is_refused = True
            self._end_job(now)
            raise

    def _end_job(self, now: float) -> None:
        self._job = None
        self._is_growing = False
        self._rest_until = now + _REST_S

    def _wanted_sizes(self) -> Sizes:
        have = self.store.sizes
        if self._is_refused:
            return have
        spots = max(1, len(self.spots))
        return Sizes(
            max(have.slots4, self._floor[4], _power(2 * spots * self._versions[4])),
            max(have.slots6, self._floor[6], _power(2 * spots * self._versions[6])),
            max(have.stats, _power(len(self.rows))),
        )

    def _grow(self, sizes: Sizes) -> Iterator[None]:
        before = self.store.sizes
        yield from self.store.grow(sizes, self.swap)
        self._free[:0] = reversed(range(before.stats, sizes.stats))

    def _drop_place(self, place: bytes) -> Iterator[None]:
        for table in self.store.tables.values():
            for count, key in enumerate(table.keys()):
                if count % _KEYS_A_STEP == _KEYS_A_STEP - 1:
                    yield
                if place in self.spots:
                    return  # it came back: its rows are in the queue
                if key.startswith(place):
                    table.drop(key)


def _power(count: int) -> int:
    """The least power of two that is not less than `count`."""
    return 1 << max(0, count - 1).bit_length()
