"""The long run: what is left out changes nothing, and an episode can be played again alone."""

from functools import partial

import pytest

from tests.sim.faults import Fault, Kind
from tests.sim.large import LargeWorld
from tests.sim.large_judge import LargeJudge
from tests.sim.long import boot, play, play_all

NODES, VIPS, SEED = 8, 6, 5
PATIENCE_S = 30.0

pytestmark = pytest.mark.slow


def test_an_hour_of_twenty_nodes_breaks_no_invariant() -> None:
    world = boot(20, 20, 1)

    episodes = list(play_all(world, range(1), seed=1, length_s=3600.0, mean_s=1000.0, processes=1))

    [episode] = episodes
    assert episode.violations == (), "\n".join(map(str, (*episode.violations, *episode.schedule)))
    assert episode.faults.total() > 0
    assert episode.played < 3600.0


def test_an_episode_can_be_played_again_alone() -> None:
    part = partial(play_all, seed=2, length_s=4000.0, mean_s=1000.0, processes=1)
    [told] = part(boot(NODES, VIPS, SEED), range(3, 4))

    again = play(boot(NODES, VIPS, SEED), 3, seed=2, length_s=4000.0, mean_s=1000.0)

    assert told == again
    assert told.faults.total() > 0


def outcome(fault: Fault, *, leaves_out: bool) -> tuple[dict[str, str | None], float, int]:
    """Who holds what after a fault, the longest silence, and how many rules broke."""
    world = LargeWorld(NODES, VIPS, SEED, leaves_out=leaves_out)
    judge = world.judge = LargeJudge(world)
    judge.open()
    world.begin()
    world.engine.run(8.0)
    judge.silences.clear()
    world.engine.at(8.5, world.befall, fault)
    world.engine.run(8.5 + fault.duration + PATIENCE_S)
    judge.look_at_all()
    first = world.hosts[world.names[0]].herald
    assert first is not None
    holders = {str(vip): first.core.holder(vip) for vip in world.vips}
    return holders, max(judge.silences.values(), default=0.0), len(judge.violations)


@pytest.mark.parametrize(
    ("kind", "within_s"),
    [
        pytest.param(Kind.CRASH, 0.05, id="a_host_dies_and_boots"),
        pytest.param(Kind.CUT, 0.05, id="a_host_is_cut_off"),
        pytest.param(Kind.KILL, 0.05, id="a_herald_restarts_within_its_lease"),
        pytest.param(Kind.LEAVE, 0.05, id="a_herald_leaves"),
    ],
)
def test_leaving_out_what_tells_nothing_new_changes_nothing(kind: Kind, within_s: float) -> None:
    """Not to the microsecond, as chance takes another course: the phases of beats are others."""
    holder = boot(NODES, VIPS, SEED).holders()
    fault = Fault(0.0, kind, (min(holder),), 2.0)

    holders, silence, broken = outcome(fault, leaves_out=True)
    all_holders, all_silence, all_broken = outcome(fault, leaves_out=False)

    assert (holders, broken) == (all_holders, all_broken) == (holders, 0)
    assert silence == pytest.approx(all_silence, abs=within_s)


def test_calm_changes_nothing_but_the_time() -> None:
    """So the clock may stand still: the same cluster, rested for one minute more, acts alike."""
    world = boot(NODES, VIPS, SEED, leaves_out=True)
    judge = world.judge
    assert isinstance(judge, LargeJudge)
    before = {str(vip): sorted(world.holders()) for vip in world.vips}
    moved = judge.takes, judge.moves

    world.engine.run(world.engine.now + 60.0)

    assert world.is_calm
    assert judge.is_agreed()
    assert before == {str(vip): sorted(world.holders()) for vip in world.vips}
    assert moved == (judge.takes, judge.moves)
    assert judge.silences == {} or max(judge.silences.values()) == 0.0
