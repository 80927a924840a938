"""What `stentor lab chaos` makes of its command line, before anything is built."""

import re
import shlex
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from stentor.lab import cli
from stentor.lab.chaos_figures import MEASURES, Setting, Trial, totals_table
from stentor.lab.chaos_plan import (
    AROUND_S,
    Job,
    chosen,
    counts,
    estimate_s,
    jobs,
    left,
    names,
    numbers,
    total_s,
)
from stentor.lab.chaos_strike import Fault
from stentor.lab.errors import LabError

BEATS, MEMBERLIST = Setting(), Setting(detect="memberlist")
FAULTS = list(Fault)


def test_the_help_names_every_fault() -> None:
    [option] = [option for option in cli.chaos.params if option.name == "faults"]
    text = getattr(option, "help", "")

    assert set(re.findall(r"[a-z]+-[a-z]+", text)) == {str(fault) for fault in Fault}


def test_every_fault_has_an_estimate() -> None:
    assert set(AROUND_S) == set(Fault)


def test_a_plain_number_is_for_the_faults_that_matter_most() -> None:
    wanted = counts("100", FAULTS)

    assert (wanted[Fault.HOST_DEATH], wanted[Fault.HERALD_KILLED]) == (100, 100)
    assert (wanted[Fault.LINK_CUT], wanted[Fault.ROLLING_RESTART]) == (20, 10)
    assert set(counts("1", FAULTS).values()) == {1}


def test_a_named_fault_has_its_own_number() -> None:
    assert counts("host-death=7,link-cut=3", FAULTS) == {Fault.HOST_DEATH: 7, Fault.LINK_CUT: 3}
    assert counts("10,link-cut=30", FAULTS)[Fault.LINK_CUT] == 30
    assert counts("10,link-cut=30", [Fault.HOST_DEATH]) == {Fault.HOST_DEATH: 10}


@pytest.mark.parametrize("given", ["", "0", "x", "-1", "host-death=", "host-death=0", "meteor=3"])
def test_a_number_of_trials_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(LabError):
        counts(given, FAULTS)


def test_faults_take_turns_also_where_some_have_fewer_trials() -> None:
    planned = jobs([BEATS], {Fault.HOST_DEATH: 4, Fault.LINK_CUT: 2})

    assert [(job.fault, job.number) for job in planned] == [
        (Fault.HOST_DEATH, 0),
        (Fault.HOST_DEATH, 1),
        (Fault.LINK_CUT, 0),
        (Fault.HOST_DEATH, 2),
        (Fault.HOST_DEATH, 3),
        (Fault.LINK_CUT, 1),
    ]


def test_what_is_compared_with_gets_a_tenth() -> None:
    planned = jobs([BEATS, MEMBERLIST], {Fault.HOST_DEATH: 100, Fault.LINK_CUT: 5})

    assert Counter((job.setting.detect, job.fault) for job in planned) == {
        ("beats", Fault.HOST_DEATH): 100,
        ("beats", Fault.LINK_CUT): 5,
        ("memberlist", Fault.HOST_DEATH): 10,
        ("memberlist", Fault.LINK_CUT): 1,
    }


def test_nothing_is_upgraded_where_no_node_may_hold_on() -> None:
    planned = jobs([BEATS, MEMBERLIST], {Fault.ROLLING_UPGRADE: 1, Fault.HOST_DEATH: 1})

    upgraded = [job.setting.detect for job in planned if job.fault is Fault.ROLLING_UPGRADE]
    assert upgraded == ["beats"]


def measured(job: Job, took_s: float = 1.0) -> Trial:
    """The trial of a job."""
    return Trial(job.setting, str(job.fault), job.number, "n1", took_s=took_s)


def test_what_was_measured_is_not_left_and_what_failed_is() -> None:
    planned = jobs([BEATS], {Fault.HOST_DEATH: 3})
    failed = msgspec.structs.replace(measured(planned[1]), problem="not settled")

    assert left(planned, [measured(planned[0]), failed]) == planned[1:]
    assert left(planned, [failed, *map(measured, planned)]) == []


def test_trials_of_another_lab_measure_nothing_here() -> None:
    [job] = jobs([BEATS], {Fault.HOST_DEATH: 1})
    elsewhere = msgspec.structs.replace(measured(job), setting=Setting(load=12))

    assert left([job], [elsewhere]) == [job]


def test_the_estimate_grows_with_the_trials_the_lab_and_the_time_of_detection() -> None:
    trials = counts("100", FAULTS)
    few, many = (total_s(jobs([BEATS], counts(n, FAULTS)), []) for n in ("10", "100"))

    assert many > 8 * few
    assert total_s(jobs([MEMBERLIST], trials), []) > many
    assert total_s(jobs([Setting(nodes=10)], trials), []) > many
    assert total_s(jobs([Setting(load=12)], trials), []) > many


def test_the_estimate_goes_by_what_trials_have_taken() -> None:
    first, second = jobs([BEATS], {Fault.HOST_DEATH: 2})

    assert estimate_s(second, [measured(first, took_s=42.0)]) == 42.0


def test_names_are_taken_once_each_in_the_order_given() -> None:
    assert names("fault", "b,a,b", ["a", "b", "c"]) == ["b", "a"]
    assert names("fault", None, ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("given", ["d", "a,", "a,,b", " a"])
def test_an_unknown_name_is_answered_with_the_known_ones(given: str) -> None:
    with pytest.raises(LabError, match=r"no fault '.*'; there are a, b"):
        names("fault", given, ["a", "b"])


def test_numbers_are_taken_within_their_range() -> None:
    assert numbers("nodes", "3,10,3", 2, 10) == [3, 10]
    for given in ("1", "11", "", "3,", "x"):
        with pytest.raises(LabError, match="need 2 to 10"):
            numbers("nodes", given, 2, 10)


GUIDE = Path(__file__).parents[4] / "docs" / "how-to" / "measure-failover.md"
PROMPT = re.compile(r"^stentor lab chaos(.*)$", re.MULTILINE)


def test_the_guide_explains_every_fault_and_column() -> None:
    text = GUIDE.read_text()
    heads = totals_table([])[0][3:] + tuple(name for name, _ in MEASURES)

    assert [name for name in (*map(str, Fault), *heads) if f"`{name}`" not in text] == []


def test_the_commands_of_the_guide_are_accepted() -> None:
    """Parsed only: a hundred trials take hours. tests/lab runs one."""
    commands = PROMPT.findall(GUIDE.read_text())
    assert len(commands) >= 3

    for arguments in commands:
        context = cli.chaos.make_context("chaos", shlex.split(arguments))
        assert counts(context.params["trials"], chosen("fault", context.params["faults"], FAULTS))
