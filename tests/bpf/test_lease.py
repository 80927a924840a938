"""What each cell state lets each slot say (OWNERSHIP: lease, stop), from both programs."""

import time

import pytest

from speaker.dataplane.layout import SILENCE_NS, CellState, ExitReason, Voice
from tests.bpf.frames import Arp, Nd
from tests.bpf.harness import FOREVER_NS, Program, Responder, Verdict

VIP4 = Arp().tpa
VIP6 = Nd().target
SPOKEN = (Voice.HELD, Voice.GIVEN, Voice.WEAK)  # questions for these are ours to answer
LEFT_ALONE = (Voice.PASS, Voice.COUNT)
QUESTIONS = {"arp": (VIP4, Arp().build()), "nd": (VIP6, Nd().build())}
EXITS = {
    ("arp", Verdict.TX): ExitReason.ARP_ANSWERED,
    ("nd", Verdict.TX): ExitReason.ND_ANSWERED,
    ("arp", Verdict.PASS): ExitReason.ARP_PASSED,
    ("nd", Verdict.PASS): ExitReason.ND_PASSED,
}
SECOND_NS = 1_000_000_000


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def ask(responder: Responder, program: Program, question: str, voice: Voice) -> Verdict:
    vip, frame = QUESTIONS[question]
    responder.put(vip, voice)
    outcome = responder.run(program, frame)
    if outcome.verdict is not Verdict.TX:
        assert outcome.frame == frame
    return outcome.verdict


pytestmark = [pytest.mark.root, pytest.mark.parametrize("question", QUESTIONS)]


@pytest.mark.parametrize("voice", SPOKEN)
@pytest.mark.parametrize("state", [CellState.OWNING, CellState.HOLDING])
def test_what_we_speak_for_is_answered_under_a_lease(
    responder: Responder, program: Program, question: str, voice: Voice, state: CellState
) -> None:
    responder.set_cell(state, now_ns() + 60 * SECOND_NS)

    assert ask(responder, program, question, voice) is Verdict.TX
    assert responder.exits() == {EXITS[question, Verdict.TX]: 1}
    assert responder.stats() == {"requests": 1, "answers": 1, "drops": 0, "packets": 0, "bytes": 0}


@pytest.mark.parametrize("voice", LEFT_ALONE)
@pytest.mark.parametrize("state", CellState)
def test_what_is_not_ours_to_judge_always_passes(
    responder: Responder, program: Program, question: str, voice: Voice, state: CellState
) -> None:
    responder.set_cell(state)

    assert ask(responder, program, question, voice) is Verdict.PASS
    assert responder.exits() == {EXITS[question, Verdict.PASS]: 1}
    assert responder.stats()["requests"] == 1


def test_what_is_held_elsewhere_is_dropped_by_an_owning_cell(
    responder: Responder, program: Program, question: str
) -> None:
    dropped = {"arp": ExitReason.ARP_DROPPED, "nd": ExitReason.ND_DROPPED}[question]

    assert ask(responder, program, question, Voice.ELSEWHERE) is Verdict.DROP
    assert responder.exits() == {dropped: 1}
    assert responder.stats()["drops"] == 1


@pytest.mark.parametrize(
    "state", [CellState.HOLDING, CellState.RELEASED, CellState.SUSPENDED, CellState.EXPIRED]
)
def test_what_is_held_elsewhere_passes_when_no_herald_owns(
    responder: Responder, program: Program, question: str, state: CellState
) -> None:
    responder.set_cell(state)

    assert ask(responder, program, question, Voice.ELSEWHERE) is Verdict.PASS


@pytest.mark.parametrize("state", [CellState.OWNING, CellState.HOLDING])
def test_what_is_held_elsewhere_passes_after_the_lease(
    responder: Responder, program: Program, question: str, state: CellState
) -> None:
    responder.set_cell(state, now_ns() - SECOND_NS)

    assert ask(responder, program, question, Voice.ELSEWHERE) is Verdict.PASS


@pytest.mark.parametrize("voice", SPOKEN)
@pytest.mark.parametrize("state", CellState)
def test_what_was_ours_is_dropped_for_60_s_after_the_lease(
    responder: Responder, program: Program, question: str, voice: Voice, state: CellState
) -> None:
    """A kernel that still has the VIP on lo must not answer beside the new holder."""
    silent = {"arp": ExitReason.ARP_SILENT, "nd": ExitReason.ND_SILENT}[question]
    responder.set_cell(state, now_ns() - SECOND_NS)

    assert ask(responder, program, question, voice) is Verdict.DROP
    assert responder.exits() == {silent: 1}
    assert responder.stats()["drops"] == 1


@pytest.mark.parametrize("voice", SPOKEN)
@pytest.mark.parametrize("state", CellState)
def test_what_was_ours_passes_60_s_after_the_lease(
    responder: Responder, program: Program, question: str, voice: Voice, state: CellState
) -> None:
    ended_ns = now_ns() - SILENCE_NS - SECOND_NS
    if ended_ns <= 0:
        pytest.skip("the machine is up for less than a minute")
    responder.set_cell(state, ended_ns)

    assert ask(responder, program, question, voice) is Verdict.PASS


@pytest.mark.parametrize("voice", SPOKEN)
def test_a_suspended_cell_answers_nothing_within_its_lease(
    responder: Responder, program: Program, question: str, voice: Voice
) -> None:
    responder.set_cell(CellState.SUSPENDED, now_ns() + 60 * SECOND_NS)

    assert ask(responder, program, question, voice) is Verdict.DROP


def test_a_cell_that_never_had_a_lease_passes(
    responder: Responder, program: Program, question: str
) -> None:
    responder.set_cell(CellState.RELEASED, 0)

    assert ask(responder, program, question, Voice.HELD) is Verdict.PASS


@pytest.mark.parametrize("state", [CellState.OWNING, CellState.HOLDING])
def test_a_cell_past_its_deadline_expires_for_good(
    responder: Responder, program: Program, question: str, state: CellState
) -> None:
    responder.set_cell(state, now_ns() - SECOND_NS)
    ask(responder, program, question, Voice.HELD)
    expired = responder.cell()
    responder.set_cell(CellState(int(expired["state"])), FOREVER_NS)

    assert expired["state"] == CellState.EXPIRED
    assert ask(responder, program, question, Voice.HELD) is not Verdict.TX


@pytest.mark.parametrize("state", [CellState.RELEASED, CellState.SUSPENDED])
def test_only_a_lease_that_ran_expires(
    responder: Responder, program: Program, question: str, state: CellState
) -> None:
    responder.set_cell(state, now_ns() - SECOND_NS)

    ask(responder, program, question, Voice.HELD)

    assert responder.cell()["state"] == state
