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
from speaker.dataplane.entries import NO_STAT, Entry
from speaker.dataplane.errors import ApplyError
from speaker.dataplane.layout import Voice
from speaker.dataplane.multicast import Groups
from speaker.dataplane.program import Program, Sizes
from speaker.dataplane.rows import adopt_all, is_advertised
from speaker.dataplane.spots import Spot
from speaker.dataplane.store import Store
from speaker.dataplane.tables import CrowdedError, Row
from speaker.dataplane.threads import in_thread
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
    entries: dict[Vip, Entry]
    spots: dict[bytes, Spot] = attrs.field(factory=dict)
    _by_address: dict[bytes, Entry] = attrs.field(init=False)  # hashing a VIP takes 0.5 us
    _free: list[int] = attrs.field(factory=list)  # indexes of counters
    _used: set[int] = attrs.field(factory=set)  # of those, such as may not be zero
    _versions: Counter[int] = attrs.field(factory=Counter)
    _gone: dict[Vip, Entry] = attrs.field(factory=dict)  # removed, to be erased
    _queue: dict[Vip, None] = attrs.field(factory=dict)
    _dropped: deque[bytes] = attrs.field(factory=deque)  # places whose keys are to go
    _job: Iterator[None] | None = None
    _floor: dict[int, int] = attrs.field(factory=lambda: {4: 1, 6: 1})
    _overfull: set[int] = attrs.field(factory=set)
    _is_growing: bool = False
    _is_refused: bool = False  # the kernel gave no larger maps: not tried again until `retry`
    _rest_until: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._by_address = {vip.packed: entry for vip, entry in self.entries.items()}

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
        entries = {}
        for vip, said in rows.items():
            entries[vip] = entry = Entry.of(said)
            entry.stat = NO_STAT if stats[vip] == _NOT_COUNTED else stats[vip]
        taken = set(stats.values())
        free = [n for n in reversed(range(store.sizes.stats)) if n not in taken]
        return cls(
            store=store,
            groups=groups,
            swap=swap,
            entries=entries,
            free=free,
            used=set(free) if store.is_adopted else set(),
            versions=Counter(vip.version for vip in entries),
        )

    def move(self, spots: dict[bytes, Spot]) -> None:
        """Write for these attachments from now on: all rows for new or changed ones."""
        old, self.spots = self.spots, spots
        gone = [place for place in old if place not in spots]
        self._dropped.extend(gone)
        if gone or any(old.get(place) is not spot for place, spot in spots.items()):
            self._queue.update(dict.fromkeys(self.entries))

    def retry(self) -> None:
        """Larger maps may be tried again."""
        self._is_refused = False

    def stats(self) -> dict[int, Vip]:
        """VIPs by the index of their counters."""
        return {entry.stat: vip for vip, entry in self.entries.items() if entry.stat != NO_STAT}

    def put(self, rows: Iterable[VipRow]) -> None:
        """Make the table say `rows`; VIPs not named stay. Past 64 rows work waits for `step`."""
        changed = []
        for row in rows:
            entry = self.entries.get(row.vip)
            if entry is None:
                entry = self.entries[row.vip] = Entry.of(row)
                self._by_address[row.vip.packed] = entry
                self._versions[row.vip.version] += 1
            elif entry.row() == row:
                continue
            else:
                entry.take(row)
            changed.append(row.vip)
        self._apply_or_queue(changed)

    def remove(self, vips: Iterable[Vip]) -> None:
        """Take VIPs out of the table: from now on their frames pass uncounted."""
        gone = [entry for vip in vips if (entry := self.entries.pop(vip, None)) is not None]
        for entry in gone:
            self._gone[entry.vip] = entry
            del self._by_address[entry.vip.packed]
            self._versions[entry.vip.version] -= 1
        self._apply_or_queue([entry.vip for entry in gone])

    def speak_all(self, addresses: Iterable[bytes], voice: Voice, lladdr: bytes | None) -> None:
        """
        Flip VIPs that were put, by their octets, on all their interfaces; at once, one store each.

        Raises KeyError for one that was not put; those before it are then in no table yet.
        """
        found, alike = self._by_address, dict[tuple[Spot, bool, bool, bool], list[bytes]]()
        kind, keys = None, list[bytes]()
        for address in addresses:
            entry = found[address]
            entry.voice, entry.lladdr = voice, lladdr
            for spot, key, advertised in entry.slots:
                here = (spot, advertised, entry.listen, entry.is_v4)
                if here != kind:
                    kind, keys = here, alike.setdefault(here, [])
                keys.append(key)
        for (spot, advertised, listen, is_v4), flipped in alike.items():
            word = spot.word(voice, lladdr, advertised=advertised, listen=listen)
            self.store.tables[4 if is_v4 else 6].flip_all(flipped, word)

    def listen(self, vips: Iterable[Vip], *, on: bool) -> None:
        """Report (or no more) whoever speaks for these VIPs, also where we do not: for probing."""
        for vip in vips:
            entry = self.entries[vip]
            entry.listen = on
            self.speak_all([vip.packed], entry.voice, entry.lladdr)

    def _apply_or_queue(self, vips: list[Vip]) -> None:
        if len(vips) > AT_ONCE:
            self._queue.update(dict.fromkeys(vips))
            return
        for vip in vips:
            self._apply(vip)

    def _apply(self, vip: Vip) -> None:
        """Make slots and groups of one VIP agree with its entry, or its absence."""
        old = self._gone.pop(vip, None)
        if old is not None:
            self._erase(old)
        entry = self.entries.get(vip)
        if entry is None:
            return
        if entry.stat == NO_STAT and not self._count(entry) and not self._is_refused:
            self._queue[vip] = None  # the map of counters grows first
            return
        row, address = entry.row(), vip.packed
        table = self.store.tables[vip.version]
        stat = _NOT_COUNTED if entry.stat == NO_STAT else entry.stat
        slots = []
        self.store.mark(address)
        for place, spot in self.spots.items():
            key = place + address
            advertised = is_advertised(row, spot.attachment)
            word = spot.word(row.voice, row.lladdr, advertised=advertised, listen=row.listen)
            table.set(key, Row(word, spot.attachment.cell, stat))
            slots.append((spot, key, advertised))
        entry.slots = tuple(slots)
        if isinstance(vip, IPv6Address):
            self._follow_groups(vip, entry)

    def _erase(self, entry: Entry) -> None:
        table = self.store.tables[entry.vip.version]
        for place in self.spots:
            table.drop(place + entry.vip.packed)
        if entry.stat != NO_STAT:
            self._free.append(entry.stat)
            self._used.add(entry.stat)
        for ifindex in entry.groups:
            if isinstance(entry.vip, IPv6Address):
                self.groups.unwant(ifindex, entry.vip)

    def _count(self, entry: Entry) -> bool:
        """Give a VIP its counters, at zero; False when there are none left."""
        if not self._free or self._is_growing:
            return False
        entry.stat = self._free.pop()
        if entry.stat in self._used:
            self._used.discard(entry.stat)
            counters.zero(self.store.libbpf, self.store.program.maps["stats"], entry.stat)
        return True

    def _follow_groups(self, vip: IPv6Address, entry: Entry) -> None:
        """Its group is heard wherever it may be answered, also while another node holds it."""
        before = entry.groups
        entry.groups = frozenset(
            spot.own_ifindex
            for spot, _, advertised in entry.slots
            if advertised and entry.voice is not Voice.COUNT
        )
        for ifindex in entry.groups - before:
            self.groups.want(ifindex, vip)
        for ifindex in before - entry.groups:
            self.groups.unwant(ifindex, vip)

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
        full, self._overfull = self._overfull, set()
        return full

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
            if version is not None:
                self._job = self.store.rebuild(version)
            elif self.groups.pending:
                self._job = self._settle_groups()
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
            self._is_refused = self._is_growing
            self._end_job(now)
            raise

    def _end_job(self, now: float) -> None:
        self._job = None
        self._is_growing = False
        if self._wants_rebuild() is not None:
            self._rest_until = now + _REST_S

    def _wanted_sizes(self) -> Sizes:
        have = self.store.sizes
        if self._is_refused:
            return have
        spots = max(1, len(self.spots))
        return Sizes(
            max(have.slots4, self._floor[4], _power(2 * spots * self._versions[4])),
            max(have.slots6, self._floor[6], _power(2 * spots * self._versions[6])),
            max(have.stats, _power(len(self.entries))),
        )

    def _grow(self, sizes: Sizes) -> Iterator[None]:
        before = self.store.sizes
        yield from self.store.grow(sizes, self.swap)
        self._free[:0] = reversed(range(before.stats, sizes.stats))

    def _settle_groups(self) -> Iterator[None]:
        """Join and leave in a thread: the kernel's lock of all networking may be held for long."""
        self._overfull |= yield from in_thread("groups", lambda: self.groups.settle(_GROUPS_A_STEP))

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
