"""Beats that are forged, cut off, replayed or sent back: nothing moves, nobody is silenced."""

import time

import attrs
import pytest

from speaker.beats import (
    BEAT_BYTES,
    BeatReply,
    BeatRequest,
    BeatState,
    Keys,
    decode,
    encode_reply,
    encode_request,
    keys_of,
)
from speaker.gossip.keyring import derive_metallb_key
from stentor.lab.lab import Lab
from stentor.lab.secret import FILE_NAME
from stentor.lab.topology import Host
from tests.eventually import DEADLINES, eventually
from tests.lab.seen import events, exits
from tests.lab.wire import Wire, beat_in, framed, is_from, is_to, lladdr, wire_of
from tests.lab.witness import Watched

pytestmark = pytest.mark.root
HIGHEST_EPOCH = (1 << 32) - 1
ROUNDS = 20


def keys(lab: Lab) -> Keys:
    """Those of the ring."""
    key = derive_metallb_key((lab.directory / FILE_NAME).read_bytes())
    assert key is not None
    return keys_of([key])


def beats_on(wire: Wire, *nodes: Host) -> list[bytes]:
    """Some requests and replies between nodes of a settled lab."""
    return [frame for node in nodes for frame in wire.capture(8, is_from(node))]


def requests(lab: Lab, frames: list[bytes]) -> list[bytes]:
    """Those that are requests."""
    known = keys(lab)
    return [frame for frame in frames if isinstance(decode(beat_in(frame), known), BeatRequest)]


def test_a_claim_that_another_key_signed_silences_nobody(keyed: Watched) -> None:
    lab, owners = keyed.lab, keyed.begin()
    source, target = lab.topology.nodes[:2]
    forged = BeatRequest(1, 0, 1, time.monotonic_ns(), has_witness=True, claimed=HIGHEST_EPOCH)
    refused = exits(lab, target, "beat_refused")

    with wire_of(lab) as wire:
        for stranger in (Keys(), Keys(bytes(range(16)))):
            for _ in range(ROUNDS):
                wire.send(target, framed(source, target, encode_request(forged, stranger)))
        eventually(
            lambda: exits(lab, target, "beat_refused") - refused,
            until=lambda more: more >= 2 * ROUNDS,
            within_s=DEADLINES.answered,
        )
        wire.capture(8, is_from(target))  # it goes on beating

    assert keyed.voices() == keyed.only(owners)


def test_a_beat_that_is_cut_off_or_changed_is_refused(keyed: Watched) -> None:
    """Each length one octet short, and each octet wrong in turn."""
    lab, owners = keyed.lab, keyed.begin()
    source, target = lab.topology.nodes[:2]
    with wire_of(lab) as wire:
        [whole, *_] = requests(lab, wire.capture(16, is_to(target)))
        beat = beat_in(whole)
        short = [framed(source, target, beat[:size]) for size in range(BEAT_BYTES)]
        bent = [
            framed(source, target, beat[:at] + bytes([beat[at] ^ 1]) + beat[at + 1 :])
            for at in range(BEAT_BYTES)
        ]
        refused = exits(lab, target, "beat_refused")

        for frame in (*short, *bent, framed(source, target, beat + b"\0")):
            wire.send(target, frame)

        eventually(
            lambda: exits(lab, target, "beat_refused") - refused,
            until=lambda more: more >= len(short) + len(bent),
            within_s=DEADLINES.answered,
        )
    assert keyed.voices() == keyed.only(owners)


def test_replayed_and_reflected_beats_move_nothing(keyed: Watched) -> None:
    """To whom they were meant for, to whom they came from, and to a third."""
    lab, owners = keyed.lab, keyed.begin()
    nodes = lab.topology.nodes
    with wire_of(lab) as wire:
        frames = beats_on(wire, *nodes)

        for _ in range(ROUNDS):
            for frame in frames:
                for node in nodes:
                    wire.send(node, frame)
                    wire.send(node, lladdr(node) + frame[6:])
        for node in nodes:
            wire.capture(8, is_from(node))

    assert keyed.voices() == keyed.only(owners)


def test_a_reply_is_never_answered(keyed: Watched) -> None:
    """Else two programs would play one frame to and fro for ever."""
    lab = keyed.lab
    source, target = lab.topology.nodes[:2]
    known = keys(lab)
    with wire_of(lab) as wire:
        [reply, *_] = [
            frame
            for frame in wire.capture(32, is_to(target))
            if isinstance(decode(beat_in(frame), known), BeatReply)
        ]
        passed, reflected = (exits(lab, target, f"beat_{how}") for how in ("passed", "reflected"))

        for _ in range(5000):
            wire.send(target, reply)

        eventually(
            lambda: exits(lab, target, "beat_passed") - passed,
            until=lambda more: more >= 5000,
            within_s=DEADLINES.answered,
        )
        assert exits(lab, target, "beat_reflected") - reflected < 5000
        wire.capture(8, is_from(source))


def test_a_fence_claim_replayed_after_the_failover_silences_nobody(keyed: Watched) -> None:
    lab, owners = keyed.lab, keyed.begin()
    victim = lab.topology.node(owners[str(lab.topology.vips[0][0])])
    known = keys(lab)

    def claims(frame: bytes) -> bool:
        beat = decode(beat_in(frame), known)
        return is_to(victim)(frame) and isinstance(beat, BeatRequest) and beat.claimed is not None

    with wire_of(lab) as wire:
        lab.cut(victim, silently=True)
        try:
            claiming = wire.capture(4, claims, within_s=DEADLINES.failed_over)
        finally:
            lab.heal(victim)
        assert keyed.begin() == owners  # fenced, entered again, and given back what it ranks for
        lost = len(events(lab, victim, "lease_lost"))
        assert lost

        for _ in range(ROUNDS):
            for frame in claiming:
                wire.send(victim, frame)
        wire.capture(8, is_from(victim))

    assert keyed.voices() == keyed.only(owners)
    assert len(events(lab, victim, "lease_lost")) == lost


def test_a_peer_that_lies_that_it_let_go_is_fenced_and_its_vips_keep_one_voice(
    keyed: Watched,
) -> None:
    """It has the key: others believe it, take its VIPs, and its program is silenced by theirs."""
    lab, owners = keyed.lab, keyed.begin()
    liar = lab.topology.node(owners[str(lab.topology.vips[0][0])])
    lost = len(events(lab, liar, "lease_lost"))
    with wire_of(lab) as wire:
        lie(lab, wire, liar, for_s=1.0)

    assert any(entry["suspended"] for entry in events(lab, liar, "lease_lost")[lost:])
    assert keyed.endless() == []
    assert keyed.begin() == owners


def lie(lab: Lab, wire: Wire, liar: Host, for_s: float) -> None:
    """Answer each beat to `liar` as if its lease were over, beside what its program says."""
    known = keys(lab)
    nodes = {lladdr(node): node for node in lab.topology.nodes}
    for frame in wire.beats(for_s):
        beat = decode(beat_in(frame), known)
        asker = nodes.get(frame[6:12])
        if asker is None or not isinstance(beat, BeatReply) or asker != liar:
            continue
        lying = attrs.evolve(beat, state=BeatState.EXPIRED, remaining_ms=0)
        wire.send(nodes[frame[:6]], framed(liar, nodes[frame[:6]], encode_reply(lying, known)))
