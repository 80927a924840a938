"""What the record of a segment proves."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.lab.chaos_frames import Heard, Kind
from stentor.lab.chaos_voices import (
    ANSWER_WITHIN_NS,
    SAME_QUARREL_NS,
    Questions,
    first_words,
    quarrels,
    questions,
    strayed,
)

VIP, OTHER = IPv4Address("192.0.2.108"), IPv6Address("2001:db8::108")
LLADDRS = {name: bytes([2, 0, 0x5E, 0, 0, ord(name)]) for name in "ABC"}
MS = 1_000_000


def said(script: str, *, every_ms: int = 20, start_ms: int = 0) -> list[Heard]:
    """One frame for VIP per letter, by A, B or C, at a steady pace; "." is silence."""
    return [
        Heard((start_ms + n * every_ms) * MS, Kind.ARP_REPLY, VIP, LLADDRS[name])
        for n, name in enumerate(script)
        if name != "."
    ]


@pytest.mark.parametrize(
    ("script", "frames", "length_ms"),
    [
        pytest.param("AAABAAA", 1, 20, id="one_stray_frame"),
        pytest.param("AAABABBB", 1, 40, id="one_late_frame_of_the_old_owner"),
        pytest.param("AABABABAB" + "A" * 5, 4, 140, id="two_at_once_and_the_old_one_stays"),
        pytest.param("AABBCC", 2, 40, id="two_takers_of_whom_one_yields"),
        pytest.param("AAB" + "." * 40 + "AA", 1, 820, id="silence_does_not_end_it_at_once"),
    ],
)
def test_two_voices_at_once(script: str, frames: int, length_ms: int) -> None:
    [quarrel] = quarrels(said(script))

    assert (frames, length_ms * MS) == (quarrel.frames, quarrel.length_ns)
    assert set(quarrel.voices) <= set(LLADDRS.values())
    assert len(quarrel.voices) > 1


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("AAAA", id="one_owner"),
        pytest.param("AAABBB", id="a_hand_over"),
        pytest.param("AA......BB", id="a_take_over"),
        pytest.param("AA" + "B" * 46 + "AA", id="there_and_back_0.92_s_later"),
        pytest.param("", id="nobody"),
    ],
)
def test_one_voice_at_a_time(script: str) -> None:
    assert quarrels(said(script)) == []


def test_two_spans_apart_are_two() -> None:
    calm = "A" * 60

    found = quarrels(said(f"AAB{calm}B{calm}"))

    assert [quarrel.frames for quarrel in found] == [1, 1]


def test_vips_do_not_disturb_one_another() -> None:
    of_other = [Heard(h.at_ns + MS, h.kind, OTHER, LLADDRS["B"]) for h in said("AAAA")]

    assert quarrels(said("AAAA") + of_other) == []


def test_the_order_in_which_frames_were_noted_does_not_matter() -> None:
    assert quarrels(said("AABABB")) == quarrels(said("AABABB")[::-1])


@given(
    before=st.lists(st.integers(0, 10**10), min_size=1),
    after=st.lists(st.integers(0, 10**10), min_size=1),
    move=st.integers(0, 10**9),
)
def test_a_single_move_is_never_held_against_anybody(
    before: list[int], after: list[int], move: int
) -> None:
    """However the frames of the old owner and then of the new one are spread."""
    last = max(before)
    old = [Heard(at, Kind.GARP, VIP, LLADDRS["A"]) for at in before]
    new = [Heard(last + 1 + move + at, Kind.GARP, VIP, LLADDRS["B"]) for at in after]

    assert quarrels(old + new) == []


@given(st.text("AB.", min_size=1, max_size=60), st.integers(1, 400))
def test_what_is_counted_was_said_within_the_span(script: str, every_ms: int) -> None:
    heard = said(script, every_ms=every_ms)

    for quarrel in quarrels(heard):
        within = [h for h in heard if quarrel.began_ns <= h.at_ns <= quarrel.ended_ns]
        assert 0 < quarrel.frames < len(within)
        assert quarrel.voices[0] == within[0].lladdr


@given(st.integers(3, 40), st.integers(1, 38))
def test_a_foreign_frame_among_those_of_the_owner_is_always_found(count: int, at: int) -> None:
    script = "A" * min(at, count - 2) + "B" + "A" * (count - 1 - min(at, count - 2))

    assert [quarrel.frames for quarrel in quarrels(said(script))] == [1]


def test_the_limit_of_a_quarrel_is_below_the_least_time_between_moves() -> None:
    """A holder keeps a VIP for 1 s at least (docs/explanation/ownership.md)."""
    assert SAME_QUARREL_NS < 1_000 * MS


def test_the_first_word_is_the_first_by_somebody_else_since_the_fault() -> None:
    heard = [*said("BA"), *said("AACB", start_ms=100)]

    firsts = first_words(heard, {VIP, OTHER}, since_ns=50 * MS, not_by=LLADDRS["A"])

    assert {VIP: (140 * MS, LLADDRS["C"])} == {
        vip: (one.at_ns, one.lladdr) for vip, one in firsts.items()
    }


def test_a_question_for_a_vip_is_nobodys_word() -> None:
    asked = [Heard(5, Kind.QUESTION, VIP, LLADDRS["B"], 200)]

    assert first_words(asked, {VIP}, since_ns=0, not_by=LLADDRS["A"]) == {}
    assert quarrels([*said("A"), *asked, *said("A", start_ms=10)]) == []


def test_a_vip_has_strayed_when_anybody_but_its_owner_spoke_for_it() -> None:
    heard = said("AAB")

    assert strayed(heard, {VIP: LLADDRS["A"], OTHER: LLADDRS["A"]}) == (VIP,)
    assert strayed(said("AA"), {VIP: LLADDRS["A"]}) == ()
    assert strayed(heard, {OTHER: LLADDRS["A"]}) == ()


def asked_and_answered(script: str, delay_ms: int = 1) -> list[Heard]:
    """A question every 20 ms; "+" is answered after `delay_ms`, "-" never."""
    heard = []
    for n, mark in enumerate(script):
        asker = 200 + n % 50
        heard.append(Heard(n * 20 * MS, Kind.QUESTION, VIP, LLADDRS["C"], asker))
        if mark == "+":
            at_ns = (n * 20 + delay_ms) * MS
            heard.append(Heard(at_ns, Kind.ARP_REPLY, VIP, LLADDRS["A"], asker))
    return heard


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("+++++", Questions(5, 0, 0), id="all_answered"),
        pytest.param("++--+", Questions(5, 2, 40 * MS), id="silence_ends_with_an_answer"),
        pytest.param("+-+--+", Questions(6, 3, 40 * MS), id="the_longest_silence_counts"),
        pytest.param("+----", Questions(5, 4, 979 * MS), id="silent_to_the_end"),
        pytest.param("", Questions(0, 0, 0), id="nothing_asked"),
    ],
)
def test_questions_and_silence(script: str, expected: Questions) -> None:
    heard = asked_and_answered(script)

    assert expected == questions(heard, since_ns=0, until_ns=999 * MS)


@pytest.mark.parametrize(("late_ns", "unanswered"), [(0, 0), (1, 1)])
def test_an_answer_counts_until_its_deadline(late_ns: int, unanswered: int) -> None:
    heard = [
        Heard(0, Kind.QUESTION, VIP, LLADDRS["C"], 200),
        Heard(ANSWER_WITHIN_NS + late_ns, Kind.ARP_REPLY, VIP, LLADDRS["A"], 200),
    ]

    assert unanswered == questions(heard, since_ns=0, until_ns=1).unanswered


@pytest.mark.parametrize(
    "answer",
    [
        Heard(1, Kind.ARP_REPLY, VIP, LLADDRS["A"], 201),
        Heard(1, Kind.ARP_REPLY, OTHER, LLADDRS["A"], 200),
        Heard(1, Kind.GARP, VIP, LLADDRS["A"]),
    ],
    ids=["to_another_asker", "for_another_vip", "an_announcement"],
)
def test_what_answers_something_else_is_no_answer(answer: Heard) -> None:
    heard = [Heard(0, Kind.QUESTION, VIP, LLADDRS["C"], 200), answer]

    assert questions(heard, since_ns=0, until_ns=1).unanswered == 1


@given(st.text("+-", max_size=100))
def test_every_question_is_counted_once(script: str) -> None:
    seen = questions(asked_and_answered(script), since_ns=0, until_ns=10**12)

    assert (len(script), script.count("-")) == (seen.asked, seen.unanswered)
    assert bool(seen.silence_ns) == ("-" in script)
