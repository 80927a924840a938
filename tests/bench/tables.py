"""
The table of VIPs: 10,000 loaded, and 10,000 flipped between owned and not.

The reference is what a program with a kernel hash map would do: `bpf_map_update_elem` for each VIP,
on a map of the same program, in the same run.
"""

import ctypes
import itertools
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from speaker.dataplane import DataPlane, Options, VipRow, Voice, XdpMode
from speaker.dataplane.watcher import Watcher
from tests.bench.rows import Row
from tests.dataplane.net import inside

_VIPS = [ip_address("198.18.0.0") + n for n in range(10_000)]  # RFC 2544: benchmarking
_RUNS = 5
_LEASE_NS = 60_000_000_000


@contextmanager
def plane() -> Iterator[DataPlane]:
    """A data plane on one veth in a namespace of its own."""
    namespace = f"st-bt-{os.getpid()}"
    with TemporaryDirectory(prefix="st-bench-") as folder:
        bpffs = Path(folder) / "bpf"
        bpffs.mkdir()
        try:
            subprocess.run(["mount", "-t", "bpf", "bpf", str(bpffs)], check=True)
            subprocess.run(["ip", "netns", "add", namespace], check=True)
            link = f"ip -n {namespace} link"
            subprocess.run(f"{link} add eth0 type veth peer eth1".split(), check=True)
            for name in ("eth0", "eth1"):
                subprocess.run([*link.split(), "set", name, "up"], check=True)
            with inside(namespace):
                options = Options(
                    bpffs,
                    Path(folder) / "state",
                    mode=XdpMode.NATIVE,
                    excludes=(re.compile("^(lo|eth1)$"),),
                )
                now_ns = time.monotonic_ns()
                made = DataPlane.open(options, instance_id=1, generation=1, now_ns=now_ns)
                made.sync(Watcher.open().links(), now_ns=now_ns)
                made.enter(now_ns=now_ns)
                try:
                    yield made
                finally:
                    made.close()
        finally:
            subprocess.run(["ip", "netns", "del", namespace], check=False)
            subprocess.run(["umount", str(bpffs)], check=False)


def _taken_ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def _row(title: str, reference: str, taken: list[float], aim_ms: float | None = None) -> Row:
    middle = statistics.median(taken)
    aim = "" if aim_ms is None else f"<= {aim_ms:g}"
    met = None if aim_ms is None else middle <= aim_ms
    return Row(title, "ms", reference, min(taken), middle, max(taken), aim, met)


def _load(made: DataPlane) -> tuple[float, list[float]]:
    """Milliseconds for all, and of each slice that the loop waits for."""
    slices: list[float] = []

    def work() -> None:
        slices.append(_taken_ms(lambda: made.put(VipRow(v, Voice.HELD) for v in _VIPS)))
        while made.pending:
            slices.append(_taken_ms(lambda: made.step(time.monotonic())))

    return _taken_ms(work), slices


def by_system_call(made: DataPlane, count: int = len(_VIPS)) -> Callable[[], None]:
    """One bpf(2) update for each VIP, as a table without shared memory needs."""
    store = made._store
    update, fd = store.libbpf.lib.bpf_map_update_elem, store.program.maps["control"]
    key, value = ctypes.c_uint32(0), ctypes.create_string_buffer(8)
    value.raw = bytes(8)
    address = ctypes.byref(key)

    def work() -> None:
        for _ in range(count):
            update(fd, address, value, 0)

    return work


def run() -> list[Row]:
    """Load, flip and count 10,000 VIPs."""
    first: list[float] = []
    again: list[float] = []
    slices: list[float] = []
    for _ in range(3):
        with plane() as made:
            total, parts = _load(made)
            first.append(total)
            slices += parts
            made.remove(_VIPS)
            while made.pending:
                made.step(time.monotonic())
            total, parts = _load(made)
            again.append(total)
            slices += parts
    with plane() as made:
        _load(made)
        packed = [vip.packed for vip in _VIPS]
        voices = itertools.cycle([Voice.ELSEWHERE, Voice.HELD])
        flips = [_taken_ms(lambda: made.speak_all(packed, next(voices))) for _ in range(2 * _RUNS)]
        calls = [_taken_ms(by_system_call(made)) for _ in range(_RUNS)]
        counted = [_taken_ms(made.counters) for _ in range(_RUNS)]
    slices.sort()
    late = slices[int(len(slices) * 0.99)]
    return [
        _row("10,000 VIPs loaded, table grown from 2,048 slots", "", first),
        _row("10,000 VIPs loaded into a table of the right size", "", again),
        Row("slice of that work, min/p50/p99", "ms", "", slices[0],
            slices[len(slices) // 2], late, "p50 <= 2", slices[len(slices) // 2] <= 2),
        _row("10,000 VIPs flipped", "", flips, aim_ms=10),
        _row("10,000 system calls instead", "", calls),
        _row("10,000 VIPs' counters read", "", counted),
    ]  # fmt: skip
