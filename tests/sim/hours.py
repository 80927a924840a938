"""The long run on the command line: progress while it plays, and what it showed."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tests.sim.long import EPISODE_INCIDENTS, Episode, boot, play, play_all


def run(options: argparse.Namespace) -> bool:
    """Play `options.hours`, or one episode of them; returns whether all went well."""
    count = max(1, round(options.hours * 3600 / (EPISODE_INCIDENTS * options.every)))
    length_s = options.hours * 3600 / count
    begun = time.monotonic()
    world = boot(options.nodes, options.vips, options.seed)
    took = time.monotonic() - begun
    print(f"{options.nodes} nodes at rest after {world.engine.now:.1f} s, played in {took:.0f} s")
    if options.episode is not None:
        episode = play(
            world,
            options.episode,
            seed=options.seed,
            length_s=length_s,
            mean_s=options.every,
            trace=options.trace,
        )
        for line in episode.lines:
            print(line)
        return report([episode], options, 1, length_s)
    episodes = play_all(
        world,
        range(count),
        seed=options.seed,
        length_s=length_s,
        mean_s=options.every,
        processes=options.processes,
    )
    return report(episodes, options, count, length_s)


def report(
    episodes: Iterable[Episode], options: argparse.Namespace, count: int, length_s: float
) -> bool:
    """Tell of each episode as it ends, and the sums; returns whether nothing broke."""
    begun = time.monotonic()
    done: list[Episode] = []
    for episode in episodes:
        done.append(episode)
        _tell_broken(episode, options)
        broken = sum(bool(each.violations) for each in done)
        faults = sum(each.faults.total() for each in done)
        print(
            f"{len(done)} of {count} episodes, {len(done) * length_s / 3600:.1f} h, "
            f"{faults} faults, {broken} broken, {time.monotonic() - begun:.0f} s",
            file=sys.stderr,
        )
    _tell_sums(done, length_s, time.monotonic() - begun)
    return not any(episode.violations for episode in done)


def _tell_broken(episode: Episode, options: argparse.Namespace) -> None:
    if not episode.violations:
        return
    print(
        f"--nodes {options.nodes} --vips {options.vips} --hours {options.hours:g} "
        f"--every {options.every:g} --seed {options.seed} --episode {episode.number} broke:"
    )
    for violation in episode.violations[:10]:
        print(f"    {violation}")
    if len(episode.violations) > 10:
        print(f"    and {len(episode.violations) - 10} more")
    print("  schedule, by second of the episode:")
    for at, fault in episode.schedule[-40:]:
        print(f"    {at:7.1f} + {str(fault)[:100]}")


def _tell_sums(done: list[Episode], length_s: float, took: float) -> None:
    silences = sorted(silence for episode in done for silence in episode.silences)
    kinds: Counter[str] = Counter()
    for episode in done:
        kinds.update(episode.faults)
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    played = sum(episode.played for episode in done)
    print(f"hours          {len(done) * length_s / 3600:.1f} h in {took:.0f} s")
    print(f"played         {played:.0f} s of them, the rest was calm")
    print(f"events         {sum(episode.events for episode in done)}")
    print(f"faults         {kinds.total()}: {told}")
    print(f"takes          {sum(episode.takes for episode in done)}")
    print(f"planned moves  {sum(episode.moves for episode in done)}")
    print(f"false moves    {sum(episode.false_moves for episode in done)}")
    if silences:
        shares = ", ".join(
            f"{name} {silences[min(len(silences) - 1, int(share * len(silences)))]:.3f}"
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("worst", 1.0))
        )
        print(f"failovers      {len(silences)}, seconds without an answer: {shares}")
    worst = max((episode.worst_double for episode in done), default=0.0)
    print(f"worst double   {worst:.3f} s, holders connected and running")
    print(f"broken         {sum(bool(episode.violations) for episode in done)} episodes")
