"""Per-CPU counters, read and written in batches."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator
from typing import Final

import attrs

from speaker.dataplane.layout import VIP_STATS, ExitReason
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.values import VipCounters

_FIELDS: Final = VIP_STATS.size_bytes // 8
_COUNTED: Final = [VIP_STATS.offsets[field.name] // 8 for field in attrs.fields(VipCounters)]
_BATCH_CELLS: Final = 1 << 15  # CPUs times VIPs read by one system call: 1.5 MB


def sums(libbpf: Libbpf, map_fd: int) -> Iterator[tuple[int, VipCounters]]:
    """(index, counters summed over CPUs) of every entry of the map `stats`, in order."""
    cpus = libbpf.lib.libbpf_num_possible_cpus()
    stride = cpus * _FIELDS
    for first, values in read_raw(libbpf, map_fd, cpus * VIP_STATS.size_bytes):
        for entry in range(len(values) // stride):
            start, end = entry * stride, (entry + 1) * stride
            yield (
                first + entry,
                VipCounters(*(sum(values[start + n : end : _FIELDS]) for n in _COUNTED)),
            )


def read_raw(libbpf: Libbpf, map_fd: int, entry_bytes: int) -> Iterator[tuple[int, array[int]]]:
    """(first index, 64-bit words) of batch after batch of a per-CPU array."""
    total = libbpf.map_info(map_fd).max_entries
    batch = max(1, min(total, _BATCH_CELLS * VIP_STATS.size_bytes // entry_bytes))
    keys = (ctypes.c_uint32 * batch)()
    position = ctypes.c_uint32()
    first = 0
    while first < total:
        count = ctypes.c_uint32(min(batch, total - first))
        values = array("Q", bytes(count.value * entry_bytes))
        address, _ = values.buffer_info()
        # ENOENT says that this batch reached the end; the values are there all the same.
        result = libbpf.lib.bpf_map_lookup_batch(
            map_fd,
            ctypes.byref(position) if first else None,
            ctypes.byref(position),
            keys,
            address,
            ctypes.byref(count),
            None,
        )
        if result < 0 and count.value == 0:
            return
        yield first, values[: count.value * entry_bytes // 8]
        first += count.value


def copy(libbpf: Libbpf, source_fd: int, target_fd: int) -> Iterator[None]:
    """Write the counters of one map `stats` into a larger one, a batch between two yields."""
    entry_bytes = libbpf.lib.libbpf_num_possible_cpus() * VIP_STATS.size_bytes
    for first, values in read_raw(libbpf, source_fd, entry_bytes):
        write_raw(libbpf, target_fd, first, len(values) * 8 // entry_bytes, values)
        yield


def write_raw(libbpf: Libbpf, map_fd: int, first: int, entries: int, values: array[int]) -> None:
    """Write `entries` entries of a per-CPU array from number `first` on, as read_raw gives them."""
    count = ctypes.c_uint32(entries)
    keys = (ctypes.c_uint32 * entries)(*range(first, first + entries))
    address, _ = values.buffer_info()
    libbpf.call(
        "write counters", "bpf_map_update_batch", map_fd, keys, address, ctypes.byref(count), None
    )


def zero(libbpf: Libbpf, map_fd: int, index: int) -> None:
    """Reset one VIP's counters on every CPU: its index goes to another VIP."""
    key = ctypes.c_uint32(index)
    size = libbpf.lib.libbpf_num_possible_cpus() * VIP_STATS.size_bytes
    value = ctypes.create_string_buffer(size)
    libbpf.call("reset a counter", "bpf_map_update_elem", map_fd, ctypes.byref(key), value, 0)


def exits(libbpf: Libbpf, map_fd: int) -> dict[str, int]:
    """Frames by the way they left the program, lower-case names of ExitReason, summed over CPUs."""
    cpus = libbpf.lib.libbpf_num_possible_cpus()
    values = (ctypes.c_uint64 * cpus)()
    found = {}
    for reason in ExitReason:
        key = ctypes.c_uint32(reason)
        libbpf.call(
            "read an exit counter", "bpf_map_lookup_elem", map_fd, ctypes.byref(key), values
        )
        found[reason.name.lower()] = sum(values)
    return found
