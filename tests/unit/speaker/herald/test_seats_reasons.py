"""Addresses that must not be touched, members that are not Stentor, two nodes of one name."""

from ipaddress import ip_address

import pytest

from speaker.herald.actions import Exit, Speak, Unlist, Voice
from speaker.herald.core import Link
from tests.unit.speaker.herald.cores import VIP, VIP6, Cores, address_of, lladdr_of, seat

PAIR = ("n1", "n2")


def interfaces(cores: Cores, name: str, *, own: str = "", hop: str = "") -> None:
    """Tell a node of one more address of its own, or another next hop."""
    cores.cores[name].set_interfaces(
        [Link("eth0", lladdr_of(name))],
        [address_of(name), *([ip_address(own)] if own else [])],
        [ip_address(hop)] if hop else [],
        cores.now,
    )
    cores._carry_out(name)


@pytest.mark.parametrize("told", [{"own": str(VIP)}, {"hop": str(VIP)}])
def test_an_address_of_the_host_or_its_gateway_is_never_touched(told: dict[str, str]) -> None:
    cores = Cores(("n1",))
    cores.start(seat(VIP, "n1"))
    assert cores.holders() == ["n1"]

    interfaces(cores, "n1", **told)
    cores.run(5.0)

    assert cores.answers() == {}
    assert VIP not in cores.tables["n1"]  # neither answered nor dropped
    assert cores.happened("n1", Unlist) == [Unlist(VIP)]
    assert cores.reason("n1") == "address_of_a_host"
    interfaces(cores, "n1")
    cores.run(1.0)
    assert cores.holders() == ["n1"]


def test_an_address_of_another_host_is_not_touched_here_either() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2"))

    interfaces(cores, "n2", own=str(VIP))
    cores.run(3.0)

    assert cores.answers() == {}
    assert cores.reason("n1") == "address_of_a_host"


def test_the_address_of_a_member_is_not_touched() -> None:
    cores = Cores(("n1",))
    cores.start(seat(VIP, "n1"))

    cores.cores["n1"].member_joined("n9", VIP, cores.now, stentor=None)
    cores._carry_out("n1")

    assert cores.answers() == {}
    assert cores.reason("n1") == "address_of_a_host"


def test_with_a_candidate_that_is_not_stentor_metallbs_rule_decides() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n9", "n1", "n2"))
    assert cores.holders() == ["n1"]

    for name in PAIR:
        cores.cores[name].member_joined("n9", address_of("n9"), cores.now, stentor=False)
        cores._carry_out(name)
    cores.run(1.0)

    assert cores.answers() == {}  # n9 ranks first and announces it
    assert {cores.reason(name) for name in PAIR} == {"mixed_ring"}
    cores.gone("n9", dead=True)
    cores.run(1.0)
    assert cores.holders() == ["n1"]


def test_a_member_of_unknown_kind_is_taken_for_metallb_after_a_while() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n9", "n2"))

    cores.cores["n1"].member_joined("n9", address_of("n9"), cores.now, stentor=None)
    cores._carry_out("n1")

    cores.run(2.9)
    assert cores.reason("n1") == "held"
    cores.run(0.2)
    assert cores.reason("n1") == "mixed_ring_held"
    assert cores.holders() == ["n1"]


def test_a_herald_that_restarts_in_a_mixed_ring_goes_on_answering_while_it_meets_it() -> None:
    """Members come to it one by one: it drops nothing for them, and takes nothing."""
    cores = Cores(("n1",))
    plan = (seat(VIP, "n1", "n9"), seat(VIP6, "n9", "n1"))
    core = cores.begin("n1", *plan)
    core.member_joined("n9", address_of("n9"), cores.now, stentor=False)
    cores.run(2.0)
    assert (cores.holders(VIP), cores.holders(VIP6)) == (["n1"], [])
    saved = cores.cores.pop("n1").snapshot()
    flips = len(cores.happened("n1", Speak))

    core = cores.begin("n1", *plan, saved=saved)
    core.member_joined("n9", address_of("n9"), cores.now, stentor=False)
    cores.run(2.0)

    assert (cores.holders(VIP), cores.holders(VIP6)) == (["n1"], [])
    said = [a for a in cores.happened("n1", Speak)[flips:] if isinstance(a, Speak)]
    assert {(a.vip, a.voice) for a in said} <= {(VIP6, Voice.ELSEWHERE)}


def test_in_a_mixed_ring_a_death_is_believed_when_memberlist_says_so() -> None:
    """The others elect by memberlist alone: whoever doubted would leave the VIP unanswered."""
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2", "n9"))
    for name in PAIR:
        cores.cores[name].member_joined("n9", address_of("n9"), cores.now, stentor=False)
        cores._carry_out(name)
    cores.run(2.0)
    assert cores.holders() == ["n1"]
    del cores.cores["n1"]
    cores.tables["n1"] = {}

    cores.gone("n1", dead=True)
    cores.run(0.01)

    assert "member_death_doubted" in cores.notes("n2")
    assert cores.holders() == ["n2"]


def test_in_a_mixed_ring_a_better_candidate_takes_without_asking() -> None:
    """A MetalLB speaker would not ask either; both follow the members they see."""
    cores = Cores(PAIR)
    plan = seat(VIP, "n1", "n2", "n9")
    cores.begin("n2", plan)
    cores.cores["n2"].member_joined("n9", address_of("n9"), cores.now, stentor=False)
    cores.run(2.0)
    assert cores.holders() == ["n2"]

    cores.begin("n1", plan)
    cores.cores["n1"].member_joined("n9", address_of("n9"), cores.now, stentor=False)
    cores.meet(*PAIR)
    cores.run(1.0)

    assert cores.holders() == ["n1"]


def test_a_starting_node_whose_name_is_taken_gives_way() -> None:
    cores = Cores(("n1",))
    core = cores.begin("n1", seat(VIP, "n1"))

    core.name_conflict("n1", "198.51.100.77", cores.now)
    cores._carry_out("n1")
    cores.run(3.0)

    [action] = cores.happened("n1", Exit)
    assert isinstance(action, Exit)
    assert "n1" in action.message
    assert "198.51.100.77" in action.message
    assert cores.answers() == {}
    assert cores.reason("n1") == "duplicate_node"


def test_a_running_node_keeps_its_name() -> None:
    cores = Cores(("n1",))
    cores.start(seat(VIP, "n1"))

    cores.cores["n1"].name_conflict("n1", "198.51.100.77", cores.now)
    cores._carry_out("n1")
    cores.run(1.0)

    assert cores.happened("n1", Exit) == []
    assert cores.holders() == ["n1"]


@pytest.mark.parametrize(("head_start", "goes"), [(5.0, False), (-5.0, True)])
def test_of_two_running_nodes_of_one_name_the_younger_gives_way(
    head_start: float, goes: bool
) -> None:
    """They learn of one another by what others gossip, or by a push/pull."""
    ours, theirs = Cores(("n1",)), Cores(("n1",))
    theirs._instances = 50
    older, younger = (ours, theirs) if head_start > 0 else (theirs, ours)
    older.start(seat(VIP, "n1"), within_s=abs(head_start))
    younger.start(seat(VIP, "n1"), within_s=2.0)

    for _ in range(6):
        ours.run(1.0)
        theirs.run(1.0)
        state = theirs.cores["n1"].local_state(theirs.now)
        ours.cores["n1"].remote_state("198.51.100.9", state, ours.now)
        ours._carry_out("n1")

    assert bool(ours.happened("n1", Exit)) is goes


def test_the_last_words_of_our_own_former_process_are_not_a_second_node() -> None:
    cores = Cores(("n1",))
    cores.start(seat(VIP, "n1"))
    last_words = cores.cores["n1"].local_state(cores.now)
    cores.begin("n1", seat(VIP, "n1"))

    for _ in range(8):
        cores.run(1.0)
        cores.cores["n1"].remote_state("198.51.100.9", last_words, cores.now)

    cores._carry_out("n1")
    assert cores.happened("n1", Exit) == []


def test_a_second_node_with_a_peers_name_does_not_make_us_forget_the_peers_seats() -> None:
    """Seen in the lab: the impostor's first push/pull, with no seats, had n1's taken by n2."""
    cores, impostor = Cores(("n1", "n2")), Cores(("n1",))
    impostor._instances = 50
    cores.start(seat(VIP, "n1", "n2"), within_s=5.0)
    impostor.start(within_s=1.0)
    assert cores.cores["n2"].view()[0].holder == "n1"

    state = impostor.cores["n1"].local_state(impostor.now)
    cores.cores["n2"].remote_state("198.51.100.99", state, cores.now)
    cores.run(0.5)

    assert cores.cores["n2"].view()[0].holder == "n1"
    assert cores.cores["n2"].counters()["messages_of_namesakes"] == 1
