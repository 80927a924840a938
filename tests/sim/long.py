"""
Hours of a large cluster: episodes, each from the same settled cluster, with faults all along.

The cluster is switched on and comes to rest once. Each episode forks from there (so that it starts
with exactly that cluster, whatever its objects hold), draws its faults from its own number, and can
be played again alone. Within it one cluster lives on from fault to fault. While nothing is amiss
and all agree, nothing changes but the time: the clock of the simulated world stands still then, as
if all machines slept, and the calendar goes on to the next incident.
"""

import gc
import random
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

import attrs

from tests.sim.faults import Fault
from tests.sim.incidents import MEAN_S, draw_incident
from tests.sim.judge import AGREED_S, Violation
from tests.sim.large import LargeWorld
from tests.sim.large_judge import LargeJudge

EPISODE_INCIDENTS = 4  # on average, so that one is met by what another has left behind
BOOT_S = 90.0  # a cluster that is not at rest after so long never is
STEP_S = 0.5  # between two looks whether all is calm again
SCALE_NODES = 10  # up to so many nodes all agree as soon as in short runs
WHOLE_SHARE = 0.04  # of the incidents that concern every node


@attrs.frozen
class Episode:
    """What one of them showed."""

    number: int
    seconds: float  # of the calendar
    played: float  # of them, not slept through
    events: int
    faults: Counter[str]
    takes: int
    moves: int
    false_moves: int
    silences: tuple[float, ...]  # of every failover, as a client sees it
    worst_double: float
    violations: tuple[Violation, ...]
    schedule: tuple[tuple[float, Fault], ...] = ()  # calendar second, fault
    lines: tuple[str, ...] = ()


def agreed_s(nodes: int) -> float:
    """How long after the last disturbance all agree: memberlist's suspicion grows with the ring."""
    return AGREED_S if nodes <= SCALE_NODES else 3 * AGREED_S


def boot(nodes: int, vips: int, seed: int, *, leaves_out: bool = True) -> LargeWorld:
    """
    Switch a cluster on and wait until it is at rest.

    Raises AssertionError when it is not after BOOT_S.
    """
    world = LargeWorld(nodes, vips, seed, leaves_out=leaves_out)
    judge = world.judge = LargeJudge(world)
    judge.open()
    world.begin()
    while not (world.is_calm and judge.is_agreed()):
        world.engine.run(world.engine.now + STEP_S)
        judge.look_at_all()
        assert world.engine.now < BOOT_S, "the cluster does not come to rest"
    return world


def play(
    world: LargeWorld,
    number: int,
    *,
    seed: int,
    length_s: float,
    mean_s: float = MEAN_S,
    trace: bool = False,
) -> Episode:
    """Play one episode on a settled cluster, which is used up by it; an incident every `mean_s`."""
    rng = random.Random(f"{seed}/{number}")
    world.reseed(rng)
    world.trace = trace
    judge = world.judge
    assert isinstance(judge, LargeJudge)
    booted = judge.takes, judge.moves, judge.false_moves
    judge.silences.clear()
    begun, events, slept = world.engine.now, world.engine.asked, 0.0
    faults: Counter[str] = Counter()
    schedule = []
    share = WHOLE_SHARE
    while True:
        at = slept + world.engine.now - begun
        gap_s = rng.expovariate(1 / mean_s)
        if at + gap_s >= length_s:
            break
        slept += gap_s
        at += gap_s
        world.log("", f"-- {gap_s:.0f} s of calm, then at {at:.0f} s of the episode")
        incident = draw_incident(rng, world.names, tuple(sorted(world.holders())), share)
        for fault in incident:
            faults[fault.kind] += 1
            schedule.append((at, fault))
            world.engine.at(world.engine.now + fault.at, world.befall, fault)
        _settle(world, judge, world.engine.now + max(fault.at for fault in incident))
    return Episode(
        number,
        length_s,
        world.engine.now - begun,
        world.engine.asked - events,
        faults,
        judge.takes - booted[0],
        judge.moves - booted[1],
        judge.false_moves - booted[2],
        tuple(judge.silences.values()),
        judge.worst_double,
        tuple(judge.violations),
        tuple(schedule),
        tuple(world.lines),
    )


def _settle(world: LargeWorld, judge: LargeJudge, until: float) -> None:
    """Play on until all faults are over and all is calm, or ought to be."""
    within_s = agreed_s(len(world.names))
    world.engine.run(until)
    while not (world.is_calm and judge.is_agreed()):
        if world.engine.now >= world.quiet_at + within_s:
            judge.close()
            judge.restless(world.restless())
            return
        world.engine.run(world.engine.now + STEP_S)
        judge.look_at_all()


def play_all(
    world: LargeWorld,
    numbers: range,
    *,
    seed: int,
    length_s: float,
    mean_s: float = MEAN_S,
    processes: int,
) -> Iterator[Episode]:
    """
    Play episodes in forks of this process, so many at a time; yields them as they end.

    A fork that dies without a word raises EOFError.
    """
    context = get_context("fork")
    gc.collect()
    gc.freeze()  # or the collector of each fork looks through the whole cluster again and again
    running: dict[Connection, int] = {}
    waiting = iter(numbers)
    while True:
        while len(running) < processes and (number := next(waiting, None)) is not None:
            here, there = context.Pipe(duplex=False)
            child = context.Process(
                target=_play_and_tell,
                args=(there, world, number),
                kwargs={"seed": seed, "length_s": length_s, "mean_s": mean_s},
                daemon=True,
            )
            child.start()
            there.close()
            running[here] = number
        if not running:
            return
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            del running[ready]
            with ready:
                yield ready.recv()


def _play_and_tell(
    there: Connection,
    world: LargeWorld,
    number: int,
    *,
    seed: int,
    length_s: float,
    mean_s: float,
) -> None:
    with there:
        there.send(play(world, number, seed=seed, length_s=length_s, mean_s=mean_s))
