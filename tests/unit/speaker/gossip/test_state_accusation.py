"""Deaths that beats have found, told to a ring (Swim.accuse)."""

import pytest

from speaker.gossip.accusation import REFUTE_S
from speaker.gossip.config import LAN
from speaker.gossip.outputs import MemberCleared, MemberLeft, MemberSuspected
from tests.unit.speaker.gossip.ring import Ring

FLIGHT_S = 0.01  # there and, with a few hops of gossip, no further


def accuse(ring: Ring, accuser: str, accused: str) -> float:
    """Have a node accuse another one now; returns when."""
    swim = ring.nodes[accuser]
    ring.carry_out(swim, swim.accuse(accused, ring.now))
    return ring.now


@pytest.mark.parametrize("size", [3, 6, 40])
def test_a_dead_node_is_dead_to_all_a_tenth_of_a_second_later(size: int) -> None:
    ring = Ring.of(size)
    ring.down.add("n2")

    began = accuse(ring, "n1", "n2")
    ring.run_for(REFUTE_S + FLIGHT_S)

    lost = ring.when(MemberLeft, "n2")
    assert set(ring.nodes) - {"n2"} == set(lost)
    assert all(at - began > REFUTE_S * 0.99 for at in lost.values())


@pytest.mark.parametrize("size", [3, 6, 40])
def test_a_node_that_lives_refutes_and_nobody_loses_it(size: int) -> None:
    ring = Ring.of(size)

    accuse(ring, "n1", "n2")
    ring.run_for(30.0)

    assert ring.events(MemberLeft) == []
    assert ring.events(MemberSuspected, "n1") != []
    assert ring.events(MemberCleared, "n1") != []


def test_a_node_that_could_not_be_reached_is_back_with_the_next_push_pull() -> None:
    """It has not heard that it is dead; a herald that hears it joins it sooner (Rejoin)."""
    ring = Ring.of(4)
    ring.isolate("n2")
    accuse(ring, "n1", "n2")
    ring.run_for(1.0)
    assert set(ring.when(MemberLeft, "n2")) == {"n1", "n3", "n4"}

    ring.cuts.clear()
    ring.run_for(2 * LAN.push_pull_interval_s)

    assert {len(swim.up) for swim in ring.nodes.values()} == {4}


def test_who_is_unknown_gone_or_ourselves_is_not_accused() -> None:
    ring = Ring.of(3)
    ring.down.add("n2")
    accuse(ring, "n1", "n2")
    ring.run_for(1.0)
    sent = len(ring.sent)

    for name in ("n1", "n2", "n9"):
        assert ring.nodes["n1"].accuse(name, ring.now) == []
    assert len(ring.sent) == sent
