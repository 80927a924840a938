"""
Nanoseconds a frame costs in the responder, by BPF_PROG_TEST_RUN, with 10,000 VIPs loaded.

Rounds alternate between all programs, so that a noisy moment hits every figure alike; deltas are
taken within a round.
"""

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

import attrs

from speaker.dataplane.layout import Voice
from tests.bench.rows import Row
from tests.bpf.frames import Arp, Nd, tcp4, tcp6
from tests.bpf.harness import BpfObject, Program, Responder

VIPS = 5_000  # of each family
_SLOTS = 16_384
_REPEAT = 200_000
_ROUNDS = 15


@attrs.frozen
class Case:
    """One program on one frame, and how much dearer than which reference it may be."""

    name: str
    run: Callable[[], float]  # nanoseconds per frame
    reference: str = ""
    aim_ns: float | None = None


def vip4(number: int) -> bytes:
    """One of 65,536 addresses of 198.18.0.0/16 (RFC 2544: benchmarks)."""
    return (IPv4Address("198.18.0.0") + number).packed


def vip6(number: int) -> bytes:
    """One of the addresses of 2001:db8:0:1::/112."""
    return (IPv6Address("2001:db8:0:1::") + number).packed


def fill(responder: Responder, count: int) -> None:
    """Enter `count` held VIPs of each family; counters 0 to 2 * count - 1."""
    for number in range(count):
        responder.put(vip4(number), Voice.HELD, stat=2 * number)
        responder.put(vip6(number), Voice.HELD, stat=2 * number + 1)


def _runner(loaded: BpfObject, program: str, frame: bytes) -> Callable[[], float]:
    fd = loaded.program_fd(program)
    return lambda: float(loaded.test_run(fd, frame, repeat=_REPEAT)[2])


def _foreign_tail() -> bytes:
    return IPv4Address("203.0.113.7").packed


@contextmanager
def cases() -> Iterator[list[Case]]:
    """The programs loaded and every case ready to run."""
    target = vip4(2_345)
    target6 = vip6(2_345)
    foreign6 = IPv6Address("2001:db8:ffff::7").packed
    with (
        BpfObject.opened("bench.bpf.o") as bench,
        Responder.loaded(slots=_SLOTS, vips=2 * VIPS) as ours,
    ):
        fill(ours, VIPS)

        def on(frame: bytes) -> Callable[[], float]:
            return _runner(ours.object, Program.XDP, frame)

        tcp = tcp4(_foreign_tail())
        empty = "empty XDP_PASS"
        reflector = "MAC-swap reflector"
        yield [
            Case(empty, _runner(bench, "bench_empty", tcp)),
            Case(reflector, _runner(bench, "bench_reflect", tcp)),
            Case("bystander TCP, IPv4", on(tcp), empty, 3),
            Case("bystander TCP, IPv6", on(tcp6(foreign6)), empty, 3),
            Case("counted TCP, IPv4", on(tcp4(target)), empty, 6),
            Case("counted TCP, IPv6", on(tcp6(target6)), empty, 6),
            Case("ARP for no VIP", on(Arp(tpa=_foreign_tail()).build()), empty),
            Case("ARP answered", on(Arp(tpa=target).build()), reflector, 20),
            Case("NS for no VIP", on(Nd(target=foreign6).build()), empty),
            Case("NS answered", on(Nd(target=target6).build()), reflector),
            Case("NS answered, no SLLAO", on(Nd(target=target6, options=b"").build()), reflector),
        ]


def run(rounds: int = _ROUNDS) -> list[Row]:
    """Measure: absolute ns per frame, then each delta to its reference; and the maps' memory."""
    figures: dict[str, list[float]] = {}
    with cases() as ready:
        for _ in range(rounds):
            for case in ready:
                figures.setdefault(case.name, []).append(case.run())
        memory = _map_memory()
    rows = [_row(case.name, "ns", "", figures[case.name]) for case in ready]
    for case in ready:
        if not case.reference:
            continue
        pairs = zip(figures[case.name], figures[case.reference], strict=True)
        deltas = [ours - theirs for ours, theirs in pairs]
        rows.append(_row(case.name, "ns more", case.reference, deltas, case.aim_ns))
    return [*rows, *memory]


def _row(
    name: str, unit: str, reference: str, values: list[float], aim_ns: float | None = None
) -> Row:
    median = statistics.median(values)
    return Row(
        name=name,
        unit=unit,
        reference=reference,
        minimum=min(values),
        median=median,
        maximum=max(values),
        aim="" if aim_ns is None else f"<= {aim_ns:g}",
        met=None if aim_ns is None else median <= aim_ns,
    )


def _map_memory() -> list[Row]:
    shown = subprocess.run(
        ["bpftool", "map", "show", "-j"], capture_output=True, check=True, text=True
    )
    wanted = ("vips4", "vips6", "stats", "cells", "exits", "events", "control")
    newest = {m["name"]: m for m in json.loads(shown.stdout) if m.get("name") in wanted}
    sizes = {name: int(newest[name]["bytes_memlock"]) / 1024 for name in wanted}
    sizes["all maps"] = sum(sizes.values())
    label = f"kernel memory, {2 * VIPS:,} VIPs"
    return [_row(f"{label}: {name}", "KiB", "", [size_kib]) for name, size_kib in sizes.items()]


def main() -> None:
    """Print the rows."""
    for row in run():
        spread = f"{row.minimum:9.1f} {row.median:9.1f} {row.maximum:9.1f}"
        verdict = {None: "", True: "met", False: "MISSED"}[row.met]
        print(f"{row.name:45} {spread} {row.unit:8} {row.reference:20} {row.aim:6} {verdict}")


if __name__ == "__main__":
    main()
