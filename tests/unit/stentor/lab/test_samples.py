"""What is made of the client's questions."""

from pathlib import Path

import pytest

from stentor.lab.probe import Sample
from stentor.lab.samples import first_answer, read, tally

# One question a second; n1 answers until 3, nobody at 4 and 5, n2 from 6 on.
STORY = [Sample(float(at), by, 0.1) for at, by in enumerate(["n1"] * 4 + [""] * 2 + ["n2"] * 3)]


def test_a_change_of_holder_is_counted_with_its_gap() -> None:
    seen = tally(STORY, 2.5, 7.5)

    assert (seen.asked, seen.lost, seen.by) == (5, 2, ("n1", "n2"))
    assert seen.gap_s == 3.0


def test_a_gap_reaches_back_to_the_last_answer_before_the_span() -> None:
    assert tally(STORY, 3.5, 5.5).gap_s == 3.0


def test_silence_to_the_end_is_a_gap() -> None:
    assert tally(STORY[:6], 0.0, 60.0).gap_s == 57.0


def test_a_gap_does_not_begin_before_the_first_question() -> None:
    assert tally(STORY[:4], -60.0, 3.0).gap_s == 1.0


def test_no_question_at_all_is_neither_lost_nor_answered() -> None:
    seen = tally([], 10.0, 12.0)

    assert (seen.asked, seen.lost, seen.gap_s, seen.by) == (0, 0, 2.0, ())


@pytest.mark.parametrize(("since", "at"), [(0.0, 6.0), (6.5, 7.0)])
def test_the_first_answer_by_somebody_else(since: float, at: float) -> None:
    found = first_answer(STORY, since, not_by="n1")

    assert found is not None
    assert at == found.asked_at


def test_nobody_else_answered() -> None:
    assert first_answer(STORY[:6], 0.0, not_by="n1") is None


def test_a_line_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "arp.jsonl"
    path.write_bytes(b'{"asked_at":1.0,"by":"n1","took_s":0.1}\n{"asked_at":2.0,"by"')

    assert read(path) == [Sample(1.0, "n1", 0.1)]
    assert read(tmp_path / "none") == []
