"""Somebody on the client's end of the cable claims the VIPs that the node holds."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

import attrs
import pytest

from speaker.herald.announce import BACKOFF_S
from speaker.herald.frames import Vip, garp_reply, garp_request, unsolicited_na
from speaker.herald.hands import DEFEND_S
from stentor.lab.topology import INTERFACE
from tests.bpf.netns import standing_in
from tests.eventually import DEADLINES, eventually
from tests.process.rig import CLIENT6, VIP, VIP6, Rig, Speaker, objects

pytestmark = pytest.mark.root

STRANGER = bytes.fromhex("02005e0000fe")
FLOOD = 2000
FLOOD_PER_S = 1000
_ETH_P_ALL = 3  # linux/if_ether.h


@attrs.define
class Intruder:
    """Claims a VIP from the client's namespace, and hears what the node announces."""

    wire: socket.socket
    vip: Vip

    def claim(self, times: int = 1, per_s: int = 1) -> None:
        """A GARP request and reply, or an unsolicited NA, over and over."""
        if isinstance(self.vip, IPv4Address):
            frames = [form(self.vip, STRANGER) for form in (garp_request, garp_reply)]
        else:
            frames = [unsolicited_na(self.vip, STRANGER, IPv6Address(CLIENT6))]
        began = time.monotonic()
        for number in range(times):
            while time.monotonic() < began + number / per_s:
                os.sched_yield()
            for frame in frames:
                self.wire.send(frame)


@contextmanager
def intruder(rig: Rig, vip: str) -> Iterator[Intruder]:
    with standing_in(rig.client):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        wire.bind((INTERFACE, 0))
    with wire:
        yield Intruder(wire, IPv6Address(vip) if ":" in vip else IPv4Address(vip))


def announced(speaker: Speaker, vip: str) -> int:
    """Frames in which the node has announced the VIP by itself."""
    return next((each.announced for each in speaker.counters().vips if each.vip == vip), 0)


def quiet_speaker(rig: Rig, vip: str) -> tuple[Speaker, int]:
    """A speaker whose first rounds are over, and how many frames one round of the VIP has."""
    rig.write([_unrefreshed(item) for item in objects([VIP, VIP6])])
    speaker = rig.start().holds(VIP, VIP6)
    frames = 1 if ":" in vip else 2
    first = frames * len(BACKOFF_S)
    eventually(lambda: announced(speaker, vip) == first, within_s=DEADLINES.seat_taken)
    return speaker, frames


def _unrefreshed(item: dict[str, object]) -> dict[str, object]:
    """Nothing but what a test provokes is announced later."""
    if item["kind"] == "Service":
        item["metadata"]["annotations"] = {"stentor.io/refresh-seconds": "0"}  # type: ignore[index]  # a manifest
    return item


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_a_claim_is_told_with_both_lladdrs_and_answered_by_one_announcement(
    rig: Rig, vip: str
) -> None:
    speaker, frames = quiet_speaker(rig, vip)
    before = announced(speaker, vip)

    with intruder(rig, vip) as stranger:
        stranger.claim()

    eventually(lambda: announced(speaker, vip) == before + frames, within_s=DEADLINES.answered)
    [told] = eventually(lambda: speaker.events("vip_conflicted"), within_s=DEADLINES.answered)
    assert (told["vip"], told["lladdr"], told["ours"]) == (vip, STRANGER.hex(":"), rig.lladdr())
    assert speaker.counters().herald["vip_conflicts"] == 1
    assert rig.lladdr() == rig.resolve(vip)


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_a_flood_of_claims_changes_no_answer_and_makes_no_flood_of_ours(rig: Rig, vip: str) -> None:
    speaker, frames = quiet_speaker(rig, vip)
    before, began = announced(speaker, vip), time.monotonic()

    with intruder(rig, vip) as stranger:
        stranger.claim(FLOOD, FLOOD_PER_S)
        assert rig.lladdr() == rig.resolve(vip)

    rounds = eventually(
        lambda: (announced(speaker, vip) - before) // frames, within_s=DEADLINES.answered
    )
    assert rounds <= 1 + (time.monotonic() - began) // DEFEND_S
    assert speaker.held() == {VIP, VIP6}
    assert rig.lladdr() == rig.resolve(vip)
    exits = speaker.counters().exits
    assert exits["conflict"] >= FLOOD
