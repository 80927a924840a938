"""A herald that stands still for longer than its lease, alone on its segment."""

import os
import signal

import pytest

from tests.eventually import DEADLINES, eventually
from tests.process.rig import HERALD, VIP, Rig

pytestmark = pytest.mark.root


def test_a_herald_frozen_beyond_its_lease_is_silent_and_comes_back_by_itself(rig: Rig) -> None:
    """Nobody is there to hear it, so it waits a second and keeps its epoch (OWNERSHIP.md 6)."""
    speaker = rig.start().holds(VIP)
    herald = speaker.child(HERALD)

    os.kill(herald, signal.SIGSTOP)
    eventually(lambda: rig.resolve(VIP) == "", within_s=DEADLINES.failed_over, what="silence")
    os.kill(herald, signal.SIGCONT)

    [entered] = eventually(
        lambda: speaker.events("lease_entered_again"), within_s=DEADLINES.seat_taken
    )
    assert entered["epoch"] == "kept"
    assert len(speaker.events("lease_lost")) == 1
    speaker.holds(VIP)
    assert rig.lladdr() == eventually(lambda: rig.resolve(VIP), within_s=DEADLINES.answered)
    assert speaker.child(HERALD) == herald
