"""
Adoption across layout versions: from the pinned maps of another version to maps of ours.

    read theirs -> load ours, fill -> pin in maps-next -> rename to maps -> swap programs
                -> wait until no frame is in the old program -> fences once more -> remove theirs

The rename is the commit. Before it theirs are whole, and what was pinned of ours is thrown away by
the next process; after it ours are whole, and as no herald has worked on them yet they say the same
as theirs, but for what a program has written: a claim may suspend, a deadline may expire a cell of
either. So whoever finds maps of two versions carries such ends over, before and after the swap.
"""

import ctypes
import platform
import shutil
import time
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from speaker.dataplane import counters
from speaker.dataplane.bpffs import Pins
from speaker.dataplane.cells import Cells
from speaker.dataplane.foreign import (
    NEEDED,
    ForeignMap,
    ForeignMaps,
    MigrationError,
    read_one,
)
from speaker.dataplane.layout import (
    CELL,
    HEARD,
    MAX_CELLS,
    MAX_HEARD,
    VIP_STATS,
    CellState,
    ExitReason,
    Layout,
    Value,
    Voice,
    VoiceFlag,
    heard_index,
    pack_voice,
)
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.program import Program, memory
from speaker.dataplane.tables import IPV4, IPV6, CrowdedError, Family, Row, halves, place

_CELL_NEEDED: Final = ("deadline_ns", "state", "epoch", "ifindex", "vlan")
_SLOT_NEEDED: Final = ("addr", "ifindex", "vlan", "cell", "voice.state", "voice.lladdr")
_ENDED: Final = frozenset({CellState.SUSPENDED, CellState.EXPIRED})
_ANSWERING: Final = frozenset({CellState.OWNING, CellState.HOLDING})
_NOT_COUNTED: Final = 0xFFFF_FFFF  # as a slot says that there are no counters for it
_MAX_SLOTS: Final = 1 << 24

# linux/membarrier.h: returns once every CPU has passed a quiescent state, XDP and tc included.
_MEMBARRIER_CMD_GLOBAL: Final = 1
_SYS_MEMBARRIER: Final = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365}
_GRACE_S: Final = 0.05  # where the kernel has no membarrier (nohz_full): no program runs so long


@attrs.define
class Contents:
    """Everything that is taken over, in our terms. Images of tables have two halves, first used."""

    cells: bytes
    heard: bytes
    tables: dict[str, bytes]  # by the map's name
    stats_entries: int
    version: str  # name of the directory it came from


def sources(pins: Pins) -> list[Path]:
    """Directories of other versions' maps that are whole, the youngest version first."""
    found = [
        other / "maps"
        for other in pins.others()
        if all((other / "maps" / name).exists() for name in NEEDED)
    ]
    return sorted(found, key=lambda path: (len(path.parent.name), path.parent.name), reverse=True)


# -- reading -------------------------------------------------------------------------------------


def read(maps: ForeignMaps, slots: int) -> Contents:
    """Take in maps of another version; tables get `slots` slots or more. Raises MigrationError."""
    places = _places(maps)
    tables = {
        name: _image(family, _rows(maps, name, family, places), slots)
        for name, family in (("vips4", IPV4), ("vips6", IPV6))
    }
    return Contents(
        _cells(maps, places),
        _heard(maps, places),
        tables,
        _stats_entries(maps),
        maps.directory.parent.name,
    )


def _stats_entries(maps: ForeignMaps) -> int:
    stats = maps.maps.get("stats")
    return 0 if stats is None else stats.entries


def _values(layout: Layout, found: ForeignMap, value: bytes) -> dict[str, Value]:
    """The members of one of our structs that theirs has too."""
    values: dict[str, Value] = {}
    for name, code in layout.members:
        if name in found.leaves:
            octets = found.octets(value, name, _size(code))
            values[name] = octets if code.endswith("s") else int.from_bytes(octets, "little")
    return values


def _size(code: str) -> int:
    return int(code[:-1]) if code.endswith("s") else {"B": 1, "H": 2, "I": 4, "Q": 8}[code]


def _places(maps: ForeignMaps) -> dict[int, int]:
    """Where each of their cells goes: to its own number, or if we have fewer to a free one."""
    cells = maps.maps["cells"]
    cells.require(_CELL_NEEDED)
    used = [index for index, value in cells.values() if cells.number(value, "ifindex")]
    kept = {index: index for index in range(min(cells.entries, MAX_CELLS))}
    free = iter([index for index in range(MAX_CELLS) if index not in used])
    for index in used:
        if index >= MAX_CELLS:
            target = next(free, None)
            if target is None:
                raise MigrationError(f"{len(used)} cells in use, need at most {MAX_CELLS}")
            kept = {old: new for old, new in kept.items() if new != target} | {index: target}
    return kept


def _cells(maps: ForeignMaps, places: Mapping[int, int]) -> bytes:
    cells = maps.maps["cells"]
    states = maps.members("cell_state", "CELL_", CellState)
    image = bytearray(MAX_CELLS * CELL.size_bytes)
    for index, value in cells.values():
        if index in places:
            values = _values(CELL, cells, value)
            # What we do not know does not answer.
            values["state"] = states.get(cells.number(value, "state"), CellState.EXPIRED)
            at = places[index] * CELL.size_bytes
            image[at : at + CELL.size_bytes] = CELL.pack(**values)
    return bytes(image)


def _heard(maps: ForeignMaps, places: Mapping[int, int]) -> bytes:
    image = bytearray(MAX_HEARD * HEARD.size_bytes)
    heard = maps.maps.get("heard_beats")
    if heard is None or not {"sender", "cell"} <= heard.leaves.keys():
        return bytes(image)
    for _, value in heard.values():
        sender, cell = heard.number(value, "sender"), places.get(heard.number(value, "cell"))
        if sender and cell is not None:
            at = heard_index(sender, cell) * HEARD.size_bytes
            values = _values(HEARD, heard, value) | {"cell": cell}
            image[at : at + HEARD.size_bytes] = HEARD.pack(**values)
    return bytes(image)


def _rows(
    maps: ForeignMaps, name: str, family: Family, places: Mapping[int, int]
) -> dict[bytes, Row]:
    """What the half in use of one of their tables says, by our keys."""
    table, control = maps.maps[name], maps.maps["control"]
    active, entries = name.replace("vips", "active"), _stats_entries(maps)
    table.require(_SLOT_NEEDED)
    control.require((active,))
    voices = maps.members("slot_state", "SLOT_", Voice)
    half = table.entries // 2
    first = half if control.number(read_one(control), active) & 1 else 0
    rows = {}
    for _, value in table.values(first, half):
        ifindex, cell = table.number(value, "ifindex"), table.number(value, "cell")
        voice = voices.get(table.number(value, "voice.state"), Voice.PASS)
        if not ifindex or voice is Voice.DEAD or cell not in places:
            continue
        stat = table.number(value, "stat") if "stat" in table.leaves else _NOT_COUNTED
        key = place(ifindex, table.number(value, "vlan")) + table.octets(
            value, "addr", family.address_bytes
        )
        word = pack_voice(
            voice,
            table.octets(value, "voice.lladdr", 6),
            VoiceFlag(table.number(value, "voice.flags") & VoiceFlag.LISTEN),
        )
        rows[key] = Row(word, places[cell], stat if stat < entries else _NOT_COUNTED)
    return rows


def _image(family: Family, rows: Mapping[bytes, Row], slots: int) -> bytes:
    """A table that holds `rows` in its first half."""
    while slots < 2 * len(rows):
        slots *= 2
    while slots <= _MAX_SLOTS:
        image = bytearray(2 * slots * family.stride)
        first, _ = halves(family, memoryview(image))
        try:
            for key, row in rows.items():
                first.settle(key, row)
        except CrowdedError:
            slots *= 2
        else:
            return bytes(image)
    raise MigrationError(f"{len(rows)} rows find no table")


# -- writing -------------------------------------------------------------------------------------


def write(libbpf: Libbpf, contents: Contents, maps: ForeignMaps, program: Program) -> None:
    """Fill the maps of a program that is attached nowhere."""
    images = {"cells": contents.cells, "heard_beats": contents.heard, **contents.tables}
    for name, image in images.items():
        with memory(libbpf, program.maps[name]) as target:
            target[: len(image)] = image
    if (stats := maps.maps.get("stats")) is not None:
        _copy_stats(libbpf, stats, program.maps["stats"])
    if (exits := maps.maps.get("exits")) is not None:
        _copy_exits(libbpf, maps, exits, program.maps["exits"])


def _copy_stats(libbpf: Libbpf, stats: ForeignMap, target_fd: int) -> None:
    """
    Counters that both have; only 64-bit ones are known.

    What the old program counts from here to the swap is lost: a few frames.
    """
    cpus = libbpf.lib.libbpf_num_possible_cpus()
    theirs, ours = stats.value_bytes // 8, VIP_STATS.size_bytes // 8
    pairs = [
        (VIP_STATS.offsets[name] // 8, leaf.offset // 8)
        for name, leaf in stats.leaves.items()
        if name in VIP_STATS.offsets and leaf.size == 8
    ]
    for first, words in counters.read_raw(libbpf, stats.fd, stats.value_bytes * cpus):
        entries = len(words) // (theirs * cpus)
        fresh = array("Q", bytes(8 * entries * cpus * ours))
        for ours_at, theirs_at in pairs:
            fresh[ours_at::ours] = words[theirs_at::theirs]
        counters.write_raw(libbpf, target_fd, first, entries, fresh)


def _copy_exits(libbpf: Libbpf, maps: ForeignMaps, exits: ForeignMap, target_fd: int) -> None:
    cpus = libbpf.lib.libbpf_num_possible_cpus()
    reasons = maps.members("exit_reason", "EXIT_", ExitReason)
    for index, words in counters.read_raw(libbpf, exits.fd, 8 * cpus):
        for value in range(len(words) // cpus):
            reason = reasons.get(index + value)
            if reason is not None:
                counts = words[value * cpus : (value + 1) * cpus]
                counters.write_raw(libbpf, target_fd, reason, 1, counts)


# -- fences --------------------------------------------------------------------------------------


def carry_ends(maps: ForeignMaps, cells: Cells) -> int:
    """
    End those of our cells whose counterpart was suspended or has expired; returns how many.

    And note the highest claims that theirs obeyed. Idempotent.
    """
    theirs = maps.maps["cells"]
    states = maps.members("cell_state", "CELL_", CellState)
    ours = {(cell.ifindex, cell.vlan): cell for cell in cells.used()}
    ended = 0
    for _, value in theirs.values():
        cell = ours.get((theirs.number(value, "ifindex"), theirs.number(value, "vlan")))
        if cell is None:
            continue
        cells.note_fence(cell.index, theirs.number(value, "fenced_epoch"))
        state = states.get(theirs.number(value, "state"), CellState.EXPIRED)
        is_same = theirs.number(value, "epoch") == cell.epoch
        if is_same and state in _ENDED and cell.state in _ANSWERING:
            cells.end(cell.index, state)
            ended += 1
    return ended


def wait_for_programs() -> None:
    """Return once no CPU runs a program any more that was replaced before the call."""
    number = _SYS_MEMBARRIER.get(platform.machine())
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    if number is None or syscall(number, _MEMBARRIER_CMD_GLOBAL, 0, 0):
        time.sleep(_GRACE_S)


def remove_others(pins: Pins) -> None:
    """Take away what other versions pinned; their maps go first, since links have moved to ours."""
    for other in pins.others():
        shutil.rmtree(other)
