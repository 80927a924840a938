"""Statistics over trials."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stentor.lab.chaos_figures import (
    Http,
    Setting,
    Trial,
    TwoVoices,
    doubts,
    percentile,
    ratio_table,
    times_table,
    totals_table,
)

TIMES = st.lists(st.floats(0, 1e6), min_size=1)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (1, 1.0), (50, 50.0), (90, 90.0), (99, 99.0), (100, 100.0)]
)
def test_percentiles_of_a_hundred(percent: int, expected: float) -> None:
    assert expected == percentile([float(n) for n in range(100, 0, -1)], percent)


@given(TIMES, st.floats(0, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(
    values: list[float], percent: float
) -> None:
    value = percentile(values, percent)

    assert value in values
    assert sum(one <= value for one in values) >= len(values) * percent / 100 - 1e-6
    assert sum(one < value for one in values) <= len(values) * percent / 100


@given(TIMES, st.floats(0, 100), st.floats(0, 100))
def test_a_higher_percentile_is_never_less(values: list[float], one: float, two: float) -> None:
    low, high = sorted((one, two))

    assert percentile(values, low) <= percentile(values, high)


def trial(first_ms: float | None, **fields: object) -> Trial:
    """A host death with two VIPs, the second a tenth of a millisecond later."""
    words = {"192.0.2.1": first_ms, "2001:db8::1": None if first_ms is None else first_ms + 0.1}
    told = Trial(Setting(detect="memberlist"), "host-death", 0, "n1", first_words_ms=words)
    return msgspec.structs.replace(told, **fields)


def test_a_vip_never_taken_over_leaves_no_last_one() -> None:
    half = trial(5.0, first_words_ms={"192.0.2.1": 5.0, "2001:db8::1": None})

    assert (half.first_ms, half.last_ms) == (5.0, None)
    assert (trial(None).first_ms, trial(None).last_ms) == (None, None)
    assert (trial(5.0).first_ms, trial(5.0).last_ms) == (5.0, 5.1)


def test_frames_in_spans_that_the_rules_allow_are_told_from_the_others() -> None:
    spans = tuple(
        TwoVoices("192.0.2.1", 1.0, length_ms, frames, (), healing=False, allowed_ms=50.0)
        for length_ms, frames in ((50.0, 3), (50.1, 7))
    )

    told = trial(1.0, two_voices=spans)

    assert (told.broke_one_voice, told.broke_beyond) == (10, 7)


def test_times_are_spread_per_fault_and_measure() -> None:
    rows = times_table([trial(10.0), trial(30.0), trial(None), trial(20.0)])

    assert rows[1][:7] == ("memberlist", "host-death", "first frame", "3", "10.0", "20.0", "30.0")
    assert rows[1][-1] == "30.0"
    assert {len(rows[0])} == {len(row) for row in rows}


def test_counts_are_summed_per_fault() -> None:
    http = (Http("192.0.2.1", 50, 3, 40.0),)
    rows = totals_table(
        [
            trial(1.0, http=http, asked=100, unanswered=4, strayed=("192.0.2.9",)),
            trial(None, http=http, asked=100, healing_http_lost=1, healing_unanswered=2),
        ]
    )

    named = dict(zip(rows[0], rows[1], strict=True))
    assert named["TRIALS"] == "2"
    assert named["NOT TAKEN"] == "2"
    assert named["REQUESTS LOST"] == "6/100"
    assert named["QUESTIONS UNANSWERED"] == "4/200"
    assert named["HEALING"] == "1+2"
    assert named["STRAYED"] == "1"


def test_a_trial_that_failed_is_shown_and_not_measured() -> None:
    """Else a lab that never settled would look like a fast one."""
    trials = [trial(1.0), trial(None, problem="not settled")]

    named = dict(zip(*totals_table(trials), strict=True))

    assert (named["TRIALS"], named["FAILED"], named["NOT TAKEN"]) == ("1", "1", "0")
    assert times_table(trials)[1][3] == "1"


def test_only_failed_trials_still_make_a_table() -> None:
    trials = [trial(None, problem="not settled")]

    assert len(times_table(trials)) == 1
    assert totals_table(trials)[1][2:4] == ("0", "1")


def test_the_ratio_is_that_of_the_medians() -> None:
    slow = [trial(ms) for ms in (4000.0, 6000.0, 9000.0)]
    fast = [msgspec.structs.replace(trial(ms), setting=Setting()) for ms in (60.0, 90.0, 50.0)]

    [_, row] = ratio_table([*slow, *fast], "memberlist", "beats")

    assert row == ("host-death", "100.0", "-")


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    [_, row] = ratio_table(
        [trial(4000.0), msgspec.structs.replace(trial(None), setting=Setting())],
        "memberlist",
        "beats",
    )

    assert row == ("host-death", "-", "-")


def test_frames_that_the_listener_missed_are_admitted() -> None:
    exact = [trial(1.0, uncertain_ms=0.2)]

    assert len(doubts(exact)) == 1
    assert "0.2 ms" in doubts(exact)[0]
    assert "lost 7 frames in 1 trials" in doubts([*exact, trial(1.0, listener_lost=7)])[1]
