"""A mixed ring agrees on every owner; `python -m tests.interop.mixed` does it at length."""

import pytest

from tests.interop.go_node import find_program
from tests.interop.mixed import Fault, play
from tests.interop.mixed_ring import mixed_ring

pytestmark = pytest.mark.root


def test_heralds_and_go_nodes_agree_after_each_fault_of_either_kind() -> None:
    faults = [(Fault.KILL, "n1"), (Fault.STOP, "n5"), (Fault.LEAVE, "n3")]

    with mixed_ring(find_program()) as ring:
        steps = list(play(ring, faults))
        ring.live.discard("n5")  # to see each of the looks fail: n5 is there, and owns some
        looks = [ring.goes_agree(), ring.heralds_agree(), ring.segment_agrees()]

    assert [s for s in steps if None in {s.goes_s, s.heralds_s, s.segment_s}] == []
    assert len(steps) == 1 + 2 * len(faults)
    assert looks == [False, False, False]
