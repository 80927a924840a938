"""
Answers per second through a veth cable, ours against a bare MAC-swap reflector.

A generator's live frames (BPF_F_TEST_XDP_LIVE_FRAMES) leave the near end; the program under test
stands at the far end; what it sends back is counted by a sink at the near end. The two programs
take turns on the same frames, and a ratio is taken within a turn.
"""

import os
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from speaker.dataplane.libbpf import ATTACH_XDP, XDP_FLAGS_DRV_MODE
from tests.bench.frames import SLOTS, TEMPLATE_BYTES, VIPS, fill, report, vip4, vip6
from tests.bench.rows import Row
from tests.bpf.frames import Arp, Nd
from tests.bpf.harness import COUNTER, BpfObject, Responder
from tests.bpf.netns import Pair, pair, standing_in

_TEMPLATE_MASK_AT, _TEMPLATE_SIZE_AT = 8, 12  # byte offsets in .rodata of bench.bpf.o
_TEMPLATES = 8_192
_LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
_FRAMES = 40_000  # some 15 ms: short turns are seldom disturbed
_ROUNDS = 25
_SUNK = 1  # element of the map `frames`
_XDP_MD = struct.Struct("=6I")  # data, data_end, data_meta, ingress_ifindex, rx queue, egress


@attrs.frozen
class Case:
    """Questions in turn, and the least share of the reflector's rate that is aimed at."""

    name: str
    question: Callable[[int], bytes]
    aim: float


def _arp(number: int) -> bytes:
    return Arp(tpa=vip4(number)).build()


def _solicitation(number: int) -> bytes:
    return Nd(target=vip6(number)).build()


CASES = (
    Case("ARP, 1 VIP asked for", lambda _: _arp(1), 0.95),
    Case("ARP, 5,000 VIPs asked for", lambda number: _arp(number % VIPS), 0.95),
    Case("NDP, 1 VIP asked for", lambda _: _solicitation(1), 0.80),
    Case("NDP, 5,000 VIPs asked for", lambda number: _solicitation(number % VIPS), 0.80),
)


@attrs.frozen
class Rig:
    """The responder's object at both ends of a cable."""

    responder: Responder
    ends: Pair
    far_link: int

    def load_questions(self, case: Case) -> None:
        """Hand the generator its templates."""
        for number in range(_TEMPLATES):
            frame = case.question(number).ljust(TEMPLATE_BYTES, b"\0")
            self.responder.update("templates", number, frame)

    def rate(self, program: str, frame: bytes) -> float:
        """Frames per second that come back from `program`."""
        loaded = self.responder.object
        loaded.bpf.link_update(self.far_link, loaded.program_fd(program))
        with standing_in(self.ends.near):
            before, start = self._sunk(), time.perf_counter()
            _generate(loaded, self.ends.near_ifindex, frame)
            elapsed_s = time.perf_counter() - start
            return (self._sunk() - before) / elapsed_s

    def _sunk(self) -> int:
        loaded = self.responder.object
        return loaded.per_cpu(loaded.map_fd("frames"), _SUNK, COUNTER)["frames"]


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process on its last core: sender, responder and sink then share it."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _generate(loaded: BpfObject, ifindex: int, frame: bytes) -> None:
    context = _XDP_MD.pack(0, len(frame), 0, ifindex, 0, 0)
    loaded.live_run(loaded.program_fd("bench_generate"), frame, context, _FRAMES, _LIVE_FRAMES)


def _measure(case: Case, rounds: int) -> list[Row]:
    frame = case.question(0)
    rodata = {_TEMPLATE_MASK_AT: _TEMPLATES - 1, _TEMPLATE_SIZE_AT: len(frame)}
    with Responder.loaded(SLOTS, 2 * VIPS, "bench.bpf.o", rodata) as ours, pair() as ends:
        fill(ours, VIPS, ends.far_ifindex)
        loaded = ours.object
        with standing_in(ends.near):
            near = loaded.bpf.link_create(
                loaded.program_fd("bench_sink"), ends.near_ifindex, ATTACH_XDP, XDP_FLAGS_DRV_MODE
            )
        with standing_in(ends.far):
            far = loaded.bpf.link_create(
                loaded.program_fd("bench_reflect"), ends.far_ifindex, ATTACH_XDP, XDP_FLAGS_DRV_MODE
            )
        rig = Rig(ours, ends, far)
        rig.load_questions(case)
        rates: dict[str, list[float]] = {"bench_reflect": [], "stentor_xdp": []}
        with os.fdopen(near), os.fdopen(far), on_one_core():
            for number in range(rounds):
                for program in sorted(rates, reverse=bool(number % 2)):
                    rates[program].append(rig.rate(program, frame))
    theirs, answers = rates["bench_reflect"], rates["stentor_xdp"]
    ratios = [mine / other for mine, other in zip(answers, theirs, strict=True)]
    return [
        _row(f"{case.name}: reflected", "M/s", [rate / 1e6 for rate in theirs]),
        _row(f"{case.name}: answered", "M/s", [rate / 1e6 for rate in answers]),
        _row(case.name, "ratio", ratios, case.aim),
    ]


def _row(name: str, unit: str, values: list[float], aim: float | None = None) -> Row:
    median = statistics.median(values)
    return Row(
        name=name,
        unit=unit,
        reference="" if aim is None else "MAC-swap reflector",
        minimum=min(values),
        median=median,
        maximum=max(values),
        aim="" if aim is None else f">= {aim:g}",
        met=None if aim is None else median >= aim,
    )


def run(rounds: int = _ROUNDS) -> list[Row]:
    """Measure every case; 10,000 VIPs are loaded throughout."""
    return [row for case in CASES for row in _measure(case, rounds)]


if __name__ == "__main__":
    report(run)
