"""Beats that are reflected: what comes back, octet by octet, over each carrier."""

import time

import attrs
import pytest

from speaker.beats import (
    BeatReply,
    BeatRequest,
    BeatState,
    Keys,
    decode,
    encode_reply,
    encode_request,
)
from speaker.dataplane.layout import BeatFlag, CellState, ExitReason
from tests.bpf.beats import (
    CARRIERS,
    EPOCH,
    GENERATION,
    KEYS,
    OLD_KEYS,
    OWN_INSTANCE,
    REQUEST,
    Beat,
    Beat4,
    Beat6,
    payload_of,
    set_cell,
)
from tests.bpf.frames import CLIENT_LLADDR
from tests.bpf.harness import LO_IFINDEX, OWN_LLADDR, Program, Responder, Verdict

SECOND_NS = 1_000_000_000
OLDEST_MS = 4_398_045  # what to_ms of bpf/include/beat.h gives for 2^42 ns and more

pytestmark = pytest.mark.root


def reply(asked: BeatRequest = REQUEST, vlan: int = 0) -> BeatReply:
    """What a cell of set_cell's defaults says."""
    return BeatReply(
        asked=asked,
        state=BeatState.OWNING,
        epoch=EPOCH,
        remaining_ms=OLDEST_MS,
        beat_age_ms=OLDEST_MS,
        ifindex=LO_IFINDEX,
        vlan=vlan,
        fenced_epoch=0,
        instance=OWN_INSTANCE,
        generation=GENERATION,
        lladdr=OWN_LLADDR,
    )


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


@pytest.mark.parametrize("vlan", [None, 0x2005])
def test_a_reflected_frame_is_the_request_turned_round_and_signed_anew(
    responder: Responder, program: Program, vlan: int | None
) -> None:
    known = 0 if vlan is None else 5
    set_cell(responder, vlan=known, last_beat_ns=1)

    outcome = responder.run(program, Beat(vlan=vlan).build())

    found = decode(payload_of(outcome.frame), KEYS)
    assert isinstance(found, BeatReply)
    said = encode_reply(attrs.evolve(reply(vlan=known), beat_age_ms=found.beat_age_ms), KEYS)
    expected = Beat(payload=said, dest=CLIENT_LLADDR, source=OWN_LLADDR, vlan=vlan).build()
    assert (outcome.verdict, outcome.frame) == (Verdict.TX, expected)
    assert responder.exits() == {ExitReason.BEAT_REFLECTED: 1}


@pytest.mark.parametrize("vlan", [None, 5])
@pytest.mark.parametrize("checksum", [None, 0, 0x1234])
def test_over_ipv4_addresses_and_ports_are_exchanged_and_the_checksum_is_right(
    responder: Responder, program: Program, vlan: int | None, checksum: int | None
) -> None:
    """Whatever the request's checksum was: senders leave it to their NIC."""
    set_cell(responder, vlan=vlan or 0)
    request = Beat4(vlan=vlan, checksum=checksum)

    outcome = responder.run(program, request.build())

    expected = attrs.evolve(
        request,
        payload=payload_of(outcome.frame),
        dest=request.source,
        source=request.dest,
        src=request.dst,
        dst=request.src,
        ports=request.ports[::-1],
        checksum=None,
    )
    assert decode(payload_of(outcome.frame), KEYS) == attrs.evolve(
        reply(vlan=vlan or 0), beat_age_ms=beat_age(outcome.frame)
    )
    assert (outcome.verdict, outcome.frame) == (Verdict.TX, expected.build())
    assert responder.exits() == {ExitReason.BEAT_REFLECTED: 1}


@pytest.mark.parametrize("vlan", [None, 5])
def test_over_ipv6_addresses_and_ports_are_exchanged_and_the_checksum_is_right(
    responder: Responder, program: Program, vlan: int | None
) -> None:
    set_cell(responder, vlan=vlan or 0)
    request = Beat6(vlan=vlan)

    outcome = responder.run(program, request.build())

    expected = attrs.evolve(
        request,
        payload=payload_of(outcome.frame),
        dest=request.source,
        source=request.dest,
        src=request.dst,
        dst=request.src,
        ports=request.ports[::-1],
    )
    assert decode(payload_of(outcome.frame), KEYS) == attrs.evolve(
        reply(vlan=vlan or 0), beat_age_ms=beat_age(outcome.frame)
    )
    assert (outcome.verdict, outcome.frame) == (Verdict.TX, expected.build())


def beat_age(frame: bytes) -> int:
    found = decode(payload_of(frame), KEYS)
    assert isinstance(found, BeatReply)
    return found.beat_age_ms


def asked(responder: Responder, program: Program, keys: Keys = KEYS) -> BeatReply:
    outcome = responder.run(program, Beat(payload=encode_request(REQUEST, keys)).build())
    found = decode(payload_of(outcome.frame), keys)
    assert outcome.verdict is Verdict.TX
    assert isinstance(found, BeatReply)
    return found


@pytest.mark.parametrize("state", CellState)
def test_a_reply_says_the_state_whatever_it_is(
    responder: Responder, program: Program, state: CellState
) -> None:
    set_cell(responder, state)

    found = asked(responder, program)

    assert found.state == BeatState(state)
    assert (found.remaining_ms > 0) == (state in {CellState.OWNING, CellState.HOLDING})


def test_a_reply_says_how_much_of_the_lease_is_left(responder: Responder, program: Program) -> None:
    before_ns = now_ns()
    set_cell(responder, deadline_ns=before_ns + 3 * SECOND_NS, last_beat_ns=before_ns)

    found = asked(responder, program)

    elapsed_ms = (now_ns() - before_ns) // 1_000_000 + 1
    coarse_ms = 20  # a tick of the slowest clock, and roundings
    assert 3_000 - elapsed_ms - coarse_ms <= found.remaining_ms <= 3_000 + coarse_ms
    assert found.beat_age_ms <= elapsed_ms


def test_a_cell_whose_lease_has_run_out_is_expired_by_the_beat(
    responder: Responder, program: Program
) -> None:
    set_cell(responder, deadline_ns=now_ns() - SECOND_NS)

    found = asked(responder, program)

    assert (found.state, found.remaining_ms) == (BeatState.EXPIRED, 0)
    assert responder.cell()["state"] == CellState.EXPIRED


def test_the_last_number_of_a_race_is_shown_as_expired(
    responder: Responder, program: Program
) -> None:
    """hold and adopt leave 7 for an instant (speaker/dataplane/cells.py)."""
    set_cell(responder)
    responder.tables["cells"][16] = 7

    assert asked(responder, program).state is BeatState.EXPIRED


@pytest.mark.parametrize("index", [0, 1, 40, 63])
def test_the_cell_is_found_wherever_it_is(
    responder: Responder, program: Program, index: int
) -> None:
    set_cell(responder, vlan=9)
    set_cell(responder, CellState.HOLDING, index=index)

    assert asked(responder, program).state is BeatState.HOLDING


@pytest.mark.parametrize(
    "slots", [Keys(KEYS.primary, OLD_KEYS.primary), Keys(OLD_KEYS.primary, KEYS.primary)]
)
@pytest.mark.parametrize("signer", [KEYS, OLD_KEYS])
def test_either_key_verifies_and_the_same_key_signs(
    responder: Responder, program: Program, slots: Keys, signer: Keys
) -> None:
    """While keys rotate every node understands the answer to what it has asked."""
    set_cell(responder, keys=slots)

    assert asked(responder, program, signer).state is BeatState.OWNING


def test_without_a_gossip_key_the_zero_key_is_used_if_the_cell_says_so(
    responder: Responder, program: Program
) -> None:
    set_cell(responder, keys=Keys(), flags=BeatFlag.OPEN)

    assert asked(responder, program, Keys()).state is BeatState.OWNING


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_reply_fed_back_is_untouched(
    responder: Responder, program: Program, carrier: type[Beat | Beat4 | Beat6]
) -> None:
    """Two reflectors must never bounce a frame between them."""
    set_cell(responder)
    first = responder.run(program, carrier().build())
    returned = attrs.evolve(carrier(), payload=payload_of(first.frame)).build()

    second = responder.run(program, returned)

    assert first.verdict is Verdict.TX
    assert (second.verdict, second.frame) == (Verdict.PASS, returned)
    assert responder.exits() == {ExitReason.BEAT_REFLECTED: 1, ExitReason.BEAT_PASSED: 1}
