"""Restarts within the lease and after it, and what is written down for them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.herald.actions import Announce, Probe, Send, Speak, Voice
from speaker.herald.errors import DecodeError
from speaker.herald.facts import Claim, Fence
from speaker.herald.reentry import Entry
from speaker.herald.saved import MAGIC, Saved, decode_saved, encode_saved
from tests.unit.speaker.herald.cores import VIP, VIP6, Cores, address_of, lladdr_of, seat

PAIR = ("n1", "n2")


def restart(cores: Cores, name: str) -> bytes:
    """SIGKILL a herald; returns what it had saved."""
    saved = cores.cores.pop(name).snapshot()
    cores.agents.discard(name)
    return saved


def test_a_herald_restarted_within_its_lease_adopts_and_nobody_notices() -> None:
    cores = Cores(PAIR)
    plan = seat(VIP, "n1", "n2")
    cores.start(plan)
    saved = restart(cores, "n1")
    cores.run(1.0)
    said = len(cores.happened("n1", Speak))
    counter = cores.cores["n2"].view()[0].counter

    core = cores.begin("n1", plan, saved=saved)
    core.member_joined("n2", address_of("n2"), cores.now, stentor=True)
    cores._carry_out("n1")
    cores.run(5.0)

    assert cores.holders() == ["n1"]
    assert len(cores.happened("n1", Speak)) == said
    assert core.view()[0].counter == counter
    assert "seats_taken" not in cores.notes("n2")


def test_adopted_seats_stay_while_there_is_no_plan_and_no_ring_yet() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2"))
    saved = restart(cores, "n1")

    cores.begin("n1", saved=saved)
    cores.run(10.0)

    assert cores.holders() == ["n1"]


def test_a_restarted_herald_goes_on_with_a_move_under_way() -> None:
    cores = Cores(PAIR)
    plan = seat(VIP, "n1", "n2")
    cores.begin("n2", plan)
    cores.run(3.0)
    cores.begin("n1", plan)
    cores.meet(*PAIR)
    cores.is_lost = lambda source, target: bool(cores.when("n2", VIP, Voice.GIVEN))
    cores.run(1.5)
    assert cores.answers() == {"n2": lladdr_of("n1")}
    saved = restart(cores, "n2")

    cores.is_lost = lambda source, target: False
    core = cores.begin("n2", plan, saved=saved)
    assert cores.answers() == {"n2": lladdr_of("n1")}
    core.member_joined("n1", address_of("n1"), cores.now, stentor=True)
    cores._carry_out("n2")
    cores.run(1.0)

    assert cores.holders() == ["n1"]
    assert list(cores.answers()) == ["n1"]


def test_a_herald_whose_lease_ran_out_drops_everything_and_says_so() -> None:
    cores = Cores(PAIR)
    cores.start(seat(VIP, "n1", "n2"))

    cores.cores["n1"].lease_expired(cores.now)
    cores._carry_out("n1")

    assert cores.holders() == []
    assert cores.reason("n1") == "lease_expired"
    cores.run(0.06)
    assert cores.holders() == ["n2"]


def test_alone_after_its_lease_a_herald_is_back_by_the_rule_for_empty_seats() -> None:
    cores = Cores(("n1",))
    cores.start(seat(VIP, "n1"))
    before, probes = cores.now, len(cores.happened("n1", Probe))

    cores.cores["n1"].lease_expired(cores.now)
    assert cores.cores["n1"].may_enter(cores.now, "eth0") is Entry.RAISED
    cores.cores["n1"].entered(cores.now, "eth0")
    cores._carry_out("n1")
    cores.run(1.0)

    taken = cores.when("n1", VIP, Voice.HELD)[-1]
    assert cores.holders() == ["n1"]
    assert taken - before == pytest.approx(0.4)
    assert len(cores.happened("n1", Probe)) == probes + 2


def test_a_row_without_saved_counter_is_adopted_and_loses_to_any_other_holder() -> None:
    cores = Cores(PAIR)
    plan = seat(VIP, "n1", "n2", failback=False)
    cores.begin("n1", plan)
    cores.run(2.0)
    restart(cores, "n1")
    cores.is_lost = lambda source, target: True  # else n2 hears the table of n1
    cores.begin("n2", plan)
    cores.run(2.0)
    cores.is_lost = lambda source, target: False
    assert cores.holders() == ["n1", "n2"]

    empty = encode_saved(Saved(()))
    cores.begin("n1", plan, saved=empty)
    cores.meet(*PAIR)
    cores.run(0.5)

    assert cores.holders() == ["n2"]


def test_after_a_stall_messages_are_read_before_a_turn_is_used() -> None:
    """n2 stood still while n1 took the seat: the TAKE waits in its socket."""
    cores = Cores(("n1", "n2", "n3"))
    cores.start(seat(VIP, "n3", "n1", "n2"))
    cores.die("n3")
    stalled = cores.cores.pop("n2")
    cores.run(1.0)
    assert cores.holders() == ["n1"]
    sends = [a for a in cores.happened("n1", Send) if isinstance(a, Send)]
    late = [a.payload for a in sends if a.node == "n2"][-40:]

    stalled.tick(cores.now)
    for payload in late:
        stalled.received("198.51.100.1", payload, cores.now)
    stalled.tick(cores.now + 0.03)

    cores.cores["n2"] = stalled
    cores._carry_out("n2")
    assert cores.holders() == ["n1"]
    assert Announce(VIP, "let_go") not in cores.happened("n2", Announce)


words = st.tuples(
    st.sampled_from([VIP.packed, VIP6.packed]),
    st.integers(0, 1 << 40),
    st.sampled_from(list(Claim)),
    st.text(max_size=8),
)


@given(
    seats=st.lists(words, max_size=4),
    fences=st.lists(st.builds(Fence, st.just("n1"), st.text(max_size=3), st.integers(0, 9))),
)
def test_what_is_saved_is_restored(
    seats: list[tuple[bytes, int, Claim, str]], fences: list[Fence]
) -> None:
    saved = Saved(tuple(seats), tuple(fences))

    assert decode_saved(encode_saved(saved)) == saved


@given(st.binary(max_size=64), st.booleans())
def test_a_broken_file_is_a_decode_error_and_nothing_else(data: bytes, magic: bool) -> None:
    octets = MAGIC + data if magic else data

    with contextlib.suppress(DecodeError):
        assert isinstance(decode_saved(octets), Saved)


def test_a_file_that_was_cut_off_is_refused() -> None:
    whole = encode_saved(Saved(((VIP.packed, 7, Claim.HELD, ""),)))

    with pytest.raises(DecodeError):
        decode_saved(whole[:-2])
