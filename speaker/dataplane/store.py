"""
The program's maps as we hold them: loaded or adopted, tables written, rebuilt and grown.

Growth makes a new object: the same program with larger tables, all other maps shared. It is
loaded in a thread (verification takes some 100 ms), filled in slices while the old one answers,
then every attachment is swapped to it and its maps take over the pins. A crash on the way leaves
the old maps pinned, whole, and the next process goes on with them.
"""

import ctypes
import mmap
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from speaker.dataplane import counters
from speaker.dataplane.bpffs import Pins
from speaker.dataplane.cells import Cells, futex_xor
from speaker.dataplane.errors import ApplyError
from speaker.dataplane.foreign import ForeignMaps
from speaker.dataplane.fresh import Fresh
from speaker.dataplane.heard import HeardBeats
from speaker.dataplane.layout import CONTROL, filter_bit
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.migrate import carry_ends, remove_others, sources, wait_for_programs
from speaker.dataplane.program import MAPS, Program, Sizes, load, memory, sizes_of
from speaker.dataplane.tables import (
    IPV4,
    IPV6,
    PLACE_BYTES,
    SLICE,
    Family,
    Half,
    Table,
    halves,
    no_barrier,
)
from speaker.dataplane.threads import in_thread

_FAMILIES: Final[dict[int, Family]] = {4: IPV4, 6: IPV6}
_NEXT: Final = "-next"  # a grown map, pinned before it is in use
# x86 shows stores in the order in which they were made; others need to be told.
_IS_ORDERED: Final = platform.machine() == "x86_64"


@attrs.define
class Store:
    """Program, tables and cells of one bpffs directory."""

    libbpf: Libbpf
    pins: Pins
    object_path: Path
    program: Program
    cells: Cells
    heard: HeardBeats
    tables: dict[int, Table]  # by IP version
    is_adopted: bool
    _spares: dict[int, Half]
    _active: dict[int, int]
    _memories: dict[str, mmap.mmap]
    _filters: list[mmap.mmap] = attrs.field(factory=list)  # of the program, and of a larger one
    migrated_from: str = ""  # the directory of the version whose maps were taken over
    warnings: list[str] = attrs.field(factory=list)

    @classmethod
    def open(cls, libbpf: Libbpf, pins: Pins, object_path: Path, slots: int) -> "Store":
        """Adopt the pinned maps, of any version, or make and pin new ones; raises ApplyError."""
        pins.make()
        for path in pins.maps.glob(f"*{_NEXT}"):
            path.unlink()
        if all((pins.maps / name).exists() for name in MAPS):
            program = _reload(libbpf, pins, object_path)
            store = cls._of(libbpf, pins, object_path, program, is_adopted=True)
        else:
            fresh = Fresh(libbpf, pins, object_path, slots)
            program = fresh.make()
            is_adopted = bool(fresh.migrated_from)
            store = cls._of(libbpf, pins, object_path, program, is_adopted=is_adopted)
            store.migrated_from, store.warnings = fresh.migrated_from, fresh.warnings
        store._carry_ends()
        return store

    def forget_others(self) -> None:
        """Our program is on every interface: what other versions left has had its say."""
        if self.pins.others():
            wait_for_programs()
            self._carry_ends()
            remove_others(self.pins)

    def _carry_ends(self) -> None:
        for directory in sources(self.pins):
            try:
                with ForeignMaps.open(self.libbpf, directory) as maps:
                    carry_ends(maps, self.cells)
            except ApplyError as exc:
                self.warnings.append(f"{directory.parent.name}: {exc}; its fences are not known")

    @classmethod
    def _of(
        cls, libbpf: Libbpf, pins: Pins, object_path: Path, program: Program, *, is_adopted: bool
    ) -> "Store":
        active = read_control(libbpf, program.maps["control"])
        cell_memory = memory(libbpf, program.maps["cells"])
        heard_memory = memory(libbpf, program.maps["heard_beats"])
        store = cls(
            libbpf,
            pins,
            object_path,
            program,
            Cells(memoryview(cell_memory), futex_xor(memoryview(cell_memory))),
            HeardBeats(memoryview(heard_memory)),
            {},
            is_adopted,
            {},
            active,
            {"cells": cell_memory, "heard_beats": heard_memory},
        )
        for version in _FAMILIES:
            pair = store._map_halves(program, version)
            store.tables[version] = Table(pair[active[version]])
            store._spares[version] = pair[1 - active[version]]
            store.tables[version].live.read()
        for _ in store._begin_filter(program):
            pass
        return store

    def _map_halves(self, program: Program, version: int) -> tuple[Half, Half]:
        name = f"vips{version}"
        family = _FAMILIES[version]
        slots = program.sizes.slots4 if version == 4 else program.sizes.slots6
        mapped = memory(self.libbpf, program.maps[name])
        self._memories[name] = mapped
        view = memoryview(mapped)[: 2 * slots * family.stride]
        barrier = no_barrier if _IS_ORDERED else self.barrier
        return halves(family, view, barrier)

    def mark(self, address: bytes) -> None:
        """Tell the program that an address (4 or 16 octets) may be a VIP: before its first slot."""
        bit = filter_bit(address)
        for memory_ in self._filters:
            memory_[bit >> 3] |= 1 << (bit & 7)

    def _begin_filter(self, program: Program) -> Iterator[None]:
        """Make the filter of a program that is not attached yet know every VIP, in slices."""
        fresh = memory(self.libbpf, program.filter_fd)
        fresh[:] = bytes(len(fresh))
        self._filters.append(fresh)  # from here on `mark` sets it too
        for table in self.tables.values():
            for count, key in enumerate(table.keys()):
                if count % SLICE == SLICE - 1:
                    yield
                self.mark(key[PLACE_BYTES:])

    def barrier(self) -> None:
        """Everything stored before is seen before everything stored after."""
        self.cells.xor(0, 0)

    @property
    def sizes(self) -> Sizes:
        """Of the maps in use."""
        return self.program.sizes

    # -- keeping tables in shape, as generators whose slices the caller paces ---------------------

    def rebuild(self, version: int) -> Iterator[None]:
        """Fill the spare half of one table and publish it; raises CrowdedError."""
        table, spare = self.tables[version], self._spares[version]
        yield from table.fill(spare)
        self._active[version] = 1 - self._active[version]
        write_control(self.libbpf, self.program.maps["control"], self._active)
        self._spares[version] = table.live
        table.publish()

    def grow(self, sizes: Sizes, swap: Callable[[Program], None]) -> Iterator[None]:
        """
        Move to maps of `sizes`; `swap` puts the new program on every attachment.

        Raises CrowdedError when a table of that size still cannot chain its keys (nothing changed),
        ApplyError when the kernel refuses.
        """
        wanted, have = sizes.max_entries(), self.sizes.max_entries()
        larger = [name for name in wanted if wanted[name] > have[name]]
        reuse = {name: fd for name, fd in self.program.maps.items() if name not in larger}
        program = yield from in_thread(
            "bpf-load", lambda: load(self.libbpf, self.object_path, sizes, reuse)
        )
        memories = dict(self._memories)
        spares = dict(self._spares)
        versions = [version for version in _FAMILIES if f"vips{version}" in larger]
        try:
            yield from self._begin_filter(program)
            for version in versions:
                pair = self._map_halves(program, version)
                spares[version] = pair[1 - self._active[version]]
                yield from self.tables[version].fill(pair[self._active[version]])
            if "stats" in larger:
                yield from counters.copy(
                    self.libbpf, self.program.maps["stats"], program.maps["stats"]
                )
            for name in larger:
                self.libbpf.pin(program.maps[name], self.pins.maps / (name + _NEXT))
            swap(program)
        except BaseException:
            self._memories = memories
            for version in versions:
                self.tables[version].filling = None
            del self._filters[1:]
            for name in larger:
                (self.pins.maps / (name + _NEXT)).unlink(missing_ok=True)
            program.close()
            raise
        for name in sorted(larger):  # "stats" first: no pinned slot may name an entry beyond it
            (self.pins.maps / (name + _NEXT)).replace(self.pins.maps / name)
        for version in versions:
            self.tables[version].publish()
        self._spares = spares
        del self._filters[0]
        old, self.program = self.program, program
        old.close()

    def close(self) -> None:
        """Let go of descriptors; the pins stay."""
        self.program.close()
        self.tables.clear()
        self._spares.clear()
        self._memories.clear()
        self._filters.clear()


def _reload(libbpf: Libbpf, pins: Pins, object_path: Path) -> Program:
    """Our program on the maps that are pinned."""
    pinned: dict[str, int] = {}
    try:
        for name in MAPS:
            pinned[name] = libbpf.get(pins.maps / name)
        return load(libbpf, object_path, sizes_of(libbpf, pinned), pinned)
    finally:
        for fd in pinned.values():
            os.close(fd)


def read_control(libbpf: Libbpf, map_fd: int) -> dict[int, int]:
    """The half in use of each table, by IP version."""
    key, value = ctypes.c_uint32(0), ctypes.create_string_buffer(CONTROL.size_bytes)
    libbpf.call("read control", "bpf_map_lookup_elem", map_fd, ctypes.byref(key), value)
    found = CONTROL.unpack(value.raw)
    return {4: int(found["active4"]) & 1, 6: int(found["active6"]) & 1}


def write_control(libbpf: Libbpf, map_fd: int, active: dict[int, int]) -> None:
    """Publish halves: an update by the kernel, after every store made before it."""
    key = ctypes.c_uint32(0)
    value = CONTROL.pack(active4=active[4], active6=active[6])
    libbpf.call("publish a table", "bpf_map_update_elem", map_fd, ctypes.byref(key), value, 0)
