"""Any beats, whole and damaged: only a valid tag changes state, and replies are as expected."""

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speaker.beats import (
    BeatReply,
    BeatRequest,
    BeatState,
    DecodeError,
    Keys,
    decode,
    encode_request,
)
from speaker.dataplane.layout import CellState
from tests.bpf.beats import (
    CARRIERS,
    GENERATION,
    KEYS,
    OLD_KEYS,
    OWN_INSTANCE,
    Beat,
    Beat4,
    Beat6,
    payload_of,
    set_cell,
)
from tests.bpf.frames import CLIENT_LLADDR
from tests.bpf.harness import LO_IFINDEX, OWN_LLADDR, Outcome, Program, Responder, Verdict

SLOTS = Keys(KEYS.primary, OLD_KEYS.primary)
SHORTEST = 54  # a test run of tc refuses frames shorter than Ethernet and IPv6 headers
FUZZED = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
epochs = st.integers(0, 12) | u32
requests = st.builds(
    BeatRequest,
    sender=u64,
    target=u64,
    seq=u32,
    sent_ns=u64,
    has_witness=st.booleans(),
    claimed=st.none() | epochs,
)
signers = st.sampled_from([KEYS, OLD_KEYS])
carriers = st.sampled_from(CARRIERS)
programs = st.sampled_from(list(Program))

pytestmark = pytest.mark.root


def notes(responder: Responder) -> tuple[bytes, bytes]:
    return responder.tables["cells"][:], responder.tables["heard_beats"][:]


@FUZZED
@given(
    program=programs,
    carrier=carriers,
    request=requests,
    signer=signers,
    state=st.sampled_from(CellState),
    epoch=epochs,
)
def test_a_reflected_reply_is_what_the_cell_says(
    responder: Responder,
    *,
    program: Program,
    carrier: type[Beat | Beat4 | Beat6],
    request: BeatRequest,
    signer: Keys,
    state: CellState,
    epoch: int,
) -> None:
    set_cell(responder, state, epoch=epoch, keys=SLOTS)
    frame = carrier(encode_request(request, signer)).build()
    is_leased = state in {CellState.OWNING, CellState.HOLDING}
    is_fenced = is_leased and request.claimed is not None and request.claimed >= epoch

    outcome = responder.run(program, frame)

    found = decode(payload_of(outcome.frame), signer)
    assert isinstance(found, BeatReply)
    assert outcome.verdict is Verdict.TX
    assert len(outcome.frame) == len(frame)
    assert (outcome.frame[:6], outcome.frame[6:12]) == (CLIENT_LLADDR, OWN_LLADDR)
    assert found == BeatReply(
        asked=request,
        state=BeatState.SUSPENDED if is_fenced else BeatState(state),
        epoch=epoch,
        remaining_ms=4_398_045 if is_leased and not is_fenced else 0,
        beat_age_ms=found.beat_age_ms,
        ifindex=LO_IFINDEX,
        vlan=0,
        fenced_epoch=(request.claimed or 0) if is_fenced else 0,
        instance=OWN_INSTANCE,
        generation=GENERATION,
        lladdr=OWN_LLADDR,
    )
    assert responder.cell()["state"] == found.state


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound beat in its frame with some octets overwritten, or a part of it."""
    carrier: Any = draw(carriers)
    payload = encode_request(draw(requests), draw(signers))
    vlan = draw(st.none() | st.sampled_from([0, 0x2000, 5]))
    frame = bytearray(carrier(payload, vlan=vlan).build())
    changes = st.tuples(st.integers(0, len(frame) - 1), st.integers(0, 255))
    for at, octet in draw(st.lists(changes, max_size=3)):
        frame[at] = octet
    if draw(st.booleans()):
        del frame[draw(st.integers(SHORTEST, len(frame))) :]
    return bytes(frame + draw(st.binary(max_size=8)))


def is_sound(payload: bytes) -> bool:
    try:
        return isinstance(decode(payload, SLOTS), BeatRequest)
    except DecodeError:
        return False


@FUZZED
@given(program=programs, frame=damaged() | st.binary(min_size=SHORTEST, max_size=200))
def test_no_frame_without_a_valid_tag_changes_anything(
    responder: Responder, program: Program, frame: bytes
) -> None:
    set_cell(responder, epoch=0, keys=SLOTS)
    set_cell(responder, epoch=0, keys=SLOTS, index=1, vlan=5)
    responder.events()
    before = notes(responder)

    outcome = responder.run(program, frame)

    if outcome.verdict is Verdict.TX:
        assert is_sound(payload_of(frame))
        assert frame[:6] == OWN_LLADDR != frame[6:12]
        assert len(outcome.frame) == len(frame)
    else:
        assert outcome == attrs.evolve(
            Outcome(Verdict.PASS, frame, 0), duration_ns=outcome.duration_ns
        )
        assert notes(responder) == before
        assert responder.events() == []
