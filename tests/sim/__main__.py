"""
Play many random runs and say what they showed: python -m tests.sim --nodes 5 --runs 2000 --seed 1

Exit status 1 when an invariant broke; `--run K --trace` plays one run again, line by line. With
`--hours H` it plays hours of one large cluster instead: tests/sim/long.py; there `--episode K
--trace` plays one part again.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.sim import hours
from tests.sim.incidents import MEAN_S
from tests.sim.run import Outcome, run_number
from tests.sim.shape import APART, ONE, TWO

SHAPES = {"one": ONE, "apart": APART, "two": TWO}
HELP = "apart: gossip on a network of its own; two: and two VIP segments"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--vips", type=int, help="4, or 20 with --hours")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", type=int, help="only this one")
    parser.add_argument("--hours", type=float, help="of one cluster, instead of short runs")
    parser.add_argument("--every", type=float, default=MEAN_S, help="seconds between incidents")
    parser.add_argument("--episode", type=int, help="only this one of --hours")
    parser.add_argument("--trace", action="store_true", help="print every event of it")
    parser.add_argument("--failover", choices=("beats", "memberlist"), default="beats")
    parser.add_argument("--networks", choices=tuple(SHAPES), default="one", help=HELP)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args(arguments)


def play(options: argparse.Namespace) -> Iterator[Outcome]:
    """The outcomes in order of their numbers."""
    one = partial(
        run_number,
        options.seed,
        nodes=options.nodes,
        vips=options.vips,
        beats=options.failover == "beats",
        shape=SHAPES[options.networks],
    )
    if options.run is not None:
        yield one(options.run, trace=options.trace)
    elif options.processes == 1:
        yield from map(one, range(options.runs))
    else:
        with ProcessPoolExecutor(options.processes) as pool:
            yield from pool.map(one, range(options.runs), chunksize=8)


def report(outcomes: Iterable[Outcome], seed: int) -> bool:
    """Print violations as they come and the sums at the end; returns whether all went well."""
    begun = time.monotonic()
    runs = moves = takes = false_moves = broken = 0
    silence, double, simulated = (0.0, -1), (0.0, -1), 0.0
    for outcome in outcomes:
        runs += 1
        moves += outcome.moves
        takes += outcome.takes
        false_moves += outcome.false_moves
        simulated += outcome.seconds
        silence = max(silence, (outcome.worst_silence, outcome.run))
        double = max(double, (outcome.worst_double, outcome.run))
        for line in outcome.lines:
            print(line)
        if outcome.violations:
            broken += 1
            print(f"--seed {seed} --run {outcome.run} broke:")
            for violation in outcome.violations:
                print(f"    {violation}")
            print("  schedule:")
            for fault in outcome.schedule:
                print(f"    {fault}")
    took = time.monotonic() - begun
    print(f"runs           {runs}, {simulated / 3600:.1f} h simulated in {took:.0f} s")
    print(f"takes          {takes}")
    print(f"planned moves  {moves}")
    print(f"false moves    {false_moves}")
    print(f"worst silence  {silence[0]:.3f} s in run {silence[1]}")
    print(f"worst double   {double[0]:.3f} s in run {double[1]}, holders connected and running")
    print(f"broken         {broken}")
    return not broken


def main() -> int:
    """Play and report."""
    options = parse(sys.argv[1:])
    if options.vips is None:
        options.vips = 4 if options.hours is None else 20
    if options.hours is not None:
        return 0 if hours.run(options) else 1
    return 0 if report(play(options), options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
