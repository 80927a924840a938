"""What `stentor lab chaos` makes of its command line, before anything is built."""

import re
import shlex
from pathlib import Path

import pytest

from stentor.lab import cli
from stentor.lab.chaos import AROUND_S, Chaos, names
from stentor.lab.chaos_figures import MEASURES, totals_table
from stentor.lab.chaos_strike import Fault
from stentor.lab.errors import LabError
from stentor.lab.topology import Topology


def test_the_help_names_every_fault() -> None:
    [option] = [option for option in cli.chaos.params if option.name == "faults"]
    text = getattr(option, "help", "")

    assert set(re.findall(r"[a-z]+-[a-z]+", text)) == {str(fault) for fault in Fault}


def test_every_fault_has_an_estimate() -> None:
    assert set(AROUND_S) == set(Fault)


def chaos(count: int, *detects: str) -> Chaos:
    """`count` trials of each fault."""
    return Chaos(Topology(directory=Path("/nowhere")), list(Fault), count, detects=detects)


def test_the_estimate_grows_with_the_trials_and_the_time_of_detection() -> None:
    few, many = chaos(1, "memberlist"), chaos(100, "memberlist")

    assert (few.total, many.total) == (7, 700)
    assert many.estimate_s() > 80 * few.estimate_s()
    assert chaos(100, "beats").estimate_s() < many.estimate_s()
    both = chaos(100, "beats", "memberlist")
    assert both.total == 1400
    assert both.estimate_s() > many.estimate_s()


def test_names_are_taken_once_each_in_the_order_given() -> None:
    assert names("fault", "b,a,b", ["a", "b", "c"]) == ["b", "a"]
    assert names("fault", None, ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("given", ["d", "a,", "a,,b", " a"])
def test_an_unknown_name_is_answered_with_the_known_ones(given: str) -> None:
    with pytest.raises(LabError, match=r"no fault '.*'; there are a, b"):
        names("fault", given, ["a", "b"])


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
        chosen = names("fault", context.params["faults"], [str(fault) for fault in Fault])
        assert set(chosen) <= set(Fault)
