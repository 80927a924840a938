"""
`python -m tests.interop.mixed --faults 50 --seed N`: break a mixed ring again and again.

After each fault, and again after it is undone, all that live have to agree on the owner of every
VIP. The time that counts is from when the last Go node elects as it should, which is MetalLB's own
detection, and from when what was started is up, to when the heralds say so and the segment answers
so: at most LAG_S. Progress goes to stderr, the figures as JSON to stdout; the exit code is 1 when a
step took longer. Needs root.
"""

import argparse
import enum
import json
import random
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial

import attrs

from tests.eventually import DEADLINES, eventually
from tests.interop.go_node import find_program
from tests.interop.mixed_ring import NODES, MixedRing, mixed_ring

LAG_S = 1.0
GIVEN_UP_S = 60.0
POLL_S = 0.02


class Fault(enum.StrEnum):
    """What is done to a node, of either kind."""

    KILL = "kill"  # SIGKILL of all that runs there; the program answers until the lease ends
    STOP = "stop"  # SIGSTOP, likewise
    POWER = "power"  # both: SIGSTOP of all that runs there, and its switch port silent
    CUT = "cut"  # its switch port forwards nothing, the carrier stays
    LEAVE = "leave"  # it says goodbye
    RESTART = "restart"  # SIGKILL and start at once


@attrs.frozen
class Step:
    """How long after a fault or its end each of the three agreed, seconds; None: never."""

    fault: str
    node: str
    kind: str  # herald or go
    goes_s: float | None
    heralds_s: float | None
    segment_s: float | None
    up_s: float | None = None  # when the last of the live nodes could be asked at all

    @property
    def lag_s(self) -> float:
        """How much later than the Go nodes, and than the start of whatever had to start."""
        if None in {self.goes_s, self.heralds_s, self.segment_s, self.up_s}:
            return GIVEN_UP_S
        known = max(self.goes_s or 0.0, self.up_s or 0.0)
        return max(0.0, (self.heralds_s or 0.0) - known, (self.segment_s or 0.0) - known)


def until_agreed(ring: MixedRing, fault: str, node: str) -> Step:
    """Look until all three agree at one time, or GIVEN_UP_S are over."""
    began = time.monotonic()
    looks = (ring.goes_agree, ring.heralds_agree, ring.segment_agrees, ring.all_are_up)
    since: list[float | None] = [None] * len(looks)
    while None in since and time.monotonic() - began < GIVEN_UP_S:
        for place, agrees in enumerate(looks):
            if not agrees():
                since[place] = None
            elif since[place] is None:
                since[place] = time.monotonic() - began
        time.sleep(POLL_S)
    kind = "herald" if ring.is_herald(node) else "go"
    return Step(fault, node, kind, *since)


def break_it(ring: MixedRing, fault: Fault, node: str) -> None:
    """Begin a fault."""
    match fault:
        case Fault.KILL | Fault.RESTART:
            ring.signal(node, signal.SIGKILL)
        case Fault.STOP:
            ring.signal(node, signal.SIGSTOP)
        case Fault.POWER:
            ring.signal(node, signal.SIGSTOP)
            ring.lab.cut(ring.node(node), silently=True)
        case Fault.CUT:
            ring.lab.cut(ring.node(node), silently=True)
        case Fault.LEAVE:
            ring.leave(node)
    if fault is Fault.RESTART:
        ring.start(node)
    else:
        ring.live.discard(node)


def mend_it(ring: MixedRing, fault: Fault, node: str) -> None:
    """End a fault."""
    match fault:
        case Fault.STOP:
            ring.signal(node, signal.SIGCONT)
        case Fault.POWER:
            ring.lab.network.heal(ring.node(node))
            ring.signal(node, signal.SIGCONT)
        case Fault.CUT:
            ring.lab.network.heal(ring.node(node))
        case _:
            ring.signal(node, signal.SIGKILL)  # a Go node that has left goes on answering
            ring.start(node)
    ring.live.add(node)


def play(ring: MixedRing, faults: list[tuple[Fault, str]]) -> Iterator[Step]:
    """Carry the faults out one after the other; a step for each, and for each end of one."""
    yield until_agreed(ring, "start", "n1")
    for fault, node in faults:
        break_it(ring, fault, node)
        yield until_agreed(ring, fault, node)
        if fault is Fault.LEAVE:
            eventually(partial(ring.has_left, node), within_s=DEADLINES.process_down)
        if fault is not Fault.RESTART:
            mend_it(ring, fault, node)
            yield until_agreed(ring, f"{fault} over", node)


def draw(count: int, seed: int) -> list[tuple[Fault, str]]:
    """Random faults of random nodes."""
    rng = random.Random(seed)
    return [(rng.choice(list(Fault)), f"n{rng.randint(1, NODES)}") for _ in range(count)]


def summary(steps: list[Step], seed: int) -> dict[str, object]:
    """The figures."""
    lags = sorted(step.lag_s for step in steps)
    found = [step.goes_s for step in steps if step.goes_s is not None]
    return {
        "seed": seed,
        "steps": len(steps),
        "late": [attrs.asdict(step) for step in steps if step.lag_s > LAG_S],
        "lag_s": {"p50": round(statistics.median(lags), 3), "worst": round(lags[-1], 3)},
        "go_detection_s": {
            "p50": round(statistics.median(found), 3),
            "worst": round(max(found), 3),
        },
    }


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description="break a ring of heralds and Go nodes")
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    steps: list[Step] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of the lab's end
    with mixed_ring(find_program()) as ring:
        for step in play(ring, draw(options.faults, options.seed)):
            if step.fault != "start":
                steps.append(step)
            times = "go {} heralds {} segment {} up {}".format(
                *(None if s is None else round(s, 2) for s in attrs.astuple(step)[3:])
            )
            said = f"{step.fault} of {step.node} ({step.kind}): {times}"
            print(said, file=sys.stderr, flush=True)
    figures = summary(steps, options.seed)
    print(json.dumps(figures, indent=2))
    return 1 if figures["late"] else 0


if __name__ == "__main__":
    sys.exit(main())
