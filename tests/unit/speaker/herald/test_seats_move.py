"""Planned moves: ASK, GIVE, TAKE, and the reasons for which a holder keeps what it has."""

from math import inf

import pytest

from speaker.herald.actions import Announce, Quiet, Voice
from tests.unit.speaker.herald.cores import VIP, VIP6, Cores, lladdr_of, seat

PAIR = ("n1", "n2")


def join_late(failback: bool = True) -> Cores:
    """n2 holds the seat; n1, which ranks before it, has just started and met it."""
    cores = Cores(PAIR)
    plan = seat(VIP, "n1", "n2", failback=failback)
    cores.begin("n2", plan)
    cores.run(3.0)
    assert cores.holders() == ["n2"]
    cores.begin("n1", plan)
    cores.meet(*PAIR)
    return cores


def test_a_better_candidate_asks_and_is_given_the_seat() -> None:
    cores = join_late()

    cores.run(3.0)

    assert cores.holders() == ["n1"]
    assert cores.reason("n2") == "held_by_peer"
    assert Announce(VIP, "given") in cores.happened("n1", Announce)
    assert Quiet(VIP) in cores.happened("n2", Quiet)


def test_while_a_seat_is_given_clients_learn_one_lladdr() -> None:
    cores = join_late()
    seen = set()

    for _ in range(3000):
        cores.run(0.001)
        seen.add(frozenset(cores.answers().values()))

    assert seen == {frozenset({lladdr_of("n2")}), frozenset({lladdr_of("n1")})}


def test_failback_never_is_the_holders_refusal() -> None:
    cores = join_late(failback=False)

    cores.run(20.0)

    assert cores.holders() == ["n2"]
    assert "seats_given" not in cores.notes("n2")


def test_a_seat_is_not_given_within_a_second_of_its_last_move() -> None:
    cores = join_late()

    cores.run(6.0)
    [first] = cores.when("n1", VIP, Voice.HELD)
    for name in PAIR:
        cores.plan(name, seat(VIP, "n2", "n1"))
    cores.run(6.0)

    [given] = cores.when("n1", VIP, Voice.GIVEN)
    assert given - first > 1.0


def test_a_plan_that_flips_at_once_moves_the_seat_only_after_a_second() -> None:
    cores = join_late()
    cores.run(1.5)
    while not cores.when("n1", VIP, Voice.HELD):
        cores.run(0.01)

    for name in PAIR:
        cores.plan(name, seat(VIP, "n2", "n1"))
    cores.run(6.0)

    [taken], [given] = cores.when("n1", VIP, Voice.HELD), cores.when("n1", VIP, Voice.GIVEN)
    assert given - taken >= 1.0 - 1e-6


def test_a_node_whose_agent_is_silent_does_not_ask() -> None:
    cores = join_late()
    cores.cores["n1"].agent_heard(cores.now - 6.0)
    cores.agents.discard("n1")
    cores.cores["n1"]._world.agent_at = -inf

    cores.run(10.0)

    assert cores.holders() == ["n2"]


def test_a_holder_whose_agent_is_silent_gives_to_whoever_asks() -> None:
    """Its plan is old: it still thinks that it ranks first."""
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n2", "n1"))
    cores.agents.discard("n2")
    cores.run(5.5)

    cores.plan("n1", seat(VIP, "n1", "n2"))
    cores.run(3.0)

    assert cores.holders() == ["n1"]


def test_plans_that_differ_do_not_move_a_seat_back_and_forth() -> None:
    """Each node thinks that it is the best: the holder's own plan does not agree to give."""
    cores = Cores(PAIR)
    cores.begin("n1", seat(VIP, "n1", "n2"))
    cores.run(2.0)
    cores.begin("n2", seat(VIP, "n2", "n1"))
    cores.meet(*PAIR)

    cores.run(30.0)

    assert cores.holders() == ["n1"]
    assert "seats_given" not in cores.notes("n1")


def test_a_holder_that_its_plan_no_longer_lists_gives_the_seat_away() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2"))

    cores.plan("n1", seat(VIP, "n2"))
    cores.run(0.5)

    assert cores.holders() == ["n2"]


def test_a_seat_that_nobody_will_have_stays_until_plans_agree() -> None:
    """n1's plan lists only n2, n2's plan lists only n1."""
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2"))
    cores.plan("n2", seat(VIP, "n1"))

    cores.plan("n1", seat(VIP, "n2"))
    cores.run(3.0)

    assert list(cores.answers().values()) == [lladdr_of("n1")]
    cores.plan("n2", seat(VIP, "n2"))
    cores.run(6.0)
    assert cores.holders() == ["n2"]


def test_if_the_new_holder_dies_first_the_giver_takes_the_seat_back() -> None:
    cores = join_late()
    cores.is_lost = lambda source, target: source == "n1" and "n1" in cores.cores and gave()

    def gave() -> bool:
        return bool(cores.when("n2", VIP, Voice.GIVEN))

    cores.run(1.2)
    assert cores.answers()["n2"] == lladdr_of("n1")
    cores.die("n1", told=True)
    cores.run(0.1)

    assert cores.holders() == ["n2"]
    assert "seats_taken_back" in cores.notes("n2")


def test_a_give_that_is_lost_is_said_again() -> None:
    cores = join_late()
    lost: list[float] = []

    def is_lost(source: str, target: str) -> bool:
        if source == "n2" and cores.when("n2", VIP, Voice.GIVEN) and len(lost) < 3:
            lost.append(cores.now)
            return True
        return False

    cores.is_lost = is_lost

    cores.run(3.0)

    assert len(lost) == 3
    assert cores.holders() == ["n1"]


def test_a_leaving_node_hands_over_every_seat() -> None:
    cores = Cores(("n1", "n2", "n3"))
    cores.start(seat(VIP, "n1", "n2", "n3"), seat(VIP6, "n1", "n3", "n2"))

    cores.cores["n1"].leave(cores.now)
    cores._carry_out("n1")
    cores.run(0.2)

    assert cores.cores["n1"].is_empty_handed
    assert cores.holders(VIP) == ["n2"]
    assert cores.holders(VIP6) == ["n3"]
    assert cores.reason("n1") == "leaving"


def test_a_leaving_node_is_nobodys_candidate() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n2", "n1"))
    cores.cores["n1"].leave(cores.now)
    cores._carry_out("n1")

    cores.plan("n2", seat(VIP, "n1"))
    cores.run(3.0)

    assert "n1" not in cores.holders()


@pytest.mark.parametrize("names", [("n1",), PAIR])
def test_leaving_without_an_heir_still_ends(names: tuple[str, ...]) -> None:
    cores = Cores(names)
    cores.start(seat(VIP, "n1"))

    cores.cores["n1"].leave(cores.now)
    cores._carry_out("n1")
    cores.run(0.5)

    assert cores.cores["n1"].is_empty_handed
    assert cores.answers() == {}
