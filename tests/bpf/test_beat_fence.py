"""The fence: what a claim does to a cell, frame by frame (OWNERSHIP.md 6)."""

import attrs
import pytest

from speaker.beats import BeatReply, BeatState, Keys, decode, encode_request
from speaker.dataplane.cells import Cells, futex_xor
from speaker.dataplane.layout import CellState, EventKind, ExitReason, Voice
from tests.bpf.beats import (
    CARRIERS,
    EPOCH,
    KEYS,
    OLD_KEYS,
    PEER_INSTANCE,
    REQUEST,
    Beat,
    Beat4,
    Beat6,
    payload_of,
    set_cell,
)
from tests.bpf.frames import CLIENT_LLADDR, Arp, Nd
from tests.bpf.harness import LO_IFINDEX, OWN_LLADDR, Program, Responder, Verdict

VIP4 = Arp().tpa
VIP6 = Nd().target
Carrier = type[Beat | Beat4 | Beat6]

pytestmark = pytest.mark.root


def claim(epoch: int, *, seq: int = 1, keys: Keys = KEYS) -> bytes:
    request = attrs.evolve(REQUEST, claimed=epoch, seq=seq, sent_ns=seq)
    return encode_request(request, keys)


def send(responder: Responder, program: Program, payload: bytes) -> BeatReply | None:
    """What comes back; None when nothing does."""
    outcome = responder.run(program, Beat(payload=payload).build())
    if outcome.verdict is not Verdict.TX:
        return None
    found = decode(payload_of(outcome.frame), KEYS)
    assert isinstance(found, BeatReply)
    return found


def verdict(responder: Responder, program: Program, question: bytes) -> Verdict:
    return responder.run(program, question).verdict


@pytest.fixture
def cells(responder: Responder) -> Cells:
    """The cells as a herald writes them."""
    memory = memoryview(responder.tables["cells"])
    return Cells(memory, futex_xor(memory))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("state", [CellState.OWNING, CellState.HOLDING])
@pytest.mark.parametrize("claimed", [EPOCH, EPOCH + 1, 2**32 - 1])
def test_a_claim_not_below_the_epoch_suspends_and_the_reply_says_so(
    responder: Responder, program: Program, carrier: Carrier, state: CellState, claimed: int
) -> None:
    set_cell(responder, state)

    outcome = responder.run(program, carrier(payload=claim(claimed)).build())

    found = decode(payload_of(outcome.frame), KEYS)
    assert isinstance(found, BeatReply)
    assert (found.state, found.epoch, found.remaining_ms) == (BeatState.SUSPENDED, EPOCH, 0)
    assert found.fenced_epoch == claimed
    assert responder.cell()["state"] == CellState.SUSPENDED
    assert responder.cell()["epoch"] == EPOCH
    assert responder.exits() == {ExitReason.BEAT_REFLECTED: 1}


@pytest.mark.parametrize("question", [Arp().build(), Nd().build()], ids=["arp", "nd"])
@pytest.mark.parametrize("voice", [Voice.HELD, Voice.WEAK, Voice.GIVEN])
def test_from_the_claim_on_nothing_is_answered(
    responder: Responder, program: Program, question: bytes, voice: Voice
) -> None:
    set_cell(responder)
    responder.put(VIP4, voice)
    responder.put(VIP6, voice)
    before = verdict(responder, program, question)

    send(responder, program, claim(EPOCH))

    assert before is Verdict.TX
    assert verdict(responder, program, question) is Verdict.DROP


@pytest.mark.parametrize("claimed", [0, EPOCH - 1])
def test_a_claim_below_the_epoch_is_answered_and_changes_nothing(
    responder: Responder, program: Program, claimed: int
) -> None:
    set_cell(responder)
    before = responder.cell()

    found = send(responder, program, claim(claimed))

    assert found is not None
    assert found.state is BeatState.OWNING
    assert responder.cell() == before
    assert responder.events() == []


def test_an_epoch_without_the_flag_is_no_claim(responder: Responder, program: Program) -> None:
    set_cell(responder)
    octets = bytearray(claim(EPOCH)[:-8])
    octets[5] = 0  # flags

    found = send(responder, program, bytes(octets) + KEYS.sign(bytes(octets)))

    assert found is not None
    assert found.state is BeatState.OWNING
    assert responder.cell()["fenced_epoch"] == 0


@pytest.mark.parametrize("state", [CellState.RELEASED, CellState.SUSPENDED, CellState.EXPIRED])
def test_a_cell_that_does_not_answer_stays_as_it_is(
    responder: Responder, program: Program, state: CellState
) -> None:
    set_cell(responder, state)
    before = responder.cell()

    found = send(responder, program, claim(EPOCH))

    assert found is not None
    assert found.state == BeatState(state)
    assert responder.cell() == before
    assert responder.events() == []


def test_a_claim_after_the_lease_finds_the_cell_expired(
    responder: Responder, program: Program
) -> None:
    set_cell(responder, deadline_ns=1)

    found = send(responder, program, claim(EPOCH))

    assert found is not None
    assert found.state is BeatState.EXPIRED
    assert responder.events() == []


def test_suspended_stays_so_whatever_beats_come_later(
    responder: Responder, program: Program
) -> None:
    set_cell(responder)
    send(responder, program, claim(EPOCH))

    plain = send(responder, program, encode_request(attrs.evolve(REQUEST, sent_ns=9), KEYS))
    lower = send(responder, program, claim(EPOCH - 1, seq=10))

    assert plain is not None
    assert lower is not None
    assert {plain.state, lower.state} == {BeatState.SUSPENDED}
    assert responder.cell()["state"] == CellState.SUSPENDED


def test_one_suspension_is_one_event_that_names_the_claim(
    responder: Responder, program: Program
) -> None:
    set_cell(responder, index=3, vlan=0)
    responder.tables["cells"][:128] = bytes(128)

    for seq in range(5):
        send(responder, program, claim(EPOCH + 1, seq=seq + 1))

    [event] = responder.events()
    assert event["kind"] == EventKind.FENCED
    assert (event["ifindex"], event["vlan"], event["cell"]) == (LO_IFINDEX, 0, 3)
    assert (event["lladdr"], event["family"]) == (CLIENT_LLADDR, 0)
    expected = (EPOCH + 1).to_bytes(4, "little") + bytes(4) + PEER_INSTANCE.to_bytes(8, "little")
    assert event["vip"] == expected


def test_a_replayed_claim_is_harmless_after_the_re_entry(
    responder: Responder, program: Program, cells: Cells
) -> None:
    """The epoch has moved on, even past claims that were above it."""
    set_cell(responder)
    recorded = [claim(EPOCH), claim(EPOCH + 20, seq=2)]
    for frame in recorded:
        send(responder, program, frame)
        suspended = responder.cell()["state"]
        cells.enter(0, now_ns=2**62, lease_ns=2**62, keep_epoch=False)
        assert suspended == CellState.SUSPENDED

    replayed = [send(responder, program, frame) for frame in recorded]

    assert [found.state for found in replayed if found] == [BeatState.OWNING] * 2
    assert responder.cell()["state"] == CellState.OWNING
    assert responder.cell()["epoch"] == EPOCH + 21


def test_without_a_raised_epoch_the_same_claim_suspends_again(
    responder: Responder, program: Program, cells: Cells
) -> None:
    """A node that re-enters alone keeps its epoch: whoever took its seats still can fence it."""
    set_cell(responder)
    send(responder, program, claim(EPOCH))
    cells.enter(0, now_ns=2**62, lease_ns=2**62, keep_epoch=True)
    entered = responder.cell()["state"]

    send(responder, program, claim(EPOCH))

    assert entered == CellState.OWNING
    assert responder.cell()["state"] == CellState.SUSPENDED


def test_a_lower_claim_does_not_hide_a_higher_one(
    responder: Responder, program: Program, cells: Cells
) -> None:
    set_cell(responder)
    send(responder, program, claim(EPOCH + 20))
    cells.enter(0, now_ns=2**62, lease_ns=2**62, keep_epoch=True)

    found = send(responder, program, claim(EPOCH, seq=2))

    assert found is not None
    assert (found.state, found.fenced_epoch) == (BeatState.SUSPENDED, EPOCH + 20)


@pytest.mark.parametrize("keys", [OLD_KEYS, Keys()], ids=["another_key", "no_key"])
def test_a_claim_that_is_not_signed_by_a_key_of_the_cell_does_nothing(
    responder: Responder, program: Program, keys: Keys
) -> None:
    set_cell(responder)
    before = responder.cell()

    assert send(responder, program, claim(EPOCH, keys=keys)) is None
    assert responder.cell() == before
    assert responder.exits() == {ExitReason.BEAT_REFUSED: 1}


def test_a_claim_hits_the_cell_of_its_own_vlan_only(responder: Responder, program: Program) -> None:
    set_cell(responder)
    set_cell(responder, index=1, vlan=5)

    responder.run(program, Beat(payload=claim(EPOCH), vlan=5).build())

    assert responder.cell(0)["state"] == CellState.OWNING
    assert responder.cell(1)["state"] == CellState.SUSPENDED


def test_a_claim_in_a_reply_is_not_obeyed(responder: Responder, program: Program) -> None:
    """Replies of another node carry our own claim back to us."""
    set_cell(responder, CellState.EXPIRED)
    reply = payload_of(responder.run(program, Beat(payload=claim(EPOCH)).build()).frame)
    set_cell(responder)

    outcome = responder.run(program, Beat(payload=reply).build())

    assert outcome.verdict is Verdict.PASS
    assert responder.cell()["state"] == CellState.OWNING


def test_our_own_claim_looped_back_is_not_obeyed(responder: Responder, program: Program) -> None:
    set_cell(responder)
    frame = Beat(payload=claim(EPOCH), source=OWN_LLADDR).build()

    outcome = responder.run(program, frame)

    assert (outcome.verdict, outcome.frame) == (Verdict.PASS, frame)
    assert responder.cell()["state"] == CellState.OWNING
    assert responder.exits() == {ExitReason.OWN_ECHO: 1}
