"""From three missed beats to a verdict (OWNERSHIP.md 4), each rule and its near miss."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.beats.silence import (
    EDGES,
    LAST_BEAT_S,
    LONELY_S,
    VOTE_S,
    Acquit,
    Ask,
    Knock,
    LastBeat,
    LookForWitness,
    Pardon,
    Phase,
    Sentence,
    Silence,
    Step,
    Tell,
)


class Court:
    """Cases on virtual time."""

    def __init__(self, *, witness: bool = True) -> None:
        self.witness = witness
        self.silence = Silence(lambda node, now: self.witness)
        self.now = 50.0
        self.steps: list[tuple[float, Step]] = []

    def take(self, steps: list[Step]) -> None:
        self.steps += [(self.now, step) for step in steps]

    def missed(self) -> None:
        self.take(self.silence.missed("a", self.now))

    def run(self, for_s: float) -> None:
        end = self.now + for_s
        while (due := max(self.now, self.silence.next_wakeup())) <= end:
            self.now = due
            self.take(self.silence.tick(self.now))
        self.now = end

    def said(self, kind: type) -> list[tuple[float, Step]]:
        return [(at, step) for at, step in self.steps if isinstance(step, kind)]

    @property
    def sentences(self) -> list[Step]:
        return [step for _, step in self.said(Sentence)]

    @property
    def nonce(self) -> int:
        [(_, ask)] = self.said(Ask)
        assert isinstance(ask, Ask)
        return ask.nonce


def test_twenty_milliseconds_without_a_veto_are_a_verdict_told_three_times() -> None:
    court = Court()
    court.missed()
    assert [type(step) for _, step in court.steps] == [Ask, Knock]

    court.run(VOTE_S - 0.001)
    assert court.sentences == []
    court.run(1.0)

    assert court.sentences == [Sentence("a", weak=False)]
    assert [round(at - 50.0, 3) for at, _ in court.said(Tell)] == [0.02, 0.025, 0.03]
    assert len(court.said(Knock)) == 2


def test_a_veto_ends_the_case_and_counts_from_zero() -> None:
    court = Court()
    court.missed()
    court.run(0.019)

    court.take(court.silence.vetoed("a", court.nonce))
    court.run(1.0)

    assert court.sentences == []
    assert court.said(Pardon)
    assert court.silence.phase("a") is None


def test_a_veto_of_another_case_is_none() -> None:
    court = Court()
    court.missed()

    court.take(court.silence.vetoed("a", court.nonce + 1))
    court.take(court.silence.vetoed("b", court.nonce))
    court.run(1.0)

    assert court.sentences


def test_an_answer_of_the_segment_vetoes() -> None:
    court = Court()
    court.missed()

    court.take(court.silence.answered("a"))
    court.run(1.0)

    assert court.sentences == []
    assert court.said(Pardon)


def test_a_reflection_ends_the_case_without_a_word() -> None:
    court = Court()
    court.missed()
    before = len(court.steps)

    court.take(court.silence.reflected("a"))
    court.run(1.0)

    assert len(court.steps) == before


def test_nobody_is_accused_without_a_witness() -> None:
    court = Court(witness=False)
    court.missed()

    court.run(LONELY_S - 0.001)

    assert not court.said(Ask)
    assert court.sentences == []
    assert court.said(LookForWitness)


def test_a_lonely_node_sentences_weakly_and_tells_nobody() -> None:
    court = Court(witness=False)
    court.missed()

    court.run(3.0)

    assert court.sentences == [Sentence("a", weak=True)]
    assert not court.said(Tell)


def test_a_witness_that_is_found_in_time_makes_it_an_accusation() -> None:
    court = Court(witness=False)
    court.missed()
    court.run(0.1)

    court.witness = True
    court.run(1.0)

    assert court.sentences == [Sentence("a", weak=False)]


def test_a_witness_that_is_found_later_makes_a_weak_sentence_firm() -> None:
    court = Court(witness=False)
    court.missed()
    court.run(1.0)

    court.witness = True
    court.run(1.0)

    assert court.sentences == [Sentence("a", weak=True), Sentence("a", weak=False)]


def test_the_first_reflection_ends_a_weak_sentence() -> None:
    court = Court(witness=False)
    court.missed()
    court.run(1.0)

    court.take(court.silence.reflected("a"))

    assert court.steps[-1][1] == Acquit("a")


def test_a_verdict_of_another_is_believed_after_a_last_beat() -> None:
    court = Court()
    court.take(court.silence.verdict_heard("a", court.now))
    assert court.steps == [(50.0, LastBeat("a"))]

    court.run(LAST_BEAT_S)

    assert court.sentences == [Sentence("a", weak=False)]
    assert not court.said(Tell)


def test_a_reflected_last_beat_voids_the_verdict() -> None:
    court = Court()
    court.take(court.silence.verdict_heard("a", court.now))
    court.run(LAST_BEAT_S - 0.001)

    court.take(court.silence.reflected("a"))
    court.run(1.0)

    assert court.sentences == []


def test_copies_of_a_verdict_make_one_sentence() -> None:
    court = Court()
    for _ in range(3):
        court.take(court.silence.verdict_heard("a", court.now))
        court.run(0.005)
    court.run(0.1)
    court.take(court.silence.verdict_heard("a", court.now))
    court.run(0.1)

    assert court.sentences == [Sentence("a", weak=False)]


def test_a_lease_that_ended_is_a_verdict_at_once() -> None:
    court = Court(witness=False)

    court.take(court.silence.condemned("a", court.now))
    court.take(court.silence.condemned("a", court.now))

    assert court.sentences == [Sentence("a", weak=False)]


def test_a_dead_node_is_acquitted_by_its_reflection_alone() -> None:
    court = Court()
    court.missed()
    court.run(1.0)
    court.take(court.silence.vetoed("a", court.nonce))
    court.take(court.silence.answered("a"))
    assert court.silence.phase("a") is Phase.DEAD

    court.take(court.silence.reflected("a"))

    assert court.steps[-1][1] == Acquit("a")


@pytest.mark.parametrize("witness", [True, False])
def test_a_loop_that_was_stopped_reads_before_it_judges(*, witness: bool) -> None:
    court = Court(witness=witness)
    court.missed()
    court.now = court.silence.next_wakeup()
    court.take(court.silence.tick(court.now))
    court.now += 20.0
    court.take(court.silence.tick(court.now))
    assert court.sentences == []

    court.take(court.silence.reflected("a"))
    court.run(1.0)

    assert court.sentences == []


EVENTS = ("missed", "verdict", "condemned", "reflected", "veto", "answered", "witness", "alone")


def play(court: Court, event: str) -> None:
    """One event, then some time or none."""
    silence = court.silence
    asked = [step.nonce for _, step in court.steps if isinstance(step, Ask)]
    match event:
        case "missed":
            court.missed()
        case "verdict":
            court.take(silence.verdict_heard("a", court.now))
        case "condemned":
            court.take(silence.condemned("a", court.now))
        case "reflected":
            court.take(silence.reflected("a"))
        case "veto":
            court.take(silence.vetoed("a", asked[-1] if asked else 0))
        case "answered":
            court.take(silence.answered("a"))
        case _:
            court.witness = event == "witness"


@given(story=st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from((0.0, 0.005, 0.02, 0.3)))))
def test_sentence_and_acquittal_take_turns(story: list[tuple[str, float]]) -> None:
    court = Court(witness=False)

    for event, for_s in story:
        play(court, event)
        court.run(for_s)

    verdicts = [type(s) for _, s in court.steps if isinstance(s, Sentence | Acquit)]
    for before, after in pairwise(verdicts):
        assert not before is after is Acquit
    assert court.silence.is_sentenced("a") == (verdicts[-1:] == [Sentence])


def test_the_changes_of_phase_are_those_of_the_diagram() -> None:
    ways: dict[Phase | None, list[tuple[str, float]]] = {
        None: [("alone", 0.0)],
        Phase.ACCUSED: [("witness", 0.0), ("missed", 0.0)],
        Phase.LONELY: [("alone", 0.0), ("missed", 0.0)],
        Phase.DOUBTED: [("verdict", 0.0)],
        Phase.WEAK: [("alone", 0.0), ("missed", 0.3)],
        Phase.DEAD: [("condemned", 0.1)],
    }
    edges = set()
    for before, way in ways.items():
        for event in EVENTS:
            court = Court()
            for step, for_s in way:
                play(court, step)
                court.run(for_s)
            assert court.silence.phase("a") is before
            play(court, event)
            if before is None and event == "witness":
                play(court, "missed")
            for _ in range(60):
                after = court.silence.phase("a")
                if after is not before:
                    edges.add((before, after))
                    break
                court.run(0.005)

    assert edges == EDGES
