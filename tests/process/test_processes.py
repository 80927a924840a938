"""The processes of one speaker, killed one by one while a client asks for its VIPs."""


import pytest

from tests.eventually import DEADLINES, eventually
from tests.process.rig import VIP, VIP6, Rig

pytestmark = pytest.mark.root


def test_the_client_resolves_the_vips_by_xdp(rig: Rig) -> None:
    speaker = rig.start().holds(VIP, VIP6)

    for vip in (VIP, VIP6):
        assert rig.lladdr() == eventually(
            partial(rig.resolve, vip), within_s=DEADLINES.answered
        )
    answers = {each.vip: each.answers for each in speaker.counters().vips}
    assert answers[VIP] >= 1
    assert answers[VIP6] >= 1
