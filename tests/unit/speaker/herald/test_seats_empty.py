"""Seats without a holder: at a start, for a new VIP, with a stranger on the segment."""

import pytest

from speaker.herald.actions import Announce, Probe, Unlist, Voice
from speaker.herald.core import Link
from tests.unit.speaker.herald.cores import VIP, VIP6, Cores, address_of, lladdr_of, seat

PAIR = ("n1", "n2")


def test_a_lone_herald_takes_an_empty_seat_after_two_probes() -> None:
    cores = Cores(("n1",))
    cores.begin("n1", seat(VIP, "n1"))

    cores.run(2.0)

    assert cores.holders() == ["n1"]
    probed = [at for at, action in cores.done["n1"] if isinstance(action, Probe)]
    [taken] = cores.when("n1", VIP, Voice.HELD)
    assert len(probed) == 2
    assert probed[1] - probed[0] == pytest.approx(0.05)
    assert taken - probed[1] == pytest.approx(0.05)
    assert cores.happened("n1", Announce) == [Announce(VIP, "vacant")]


def test_nothing_is_taken_before_the_start_rules_are_done() -> None:
    cores = Cores(("n1",))
    cores.begin("n1", seat(VIP, "n1"))

    cores.run(0.49)

    assert cores.happened("n1", Probe) == []
    assert cores.reason("n1") == "starting"


def test_until_every_join_target_was_tried_nothing_is_taken() -> None:
    cores = Cores(("n1",))
    core = cores.begin("n1", seat(VIP, "n1"))
    core._is_joined = False  # as the process leaves it until then

    cores.run(5.0)

    assert cores.holders() == []
    core.join_settled(cores.now)
    cores.run(1.0)
    assert cores.holders() == ["n1"]


def test_of_several_that_start_at_once_the_best_candidate_takes() -> None:
    cores = Cores(("n1", "n2", "n3"))

    cores.start(seat(VIP, "n3", "n1", "n2"), seat(VIP6, "n2", "n3", "n1"), within_s=2.0)

    assert cores.holders(VIP) == ["n3"]
    assert cores.holders(VIP6) == ["n2"]
    assert cores.when("n1", VIP, Voice.HELD) == []  # it heard the TAKE before its turn


def test_a_foreign_answer_keeps_us_silent_and_is_asked_for_again() -> None:
    cores = Cores(("n1",))
    cores.foreign[VIP] = bytes((2, 0xAA, 0, 0, 0, 9))
    cores.begin("n1", seat(VIP, "n1"))

    cores.run(3.0)

    assert cores.holders() == []
    assert cores.reason("n1") == "held_elsewhere"
    assert cores.cores["n1"].view()[0].foreign == cores.foreign[VIP]
    asked = len(cores.happened("n1", Probe))
    cores.run(5.2)
    assert len(cores.happened("n1", Probe)) > asked
    del cores.foreign[VIP]
    cores.run(6.0)
    assert cores.holders() == ["n1"]


def test_a_seat_whose_holder_we_have_not_heard_of_is_found_by_probing() -> None:
    """Its facts are lost on the way, its data plane answers."""
    cores = Cores(PAIR)
    cores.begin("n2", seat(VIP, "n1", "n2"))
    cores.run(2.0)
    assert cores.holders() == ["n2"]
    cores.is_lost = lambda source, target: source == "n2"
    cores.begin("n1", seat(VIP, "n1", "n2"))

    cores.run(3.0)

    assert cores.holders() == ["n2"]
    assert cores.reason("n1") == "held_elsewhere"


def test_a_new_vip_is_taken_and_one_that_leaves_the_plan_is_released() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2"))

    for name in PAIR:
        cores.plan(name, seat(VIP6, "n2", "n1"))
    cores.run(1.0)

    assert cores.answers(VIP) == {}
    assert cores.holders(VIP6) == ["n2"]
    assert Unlist(VIP) in cores.happened("n1", Unlist)


@pytest.mark.parametrize(
    ("candidates", "reason"), [((), "not_candidate"), (("n2",), "not_candidate")]
)
def test_a_node_that_is_no_candidate_stays_silent(candidates: tuple[str, ...], reason: str) -> None:
    cores = Cores(("n1",))
    cores.begin("n1", seat(VIP, *candidates))

    cores.run(3.0)

    assert cores.holders() == []
    assert cores.reason("n1") == reason


def test_without_carrier_seats_are_released_and_taken_by_another_at_once() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2"))
    before = cores.now

    cores.cores["n1"].set_interfaces(
        [Link("eth0", lladdr_of("n1"), carrier=False)], [address_of("n1")], [], cores.now
    )
    cores._carry_out("n1")
    cores.run(0.1)

    assert cores.holders() == ["n2"]
    assert cores.reason("n1") == "no_interface"
    assert cores.when("n2", VIP, Voice.HELD)[-1] - before < 0.06
