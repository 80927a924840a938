"""
Nanoseconds a frame costs in the responder, by BPF_PROG_TEST_RUN, with 10,000 VIPs loaded.

Short rounds alternate between all programs, so that a noisy moment hits every figure alike. A
delta is the least of the program less the least of its reference, which is the nearest to what the
code costs; the median of the deltas within rounds, and the widest of them, tell the noise.

An answer overwrites the question, and the next repeat would see the answer: the cases that answer
therefore write the question anew each time, and so does their reference.
"""

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv6Address

import attrs

from speaker.beats import BEAT_BYTES, encode_request
from speaker.dataplane.layout import ExitReason, Voice
from tests.bench.priority import like_a_herald
from tests.bench.rows import Row
from tests.bpf.beats import OLD_KEYS, REQUEST, Beat, set_cell
from tests.bpf.frames import Arp, Nd, tcp4, tcp6
from tests.bpf.harness import LO_IFINDEX, Program, Responder

VIPS = 5_000  # of each family
SLOTS = 16_384
TEMPLATE_BYTES = 128
_TEMPLATE_SIZE_AT = 12  # byte offset of template_bytes in .rodata of bench.bpf.o
_REPEAT = 20_000  # well below a millisecond: short rounds find the quiet moments
_ROUNDS = 101
_EMPTY = "empty XDP_PASS"
_REFLECTOR = "MAC-swap reflector"
_REWRITER = "reflector, frame rewritten"
_GROWER = "reflector, frame rewritten and grown"
_BEAT_REWRITER = "reflector, beat rewritten"


@attrs.frozen
class Case:
    """One program on one frame, and how much dearer than which reference it may be."""

    name: str
    responder: Responder
    program: str
    frame: bytes
    reference: str = ""
    aim_ns: float | None = None
    exit: ExitReason | None = None  # where each of its frames leaves; None: no responder

    def run(self) -> float:
        """Mean nanoseconds per frame of one round; fails when the frames took another way out."""
        loaded = self.responder.object
        padded = self.frame.ljust(TEMPLATE_BYTES, b"\0")
        self.responder.update("templates", 0, padded)
        before = self._left()
        duration_ns = loaded.test_run(loaded.program_fd(self.program), self.frame, repeat=_REPEAT)[
            2
        ]
        if self.exit is not None and self._left() - before != _REPEAT:
            raise AssertionError(f"{self.name}: {self.responder.exits()}")
        return float(duration_ns)

    def _left(self) -> int:
        return 0 if self.exit is None else self.responder.exits().get(self.exit, 0)


def vip4(number: int) -> bytes:
    """One of 65,536 addresses of 198.18.0.0/16 (RFC 2544: benchmarks)."""
    return (IPv4Address("198.18.0.0") + number).packed


def vip6(number: int) -> bytes:
    """One of the addresses of 2001:db8:0:1::/112."""
    return (IPv6Address("2001:db8:0:1::") + number).packed


def fill(responder: Responder, count: int, ifindex: int = LO_IFINDEX) -> None:
    """Enter `count` held VIPs of each family, counters 0 to 2 * count - 1, and keep the filter."""
    vips = [make(number) for number in range(count) for make in (vip4, vip6)]
    for stat, vip in enumerate(vips):
        responder.put(vip, Voice.HELD, ifindex=ifindex, stat=stat)
    responder.keep_filter(vips)


@contextmanager
def cases() -> Iterator[list[Case]]:
    """The programs loaded and every case ready to run; the first responder is the plain one."""
    target, target6 = vip4(2_345), vip6(2_345)
    foreign, foreign6 = (
        IPv4Address("203.0.113.7").packed,
        IPv6Address("2001:db8:ffff::7").packed,
    )
    with ExitStack() as stack:
        objects: dict[int, Responder] = {}

        def case(name: str, program: str, frame: bytes, *rest: str | float | None) -> Case:
            size = len(frame) if program.startswith("bench_restored") else 0
            if size not in objects:
                rodata = {_TEMPLATE_SIZE_AT: size or 64}
                objects[size] = stack.enter_context(
                    Responder.loaded(SLOTS, 2 * VIPS, "bench.bpf.o", rodata)
                )
                fill(objects[size], VIPS)
                set_cell(objects[size])
            return Case(name, objects[size], program, frame, *rest)  # type: ignore[arg-type]

        ours, rewritten = Program.XDP.value, "bench_restored_respond"
        tcp = tcp4(foreign)
        arp = Arp(tpa=target).build()
        solicitation = Nd(target=target6).build()
        bare = Nd(target=target6, options=b"").build()
        beat, forged = Beat().build(), encode_request(REQUEST, OLD_KEYS)
        yield [
            case(_EMPTY, "bench_empty", tcp),
            case(_REFLECTOR, "bench_reflect", tcp),
            case("bystander TCP, IPv4", ours, tcp, _EMPTY, 3, ExitReason.OTHER),
            case("bystander TCP, IPv6", ours, tcp6(foreign6), _EMPTY, 3, ExitReason.OTHER),
            case("counted TCP, IPv4", ours, tcp4(target), _EMPTY, 6, ExitReason.COUNTED),
            case("counted TCP, IPv6", ours, tcp6(target6), _EMPTY, 6, ExitReason.COUNTED),
            case(
                "ARP for no VIP",
                ours,
                Arp(tpa=foreign).build(),
                _EMPTY,
                None,
                ExitReason.ARP_NOT_VIP,
            ),
            case(
                "NS for no VIP",
                ours,
                Nd(target=foreign6).build(),
                _EMPTY,
                None,
                ExitReason.ND_NOT_VIP,
            ),
            case(_REWRITER, "bench_restored_reflect", arp),
            case("ARP answered", rewritten, arp, _REWRITER, 20, ExitReason.ARP_ANSWERED),
            case(_GROWER, "bench_restored_grow", bare),
            case(
                "NS answered",
                rewritten,
                solicitation,
                _REWRITER,
                None,
                ExitReason.ND_ANSWERED,
            ),
            case(
                "NS answered, no SLLAO: grown",
                rewritten,
                bare,
                _GROWER,
                None,
                ExitReason.ND_ANSWERED,
            ),
            case(_BEAT_REWRITER, "bench_restored_reflect", beat),
            case(
                "beat reflected",
                rewritten,
                beat,
                _BEAT_REWRITER,
                None,
                ExitReason.BEAT_REFLECTED,
            ),
            case(
                "beat refused, forged",
                rewritten,
                Beat(forged).build(),
                _BEAT_REWRITER,
                None,
                ExitReason.BEAT_REFUSED,
            ),
            case(
                "beat refused, no magic",
                rewritten,
                Beat(bytes(BEAT_BYTES)).build(),
                _BEAT_REWRITER,
                None,
                ExitReason.BEAT_REFUSED,
            ),
        ]


def run(rounds: int = _ROUNDS) -> list[Row]:
    """Measure: absolute ns per frame, then each delta to its reference; and the maps' memory."""
    figures: dict[str, list[float]] = {}
    with cases() as ready, like_a_herald():
        for _ in range(rounds):
            for case in ready:
                figures.setdefault(case.name, []).append(case.run())
        memory = _map_memory(ready[0].responder)
    rows = [_row(case.name, "ns", "", figures[case.name]) for case in ready]
    for case in ready:
        if not case.reference:
            continue
        rows.append(_delta(case, figures[case.name], figures[case.reference]))
    return [*rows, *memory]


def _delta(case: Case, ours: list[float], theirs: list[float]) -> Row:
    deltas = [mine - other for mine, other in zip(ours, theirs, strict=True)]
    least = min(ours) - min(theirs)
    return Row(
        name=case.name,
        unit="ns more",
        reference=case.reference,
        minimum=least,
        median=statistics.median(deltas),
        maximum=max(deltas),
        aim="" if case.aim_ns is None else f"least <= {case.aim_ns:g}",
        met=None if case.aim_ns is None else least <= case.aim_ns,
    )


def _row(name: str, unit: str, reference: str, values: list[float]) -> Row:
    median = statistics.median(values)
    return Row(name, unit, reference, min(values), median, max(values))


def _map_memory(responder: Responder) -> list[Row]:
    """What the kernel accounts to each map of the responder, in KiB."""
    names = (
        "vips4",
        "vips6",
        "stats",
        "cells",
        "exits",
        "events",
        "control",
        ".data.filter",
        ".rodata",
    )
    sizes: dict[str, float] = {}
    for name in names:
        number = responder.object.bpf.map_info(responder.object.map_fd(name)).id
        shown = subprocess.run(
            ["bpftool", "-j", "map", "show", "id", str(number)], capture_output=True, check=True
        )
        sizes[name] = int(json.loads(shown.stdout)["bytes_memlock"]) / 1024
    sizes["all maps"] = sum(sizes.values())
    label = f"kernel memory, {2 * VIPS:,} VIPs"
    return [_row(f"{label}: {name}", "KiB", "", [size_kib]) for name, size_kib in sizes.items()]


def report(measure: Callable[[], list[Row]] = run) -> None:
    """Print the rows of one benchmark."""
    for row in measure():
        spread = f"{row.minimum:10.2f} {row.median:10.2f} {row.maximum:10.2f}"
        verdict = {None: "", True: "met", False: "MISSED"}[row.met]
        print(f"{row.name:44} {spread} {row.unit:8} {row.reference:36} {row.aim:8} {verdict}")


if __name__ == "__main__":
    report()
