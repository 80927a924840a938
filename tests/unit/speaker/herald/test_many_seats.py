"""Hundreds of seats of one dead node: the table first, then word by word, and no second taker."""

from ipaddress import IPv4Address

import pytest

from speaker.beats import BeatState
from speaker.beats.cell import Cell
from speaker.beats.messages import Verdict, encode
from speaker.herald.actions import Announce, SpeakAll, Voice
from speaker.herald.docket import SLICE
from speaker.herald.rules import TURN_S
from speaker.herald.seats import PlannedSeat
from speaker.herald.sentry import Reflection
from speaker.herald.world import TAKING_S
from tests.unit.speaker.herald.cores import VIP, Cores, address_of

MANY = [IPv4Address("198.18.0.0") + number for number in range(SLICE + 100)]


def silence(cores: Cores, accused: str, *judges: str) -> None:
    """The cell of the accused tells the judges that it answers no more."""
    for judge in judges:
        core = cores.cores[judge]
        core.sentries.is_on = True
        core.sentries.survey(cores.now)
        reflection = Reflection(Cell(accused, "eth0"), "eth0", 0, BeatState.RELEASED, 1)
        core.reflected(reflection, cores.now)


@pytest.fixture
def cores() -> Cores:
    """n1 holds every seat and is found dead by n2, whose actions wait to be carried out."""
    made = Cores(("n1", "n2"))
    made.start(*(PlannedSeat(vip, ("n1", "n2")) for vip in MANY))
    made.run(2.0)
    assert made.holders(MANY[-1]) == ["n1"]
    del made.cores["n1"]
    made.tables["n1"] = {}
    silence(made, "n1", "n2")
    return made


def test_all_are_answered_before_any_is_announced(cores: Cores) -> None:
    actions = cores.cores["n2"].take_actions()

    [flip] = [action for action in actions if isinstance(action, SpeakAll)]
    assert flip.voice is Voice.HELD
    assert (set(flip.vips), len(flip.keys)) == (set(MANY), len(MANY))
    assert not [action for action in actions if isinstance(action, Announce)]


def test_all_are_taken_and_announced(cores: Cores) -> None:
    cores.run(0.1)

    announced = [a.vip for a in cores.happened("n2", Announce) if isinstance(a, Announce)]
    assert sorted(announced) == MANY
    assert {view.holder for view in cores.cores["n2"].view()} == {"n2"}
    assert cores.cores["n2"].counters()["seats_taken"] == len(MANY)


def test_a_lost_lease_ends_what_was_answered_early(cores: Cores) -> None:
    cores.cores["n2"].lease_expired(cores.now)
    cores.run(0.1)

    assert [vip for vip in MANY if cores.holders(vip)] == []


def test_who_leaves_takes_nothing_more(cores: Cores) -> None:
    cores.cores["n2"].leave(cores.now)
    cores.run(0.1)

    assert [vip for vip in MANY if cores.holders(vip)] == []


@pytest.mark.parametrize("is_told", [True, False])
def test_the_next_candidate_waits_for_one_that_has_told_of_taking(*, is_told: bool) -> None:
    """Of thousands of seats not every TAKE comes within the 25 ms of its turn."""
    cores = Cores(("n1", "n2", "n3"))
    cores.start(PlannedSeat(VIP, ("n1", "n2", "n3")))
    cores.run(1.0)
    del cores.cores["n1"]
    cores.tables["n1"] = {}
    cores.is_lost = lambda source, target: source == "n2"
    if is_told:
        verdict = Verdict("n2", "n1", "eth0", 1, 0, acted=True)
        cores.cores["n3"].received(str(address_of("n2")), encode(verdict), cores.now)
    silence(cores, "n1", "n3")

    cores.run(2 * TURN_S)
    early = cores.holders()
    cores.run(TAKING_S)

    assert early == ([] if is_told else ["n3"])
    assert cores.holders() == ["n3"]
