"""A holder is gone, or there are two: who takes, and who keeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.herald.actions import Announce, Probe, Rejoin, Voice
from speaker.herald.claims import name_hash, to_vip
from speaker.herald.facts import Ack, encode
from tests.unit.speaker.herald.cores import VIP, Cores, address_of, lladdr_of, seat

TRIO = ("n1", "n2", "n3")


def part(cores: Cores, *islands: tuple[str, ...]) -> None:
    """Cut the wire, and let memberlist on each island declare the others dead."""
    home = {name: island for island in islands for name in island}
    cores.is_lost = lambda source, target: home[source] != home[target]
    cores.run(2.7)
    for name, core in cores.cores.items():
        for other in cores.names:
            if home[other] != home[name]:
                core.member_left(other, cores.now, dead=True)
        cores._carry_out(name)
    cores.run(0.3)


def test_the_best_candidate_takes_the_seat_of_a_dead_holder_without_probing() -> None:
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3"))
    cores.die("n1")
    asked = len(cores.happened("n2", Probe))

    cores.run(0.01)

    assert cores.holders() == ["n2"]
    assert len(cores.happened("n2", Probe)) == asked
    assert cores.happened("n2", Announce)[-1] == Announce(VIP, "let_go")
    assert cores.when("n3", VIP, Voice.HELD) == []


def test_if_the_best_does_not_take_the_next_one_does_25_ms_later() -> None:
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3"))
    cores.die("n1", told=False)
    cores.run(2.7)
    del cores.cores["n2"]
    before = cores.now
    cores.gone("n1", dead=True)

    cores.run(0.1)

    [taken] = cores.when("n3", VIP, Voice.HELD)
    assert taken - before == pytest.approx(0.025)


def test_a_member_that_we_hear_is_not_dead_to_us() -> None:
    """One death message of anybody is believed by a whole memberlist ring."""
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3"))
    cores.cores["n2"].member_left("n1", cores.now, dead=True)
    cores._carry_out("n2")

    cores.run(5.0)

    assert cores.holders() == ["n1"]
    assert "member_death_doubted" in cores.notes("n2")
    assert cores.happened("n2", Rejoin)


@given(st.floats(1.0, 1e6), st.floats(0.0, 1.5))
def test_doubt_never_asks_to_be_woken_for_what_is_not_due(heard_at: float, later: float) -> None:
    """It came round to the same moment for ever where a sum of times rounds down."""
    cores = Cores(("n1",), now=heard_at)
    core = cores.begin("n1", seat(VIP, "n1"))
    core.member_joined("n2", address_of("n2"), heard_at, stentor=True)
    core.received("198.51.100.2", encode(Ack("n2", 1)), heard_at)
    core.member_left("n2", heard_at + later, dead=True)

    ticks, now = 0, heard_at + later
    while now < heard_at + 3.0 and ticks < 200:
        now = max(now, core.next_wakeup())
        core.tick(now)
        ticks += 1

    assert ticks < 200


def test_a_doubted_death_is_believed_once_the_member_is_silent() -> None:
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3"))
    cores.die("n1", told=False)
    cores.gone("n1", dead=True)

    cores.run(2.7)

    assert cores.holders() == ["n2"]


def test_after_a_healed_cut_the_higher_counter_keeps_whatever_the_rank() -> None:
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3", failback=False))
    part(cores, ("n1",), ("n2", "n3"))
    assert cores.holders() == ["n1", "n2"]

    cores.is_lost = lambda source, target: False
    cores.meet(*TRIO)
    cores.run(0.1)

    assert cores.holders() == ["n2"]  # it took last: its counter is higher
    assert "seats_yielded" in cores.notes("n1")


def test_both_halves_look_for_one_another_after_a_cut() -> None:
    """Memberlist by itself never looks for members that it has declared dead."""
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3"))
    part(cores, ("n1",), ("n2", "n3"))

    cores.is_lost = lambda source, target: False
    cores.run(0.6)

    for name, other in (("n1", "n2"), ("n2", "n1")):
        rejoins = [
            a for a in cores.happened(name, Rejoin) if a == Rejoin(other, f"198.51.100.{other[1:]}")
        ]
        assert len(rejoins) == 1


def test_of_equal_counters_the_smaller_hash_of_the_name_keeps() -> None:
    cores = Cores(("n1", "n2"))
    plan = seat(VIP, "n1", "n2", failback=False)
    cores.begin("n1", plan)
    cores.begin("n2", plan)
    cores.run(2.0)
    assert cores.holders() == ["n1", "n2"]

    cores.meet("n1", "n2")
    cores.run(0.1)

    assert cores.holders() == [min(("n1", "n2"), key=name_hash)]


def test_a_seat_whose_holder_left_without_handing_over_is_taken() -> None:
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3"))
    del cores.cores["n1"]
    cores.tables["n1"] = {}
    cores.gone("n1", dead=False)

    cores.run(0.01)

    assert cores.holders() == ["n2"]


def test_a_reboot_before_its_death_was_noticed_gives_its_seats_to_the_next() -> None:
    """The new instance says that it holds nothing: no need to wait."""
    cores = Cores(TRIO)
    plan = seat(VIP, "n1", "n2", "n3")
    cores.start(plan)
    cores.die("n1", told=False)
    cores.begin("n1", plan)
    for other in ("n2", "n3"):
        cores.cores["n1"].member_joined(other, address_of(other), cores.now, stentor=True)
    cores._carry_out("n1")

    cores.run(0.1)

    assert cores.holders() == ["n2"]
    cores.run(5.0)
    assert cores.holders() == ["n1"]
    assert list(cores.answers().values()) == [lladdr_of("n1")]


def test_ten_thousand_seats_are_taken_in_one_turn() -> None:
    vips = [to_vip((0x0A000000 + i).to_bytes(4, "big")) for i in range(10_000)]
    cores = Cores(("n1", "n2"))
    cores.start(*(seat(vip, "n1", "n2") for vip in vips))
    assert all(cores.holders(vip) == ["n1"] for vip in vips[::997])
    cores.die("n1", told=False)
    cores.run(2.7)
    cores.gone("n1", dead=True)

    assert all(cores.holders(vip) == ["n2"] for vip in vips)
