"""
Run frames through the responder on the running kernel, neither attached nor pinned.

The programs see the frames as if they came in on `lo` (ifindex 1), the only interface that every
network namespace has and that BPF_PROG_TEST_RUN accepts without a context.
"""

import ctypes
import enum
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from speaker.dataplane import layout
from speaker.dataplane.layout import CellState, ExitReason, Voice, VoiceFlag
from speaker.dataplane.libbpf import SAMPLE_FN, Libbpf, RunOpts

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = ROOT / "speaker" / "dataplane" / "objects"
LO_IFINDEX = 1
OWN_LLADDR = bytes.fromhex("020000000001")
FOREVER_NS = 2**63
_FRAME_ROOM = 4096


class Program(enum.StrEnum):
    """The two programs of the one source."""

    XDP = "stentor_xdp"
    TC = "stentor_tc"


class Verdict(enum.Enum):
    """What becomes of a frame, whichever program judged it."""

    PASS = "pass"
    DROP = "drop"
    TX = "tx"


# linux/bpf.h enum xdp_action; linux/pkt_cls.h TC_ACT_UNSPEC, _SHOT, _REDIRECT
_VERDICTS = {
    Program.XDP: {2: Verdict.PASS, 1: Verdict.DROP, 3: Verdict.TX},
    Program.TC: {0xFFFF_FFFF: Verdict.PASS, 2: Verdict.DROP, 7: Verdict.TX},
}


@attrs.frozen
class Outcome:
    """One frame's way: verdict, the frame as it left, mean nanoseconds per repeat."""

    verdict: Verdict
    frame: bytes
    duration_ns: int


@attrs.define
class BpfObject:
    """A loaded object; closes with its `with` block."""

    bpf: Libbpf
    handle: int

    @classmethod
    @contextmanager
    def opened(
        cls, name: str, sizes: dict[str, int] | None = None, rodata: dict[int, int] | None = None
    ) -> Iterator[Self]:
        """
        Load `objects/NAME`. `sizes`: max_entries by map; `rodata`: 32-bit words by byte offset.

        Raises KernelError when the kernel refuses it.
        """
        bpf = Libbpf()
        path = str(OBJECTS / name).encode()
        handle = bpf.pointer(f"open {name}", "bpf_object__open_file", path, None)
        loaded = cls(bpf, handle)
        try:
            for map_name, entries in (sizes or {}).items():
                bpf.call(
                    f"size {map_name}",
                    "bpf_map__set_max_entries",
                    loaded.map_pointer(map_name),
                    entries,
                )
            loaded._write_rodata(rodata or {})
            bpf.call(f"load {name}", "bpf_object__load", handle)
            yield loaded
        finally:
            bpf.lib.bpf_object__close(handle)

    def _write_rodata(self, words: dict[int, int]) -> None:
        if not words:
            return
        size = ctypes.c_size_t()
        start = self.bpf.pointer(
            "constants",
            "bpf_map__initial_value",
            self.map_pointer(".rodata"),
            ctypes.byref(size),
        )
        for offset, word in words.items():
            ctypes.memmove(start + offset, struct.pack("<I", word), 4)

    def map_pointer(self, name: str) -> int:
        """libbpf's map called `name`; raises KernelError when there is none."""
        return self.bpf.pointer(
            f"map {name}", "bpf_object__find_map_by_name", self.handle, name.encode()
        )

    def map_fd(self, name: str) -> int:
        """Descriptor of a map."""
        return int(self.bpf.lib.bpf_map__fd(self.map_pointer(name)))

    def program_fd(self, name: str) -> int:
        """Descriptor of a program."""
        pointer = self.bpf.pointer(
            f"program {name}", "bpf_object__find_program_by_name", self.handle, name.encode()
        )
        return int(self.bpf.lib.bpf_program__fd(pointer))

    def test_run(self, program_fd: int, frame: bytes, **options: Any) -> tuple[int, bytes, int]:
        """Return value, outgoing frame and nanoseconds per repeat of BPF_PROG_TEST_RUN."""
        room = ctypes.create_string_buffer(_FRAME_ROOM)
        source = ctypes.create_string_buffer(frame, len(frame))
        opts = RunOpts(
            sz=ctypes.sizeof(RunOpts),
            data_in=ctypes.addressof(source),
            data_size_in=len(frame),
            data_out=ctypes.addressof(room),
            data_size_out=_FRAME_ROOM,
            **options,
        )
        self.bpf.call("run a frame", "bpf_prog_test_run_opts", program_fd, ctypes.addressof(opts))
        return opts.retval, room.raw[: opts.data_size_out], opts.duration

    def live_run(
        self, program_fd: int, frame: bytes, context: bytes, repeat: int, flags: int
    ) -> None:
        """Run a program on live frames (BPF_F_TEST_XDP_LIVE_FRAMES), which leave for real."""
        source = ctypes.create_string_buffer(frame, len(frame))
        ctx = ctypes.create_string_buffer(context, len(context))
        opts = RunOpts(
            sz=ctypes.sizeof(RunOpts),
            data_in=ctypes.addressof(source),
            data_size_in=len(frame),
            ctx_in=ctypes.addressof(ctx),
            ctx_size_in=len(context),
            repeat=repeat,
            flags=flags,
            batch_size=64,
        )
        self.bpf.call("send frames", "bpf_prog_test_run_opts", program_fd, ctypes.addressof(opts))

    def per_cpu(self, map_fd: int, index: int, codec: layout.Layout) -> dict[str, int]:
        """Sum over the CPUs of each member of a per-CPU array's element."""
        cpus = self.bpf.lib.libbpf_num_possible_cpus()
        key = ctypes.c_uint32(index)
        rows = ctypes.create_string_buffer(codec.size_bytes * cpus)
        self.bpf.call(
            "read counters",
            "bpf_map_lookup_elem",
            map_fd,
            ctypes.addressof(key),
            ctypes.addressof(rows),
        )
        totals: dict[str, int] = {}
        for cpu in range(cpus):
            for name, value in codec.unpack(rows.raw, cpu * codec.size_bytes).items():
                totals[name] = totals.get(name, 0) + int(value)
        return totals


COUNTER = layout.Layout("counter", (("frames", "Q"),))


@attrs.define
class Responder:
    """The responder's object with one cell (index 0) on `lo`, and a table writer of its own."""

    object: BpfObject
    slots: int
    half: int = 0
    tables: dict[str, mmap.mmap] = attrs.field(init=False)
    _samples: list[bytes] = attrs.field(init=False, factory=list)
    _ring: Any = attrs.field(init=False, default=None)
    _take: Any = attrs.field(init=False, default=None)

    @classmethod
    @contextmanager
    def loaded(
        cls,
        slots: int = 1024,
        vips: int = 1024,
        name: str = "responder.bpf.o",
        rodata: dict[int, int] | None = None,
    ) -> Iterator[Self]:
        """A fresh responder with `slots` per half of each table and counters for `vips`."""
        sizes = {"vips4": 2 * slots, "vips6": 2 * slots, "stats": vips}
        words = {0: slots - 1, 4: slots - 1, **(rodata or {})}  # table_mask4, table_mask6
        with BpfObject.opened(name, sizes, words) as loaded, cls(loaded, slots) as it:
            yield it

    def __enter__(self) -> Self:
        strides = {
            "vips4": (layout.SLOT4.size_bytes, 2 * self.slots),
            "vips6": (layout.SLOT6.size_bytes, 2 * self.slots),
            "cells": (layout.CELL.size_bytes, layout.MAX_CELLS),
            "heard_beats": (layout.HEARD.size_bytes, layout.MAX_HEARD),
            ".data.filter": ((1 << layout.FILTER_BITS) // 8, 1),
        }
        self.tables = {
            name: mmap.mmap(self.object.map_fd(name), -(-stride * count // 4096) * 4096)
            for name, (stride, count) in strides.items()
        }
        self._take = SAMPLE_FN(self._sample)
        self._ring = self.object.bpf.pointer(
            "events", "ring_buffer__new", self.object.map_fd("events"), self._take, None, None
        )
        self.set_cell()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.object.bpf.lib.ring_buffer__free(self._ring)
        for table in self.tables.values():
            table.close()

    def _sample(self, _context: int, data: int, size: int) -> int:
        self._samples.append(ctypes.string_at(data, size))
        return 0

    def reset(self) -> None:
        """Back to empty tables, counters at zero, no events and the default cell."""
        for table in self.tables.values():
            table[:] = bytes(len(table))
        self.tables[".data.filter"][:] = b"\xff" * len(self.tables[".data.filter"])
        cpus = self.object.bpf.lib.libbpf_num_possible_cpus()
        for name, codec, count in (
            ("exits", COUNTER, len(ExitReason)),
            ("stats", layout.VIP_STATS, 16),
        ):
            for index in range(count):
                self.update(name, index, bytes(codec.size_bytes * cpus))
        self.events()
        self.activate(0)
        self.set_cell()

    def update(self, name: str, index: int, octets: bytes) -> None:
        """Write element `index` of an array by system call."""
        key = ctypes.c_uint32(index)
        value = ctypes.create_string_buffer(octets, len(octets))
        self.object.bpf.call(
            f"update {name}",
            "bpf_map_update_elem",
            self.object.map_fd(name),
            ctypes.addressof(key),
            ctypes.addressof(value),
            0,
        )

    def activate(self, half: int) -> None:
        """Make the program use half 0 or 1 of both tables; `put` writes there from now on."""
        self.half = half
        self.update("control", 0, layout.CONTROL.pack(active4=half, active6=half))

    def set_cell(
        self,
        state: CellState = CellState.OWNING,
        deadline_ns: int = FOREVER_NS,
        lladdr: bytes = OWN_LLADDR,
        index: int = 0,
    ) -> None:
        """Write a cell; by default one whose lease never ends."""
        row = layout.CELL.pack(
            state=state, deadline_ns=deadline_ns, lladdr=lladdr, ifindex=LO_IFINDEX
        )
        at = index * layout.CELL.size_bytes
        self.tables["cells"][at : at + len(row)] = row

    def cell(self, index: int = 0) -> dict[str, layout.Value]:
        """Read a cell."""
        return layout.CELL.unpack(self.tables["cells"][:], index * layout.CELL.size_bytes)

    def put(
        self,
        vip: bytes,
        voice: Voice = Voice.HELD,
        *,
        lladdr: bytes = OWN_LLADDR,
        flags: VoiceFlag = layout.NO_FLAGS,
        ifindex: int = LO_IFINDEX,
        vlan: int = 0,
        stat: int = 0,
    ) -> None:
        """Enter a VIP (4 or 16 octets) at the first free slot of its chain."""
        is_v4 = len(vip) == 4
        table = self.tables["vips4" if is_v4 else "vips6"]
        codec = layout.SLOT4 if is_v4 else layout.SLOT6
        hashed = (layout.hash4 if is_v4 else layout.hash6)(ifindex, vlan, vip)
        for index in layout.probes(hashed, self.slots - 1):
            at = (self.half * self.slots + index) * codec.size_bytes
            held = codec.unpack(table[at : at + codec.size_bytes])
            if held["ifindex"] == 0 or (held["addr"], held["ifindex"], held["vlan"]) == (
                vip,
                ifindex,
                vlan,
            ):
                table[at : at + codec.size_bytes] = codec.pack(
                    addr=vip,
                    ifindex=ifindex,
                    vlan=vlan,
                    stat=stat,
                    voice=layout.VOICE.pack(lladdr=lladdr, state=voice, flags=flags),
                )
                return
        raise AssertionError(f"no free slot for {vip.hex()}")

    def keep_filter(self, vips: list[bytes]) -> None:
        """Let the filter say that nothing but `vips` is a VIP, as a careful loader does."""
        table = self.tables[".data.filter"]
        table[:] = bytes(len(table))
        for vip in vips:
            bit = layout.filter_bit(vip)
            table[bit // 8] |= 1 << bit % 8

    def run(self, program: Program, frame: bytes) -> Outcome:
        """One frame through one program."""
        code, out, duration_ns = self.object.test_run(
            self.object.program_fd(program), frame, repeat=1
        )
        return Outcome(_VERDICTS[program][code], out, duration_ns)

    def exits(self) -> dict[ExitReason, int]:
        """Frames by way out, summed over CPUs; only those above zero."""
        fd = self.object.map_fd("exits")
        counts = {r: self.object.per_cpu(fd, r, COUNTER)["frames"] for r in ExitReason}
        return {reason: count for reason, count in counts.items() if count}

    def stats(self, index: int = 0) -> dict[str, int]:
        """Counters of one VIP, summed over CPUs."""
        totals = self.object.per_cpu(self.object.map_fd("stats"), index, layout.VIP_STATS)
        del totals["last_event_ns"]
        return totals

    def events(self) -> list[dict[str, layout.Value]]:
        """Events since the last call."""
        self.object.bpf.call("read events", "ring_buffer__consume", self._ring)
        taken = [layout.EVENT.unpack(sample) for sample in self._samples]
        self._samples.clear()
        return taken
