"""One run: a schedule of faults on a simulated cluster, and the judge's findings."""

import random

import attrs

from tests.sim.faults import Fault, draw_schedule, spread
from tests.sim.judge import AGREED_S, Judge, Violation
from tests.sim.shape import ONE, Shape
from tests.sim.world import World

BEGIN_S = 6.0  # after the start, before the first fault


@attrs.frozen
class Outcome:
    """What a run showed."""

    run: int
    schedule: tuple[Fault, ...]
    violations: tuple[Violation, ...]
    moves: int
    takes: int
    false_moves: int
    worst_silence: float
    worst_double: float
    seconds: float  # simulated
    lines: tuple[str, ...] = ()


def run_schedule(
    schedule: tuple[Fault, ...],
    *,
    nodes: int,
    vips: int = 4,
    seed: int = 0,
    run: int = 0,
    trace: bool = False,
    beats: bool = True,
    shape: Shape = ONE,
) -> Outcome:
    """Play a schedule; its times count from when the cluster has started."""
    world = World(nodes, vips, seed, trace=trace, beats=beats, shape=shape)
    judge = Judge(world)
    world.judge = judge
    judge.open()
    world.begin()
    judge.watched = schedule[0] if len(schedule) == 1 else None
    world.engine.at(BEGIN_S, judge.watch)
    for fault in schedule:
        world.engine.at(BEGIN_S + fault.at, world.befall, fault)
    world.engine.run(BEGIN_S + max((f.at for f in schedule), default=0.0))
    while world.engine.now < world.quiet_at + AGREED_S:
        world.engine.run(min(world.engine.now + 1.0, world.quiet_at + AGREED_S))
        judge.look_at_all()
    judge.close()
    return Outcome(
        run,
        schedule,
        tuple(judge.violations),
        judge.moves,
        judge.takes,
        judge.false_moves,
        judge.worst_silence,
        judge.worst_double,
        world.engine.now,
        tuple(world.lines),
    )


def run_number(
    seed: int,
    run: int,
    *,
    nodes: int,
    vips: int = 4,
    trace: bool = False,
    beats: bool = True,
    shape: Shape = ONE,
) -> Outcome:
    """Draw and play run number `run` of a seed; the same numbers give the same run."""
    rng = random.Random(f"{seed}/{run}")
    names = tuple(f"n{i + 1}" for i in range(nodes))
    schedule = draw_schedule(rng, names)
    if shape.management:
        schedule = spread(random.Random(f"{seed}/{run}/networks"), schedule, shape.networks)
    return run_schedule(
        schedule,
        nodes=nodes,
        vips=vips,
        seed=rng.getrandbits(64),
        run=run,
        trace=trace,
        beats=beats,
        shape=shape,
    )
