"""Whether figures are what they should be."""

import msgspec
import pytest

from stentor.lab.chaos_aims import aims_table
from stentor.lab.chaos_figures import Http, Setting, Trial
from stentor.lab.chaos_strike import Fault

DEATH = Trial(Setting(), "host-death", 0, "n1", first_words_ms={"192.0.2.1": 90.0})


def met(*trials: Trial) -> dict[str, tuple[str, str]]:
    """Name of each figure -> what was seen, and whether it was met."""
    return {row[3]: (row[6], row[7]) for row in aims_table(trials)[1:]}


def test_a_death_noticed_in_time_meets_the_aim() -> None:
    assert met(DEATH)["first frame P50, ms"] == ("90", "yes")


def test_one_late_frame_in_a_hundred_misses_it_only_beyond_the_percentile() -> None:
    late = msgspec.structs.replace(DEATH, first_words_ms={"192.0.2.1": 500.0})

    assert met(*[DEATH] * 99, late)["first frame P99, ms"] == ("90", "yes")
    assert met(*[DEATH] * 98, late, late)["first frame P99, ms"] == ("500", "no")


def test_a_vip_that_nobody_took_misses_the_aim() -> None:
    untaken = msgspec.structs.replace(DEATH, first_words_ms={"192.0.2.1": None})

    assert met(untaken)["first frame P50, ms"] == ("-", "no")


@pytest.mark.parametrize(("setting", "most"), [
    (Setting(nodes=2), "100"),
    (Setting(nodes=2, router=False), "400"),
    (Setting(nodes=3, router=False), "100"),
])  # fmt: skip
def test_without_a_witness_more_time_is_allowed(setting: Setting, most: str) -> None:
    rows = aims_table([msgspec.structs.replace(DEATH, setting=setting)])

    assert [row[5] for row in rows if row[3] == "first frame P50, ms"] == [most]


def test_a_lost_request_counts_where_nobody_should_notice() -> None:
    http = (Http("192.0.2.1", 50, 1, 40.0),)
    killed = Trial(Setting(), str(Fault.HERALD_KILLED), 0, "n1", http=http, strayed=("192.0.2.9",))

    assert met(killed)["requests lost"] == ("1", "no")
    assert met(killed)["VIPs moved"] == ("1", "no")
    assert "requests lost" not in met(msgspec.structs.replace(DEATH, http=http))


def test_failed_trials_and_other_ways_of_detection_are_not_judged() -> None:
    failed = msgspec.structs.replace(DEATH, problem="not settled")
    slow = msgspec.structs.replace(DEATH, setting=Setting(detect="memberlist"))

    assert met(failed, slow) == {}
