"""Load the responder: maps sized or reused, constants set, programs verified; then its memory."""

import ctypes
import mmap
import os
import struct
from pathlib import Path
from typing import Final

import attrs

from speaker.dataplane.errors import ApplyError, KernelError
from speaker.dataplane.layout import SLOT4, SLOT6
from speaker.dataplane.libbpf import Libbpf

MAPS: Final = ("vips4", "vips6", "control", "cells", "heard_beats", "stats", "exits", "events")
XDP_PROGRAM: Final = "stentor_xdp"
TC_PROGRAM: Final = "stentor_tc"
TRIAL_PROGRAM: Final = "stentor_trial"  # reflects beats, passes all else
_PAGE: Final = mmap.PAGESIZE


@attrs.frozen
class Sizes:
    """How large the maps are; a table of N slots is two halves of N."""

    slots4: int
    slots6: int
    stats: int

    def max_entries(self) -> dict[str, int]:
        """`max_entries` of the maps whose size is ours to say."""
        return {"vips4": 2 * self.slots4, "vips6": 2 * self.slots6, "stats": self.stats}


@attrs.define
class Program:
    """A loaded object: descriptors of its programs and maps, until `close`."""

    libbpf: Libbpf
    sizes: Sizes
    xdp_fd: int
    tc_fd: int
    trial_fd: int
    maps: dict[str, int]
    filter_fd: int  # of the map of bits that spares a bystander's packet the tables
    _handle: int

    def close(self) -> None:
        """Let go of the object; what is attached or pinned stays in the kernel."""
        if self._handle:
            self.libbpf.lib.bpf_object__close(self._handle)
            self._handle = 0


def load(libbpf: Libbpf, path: Path, sizes: Sizes, reuse: dict[str, int]) -> Program:
    """
    Load the object at `path`, with the maps in `reuse` (name to descriptor) instead of new ones.

    Raises ApplyError when the file is missing or is not the responder, or when the kernel refuses
    it: the text says which capability or limit is missing.
    """
    if not path.is_file():
        raise ApplyError(f"no BPF object at {path}: run scripts/build_bpf")
    offsets = _constants(path)
    handle = libbpf.pointer(
        f"read BPF object {path}", "bpf_object__open_file", os.fsencode(path), None
    )
    try:
        wanted = sizes.max_entries()
        for name in MAPS:
            bpf_map = libbpf.pointer(
                f"map {name} of {path}", "bpf_object__find_map_by_name", handle, name.encode()
            )
            if name in reuse:
                libbpf.call(f"reuse map {name}", "bpf_map__reuse_fd", bpf_map, reuse[name])
            elif name in wanted:
                libbpf.call(f"size map {name}", "bpf_map__set_max_entries", bpf_map, wanted[name])
        _set_masks(libbpf, handle, offsets, sizes)
        try:
            libbpf.call("load the BPF program", "bpf_object__load", handle)
        except KernelError as exc:
            raise ApplyError(f"{exc}; {privileges()}") from exc
        return Program(
            libbpf,
            sizes,
            _program_fd(libbpf, handle, XDP_PROGRAM),
            _program_fd(libbpf, handle, TC_PROGRAM),
            _program_fd(libbpf, handle, TRIAL_PROGRAM),
            {name: _map_fd(libbpf, handle, name) for name in MAPS},
            libbpf.call(
                "map .data.filter", "bpf_map__fd", _section(libbpf, handle, ".data.filter")
            ),
            handle,
        )
    except BaseException:
        libbpf.lib.bpf_object__close(handle)
        raise


def _program_fd(libbpf: Libbpf, handle: int, name: str) -> int:
    program = libbpf.pointer(
        f"program {name}", "bpf_object__find_program_by_name", handle, name.encode()
    )
    return libbpf.call(f"program {name}", "bpf_program__fd", program)


def _map_fd(libbpf: Libbpf, handle: int, name: str) -> int:
    bpf_map = libbpf.pointer(f"map {name}", "bpf_object__find_map_by_name", handle, name.encode())
    return libbpf.call(f"map {name}", "bpf_map__fd", bpf_map)


def _section(libbpf: Libbpf, handle: int, name: str) -> int:
    """The map that libbpf made of a section of global variables; raises ApplyError."""
    bpf_map: int | None = libbpf.lib.bpf_object__next_map(handle, None)
    while bpf_map and not libbpf.lib.bpf_map__name(bpf_map).endswith(name.encode()):
        bpf_map = libbpf.lib.bpf_object__next_map(handle, bpf_map)
    if not bpf_map:
        raise ApplyError(f"the BPF object has no {name}: it is not the responder")
    return bpf_map


def _set_masks(libbpf: Libbpf, handle: int, offsets: dict[str, int], sizes: Sizes) -> None:
    """Write the constants of .rodata, which the verifier then knows."""
    bpf_map = _section(libbpf, handle, ".rodata")
    size = ctypes.c_size_t()
    start = libbpf.pointer(
        "constants of the BPF object", "bpf_map__initial_value", bpf_map, ctypes.byref(size)
    )
    for name, value in (("table_mask4", sizes.slots4 - 1), ("table_mask6", sizes.slots6 - 1)):
        ctypes.memmove(start + offsets[name], struct.pack("<I", value), 4)


_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")


def _constants(path: Path) -> dict[str, int]:
    """Offsets in .rodata of the tables' masks, from the ELF symbol table (ELF-64, gABI 4.18)."""
    data = path.read_bytes()
    try:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ApplyError(f"{path} is not a little-endian 64-bit ELF object")
        (table,) = struct.unpack_from("<Q", data, 0x28)
        size, count, names = struct.unpack_from("<HHH", data, 0x3A)
        sections = [_SECTION.unpack_from(data, table + size * n) for n in range(count)]
        labels = [_text(data, sections[names][4] + section[0]) for section in sections]
        symbols, rodata = sections[labels.index(".symtab")], labels.index(".rodata")
        strings = sections[symbols[6]][4]
        found = {}
        for at in range(symbols[4], symbols[4] + symbols[5], _SYMBOL.size):
            name, _, _, section, value, _ = _SYMBOL.unpack_from(data, at)
            if section == rodata:
                found[_text(data, strings + name)] = value
    except (struct.error, ValueError, IndexError) as exc:
        raise ApplyError(f"{path} is not a whole BPF object: {exc}") from exc
    if missing := {"table_mask4", "table_mask6"} - found.keys():
        raise ApplyError(f"{path} is not the responder: it has no {', '.join(sorted(missing))}")
    return found


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def sizes_of(libbpf: Libbpf, maps: dict[str, int]) -> Sizes:
    """Sizes that the maps of an earlier process have; raises ApplyError for strange ones."""
    for name, stride in (("vips4", SLOT4.size_bytes), ("vips6", SLOT6.size_bytes)):
        info = libbpf.map_info(maps[name])
        slots = info.max_entries // 2
        if info.value_size != stride or slots < 1 or slots & (slots - 1):
            raise ApplyError(f"pinned map {name} has another layout: run stentor speaker --cleanup")
    return Sizes(
        libbpf.map_info(maps["vips4"]).max_entries // 2,
        libbpf.map_info(maps["vips6"]).max_entries // 2,
        libbpf.map_info(maps["stats"]).max_entries,
    )


def memory(libbpf: Libbpf, fd: int) -> mmap.mmap:
    """Memory of an mmap-able array, writable, seen by the program at once."""
    info = libbpf.map_info(fd)
    size = (info.value_size + 7 & ~7) * info.max_entries
    try:
        return mmap.mmap(fd, (size + _PAGE - 1) & -_PAGE, mmap.MAP_SHARED)
    except OSError as exc:
        raise KernelError(f"map memory of {info.name.decode()}", exc.errno or 0) from exc


# linux/capability.h
_CAPABILITIES: Final = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}


def privileges() -> str:
    """What the process lacks for BPF, in words for an operator; "" when it lacks nothing."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")
    )
    have = {name for name, bit in _CAPABILITIES.items() if effective >> bit & 1}
    if "CAP_SYS_ADMIN" in have:
        have |= {"CAP_BPF", "CAP_PERFMON"}
    missing = [n for n in ("CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN") if n not in have]
    if missing:
        return (
            f"missing {', '.join(missing)}: run as root, or give the container CAP_BPF, "
            "CAP_PERFMON and CAP_NET_ADMIN"
        )
    return ""
