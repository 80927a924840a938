"""Another LLADDR claims what we hold (OWNERSHIP.md, Words; RFC 5227 section 2.4)."""

from speaker.herald.actions import Defend
from tests.unit.speaker.herald.cores import VIP, Cores, lladdr_of, seat

STRANGER = bytes.fromhex("02005e0000fe")
PAIR = ("n1", "n2")


def claim(cores: Cores, name: str, lladdr: bytes) -> None:
    """The program of a node has heard a claim."""
    cores.cores[name].probe_answered(VIP, lladdr, cores.now)
    cores._carry_out(name)


def alone() -> Cores:
    cores = Cores(("n1",))
    cores.start(seat(VIP, "n1"))
    return cores


def test_a_seat_is_defended_against_a_stranger_and_kept() -> None:
    cores = alone()

    claim(cores, "n1", STRANGER)

    assert cores.happened("n1", Defend) == [Defend(VIP)]
    assert cores.holders() == ["n1"]


def test_a_stranger_that_insists_is_answered_every_ten_seconds() -> None:
    cores = alone()

    for _ in range(2500):
        claim(cores, "n1", STRANGER)
        cores.run(0.01)

    assert len(cores.happened("n1", Defend)) == 3
    assert cores.holders() == ["n1"]


def test_between_nodes_the_counter_decides_and_only_the_winner_defends() -> None:
    cores = Cores(PAIR)
    cores.is_lost = lambda source, target: True
    plan = seat(VIP, *PAIR, failback=False)
    for name in PAIR:
        cores.begin(name, plan)
    cores.run(2.0)
    assert cores.holders() == ["n1", "n2"]

    cores.is_lost = lambda source, target: False
    cores.meet(*PAIR)
    cores.run(0.05)

    [winner] = cores.holders()
    [loser] = set(PAIR) - {winner}
    assert cores.happened(winner, Defend) == [Defend(VIP)]
    assert cores.happened(loser, Defend) == []


def test_a_node_of_the_ring_that_claims_is_not_defended_against_before_its_word() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, *PAIR))

    claim(cores, "n1", lladdr_of("n2"))

    assert cores.happened("n1", Defend) == []
    assert "conflict_seen" in cores.notes("n1")
