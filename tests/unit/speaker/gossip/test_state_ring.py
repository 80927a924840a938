"""Whole rings on virtual time: joining, dying, leaving, and what must not be mistaken for dying."""

import attrs
import pytest

from speaker.gossip.config import LAN, WAN
from speaker.gossip.messages import Alive, NodeState, PushPull, Suspect
from speaker.gossip.outputs import (
    ExchangeState,
    LeaveFinished,
    MemberCleared,
    MemberJoined,
    MemberLeft,
    MemberSuspected,
    MergeDone,
    MergeFailed,
    NameConflict,
)
from tests.unit.speaker.gossip.ring import Ring, endpoint, make_swim


def states(ring: Ring, of: str) -> dict[str, NodeState | None]:
    """How each node that is up sees one member."""
    seen = {name: swim.member(of) for name, swim in ring.nodes.items() if name not in ring.down}
    return {name: None if member is None else member.state for name, member in seen.items()}


def test_a_joiner_is_heard_of_by_all() -> None:
    ring = Ring.of(4)

    ring.add(make_swim("n5"), join=["n3"])
    ring.run_for(2.0)

    assert set(states(ring, "n5").values()) == {NodeState.ALIVE}
    assert [member.name for member in ring.nodes["n5"].up] == ["n1", "n2", "n3", "n4", "n5"]
    assert ring.events(MergeDone, "n5")[0].to == endpoint("n3")


def test_a_join_that_nobody_answers_is_told() -> None:
    ring = Ring()
    ring.add(make_swim("n1"), join=["n9"])

    ring.run_for(1.0)

    assert ring.events(MergeFailed, "n1") == [MergeFailed(endpoint("n9"), True, "unreachable")]


@pytest.mark.parametrize(("size", "at_most_s"), [(3, 8.1), (10, 15.0)])
def test_a_dead_node_is_given_up_by_all_as_fast_as_memberlist_would(
    size: int, at_most_s: float
) -> None:
    """5 s at least (probe interval and suspicion); measured maxima of real rings below 9 s."""
    ring = Ring.of(size)
    ring.down.add("n2")
    died = ring.now

    ring.run_for(20.0)

    after = {name: at - died for name, at in ring.when(MemberLeft, "n2").items()}
    assert set(after) == set(ring.nodes) - {"n2"}
    assert min(after.values()) > 4.5
    assert max(after.values()) <= at_most_s
    assert set(states(ring, "n2").values()) == {NodeState.DEAD}


def test_the_wan_profile_takes_longer() -> None:
    ring = Ring.of(3, WAN)
    ring.down.add("n2")
    died = ring.now

    ring.run_for(60.0)

    assert all(30.0 < at - died < 47.0 for at in ring.when(MemberLeft, "n2").values())


def test_a_leaving_node_is_gone_at_once_and_not_dead() -> None:
    ring = Ring.of(5)
    left_at = ring.now

    ring.carry_out(ring.nodes["n4"], ring.nodes["n4"].leave(ring.now))
    ring.run_until(lambda: bool(ring.events(LeaveFinished)), within_s=2.0)
    ring.run_for(1.0)

    times = ring.when(MemberLeft, "n4")
    assert set(times) == {"n1", "n2", "n3", "n5"}
    assert max(times.values()) - left_at <= 0.4  # what Go rings were measured at
    assert ring.events(MemberSuspected) == []
    assert set(states(ring, "n4").values()) == {NodeState.LEFT}


def test_leaving_alone_is_finished_at_once() -> None:
    ring = Ring()
    swim = ring.add(make_swim("n1"))

    ring.carry_out(swim, swim.leave(ring.now))

    assert ring.events(LeaveFinished, "n1") == [LeaveFinished()]


def test_the_dead_are_forgotten_after_a_while_and_may_come_back_before_or_after() -> None:
    ring = Ring.of(3)
    ring.down.add("n2")
    ring.run_for(15.0)
    assert set(states(ring, "n2").values()) == {NodeState.DEAD}

    ring.run_for(LAN.gossip_to_the_dead_time_s + 10.0)
    assert set(states(ring, "n2").values()) == {None}

    ring.add(make_swim("n2"), join=["n1"])
    ring.run_for(2.0)
    assert set(states(ring, "n2").values()) == {NodeState.ALIVE}


def test_a_node_that_restarts_takes_the_incarnation_it_had_on() -> None:
    """It starts at 1, hears its old self from the ring and outbids it."""
    ring = Ring.of(3)
    member = ring.nodes["n1"].member("n2")
    assert member is not None
    suspicion = Suspect(member.incarnation + 6, "n2", "n3")
    ring.carry_out(
        ring.nodes["n2"], ring.nodes["n2"].receive([suspicion], endpoint("n3"), ring.now)
    )
    ring.run_for(2.0)

    ring.add(make_swim("n2"), join=["n1"])
    ring.run_for(2.0)

    seen = [swim.member("n2") for swim in ring.nodes.values()]
    assert {member.incarnation for member in seen if member} == {9}
    assert set(states(ring, "n2").values()) == {NodeState.ALIVE}


def test_a_suspected_node_that_lives_refutes_and_nobody_gives_it_up() -> None:
    ring = Ring.of(3)

    accused = ring.nodes["n3"]
    for accuser in ("n1", "n2"):
        swim = ring.nodes[accuser]
        accusation = Suspect(accused.members[0].incarnation, "n3", "n9")
        ring.carry_out(swim, swim.receive([accusation], endpoint("n9"), ring.now))
    ring.run_for(10.0)

    assert len(ring.events(MemberSuspected)) == 2
    assert len(ring.events(MemberCleared)) == 2
    assert ring.events(MemberLeft) == []


def test_a_node_heard_only_through_others_stays() -> None:
    """n1 and n2 cannot reach one another, but n3 and n4 pass their pings on."""
    ring = Ring.of(4)
    ring.cuts |= {("n1", "n2"), ("n2", "n1")}

    ring.run_for(60.0)

    assert ring.events(MemberLeft) == []
    assert ring.nodes["n1"].health == 0


def test_a_node_heard_only_by_stream_stays() -> None:
    """A firewall that drops UDP: the ping over TCP saves it, for a pair has no helpers."""
    ring = Ring.of(2)
    ring.udp_cuts |= {("n1", "n2"), ("n2", "n1")}

    ring.run_for(60.0)

    assert ring.events(MemberLeft) == []


def test_without_stream_pings_the_same_node_is_lost() -> None:
    """The test above can fail: it is the ping over TCP that counts."""
    ring = Ring.of(2, attrs.evolve(LAN, disable_tcp_pings=True))
    ring.udp_cuts |= {("n1", "n2"), ("n2", "n1")}

    ring.run_for(10.0)

    assert ring.events(MemberLeft) != []


@pytest.mark.slow
def test_a_ring_survives_loss() -> None:
    ring = Ring.of(5)
    ring.loss = 0.05

    ring.run_for(600.0)

    assert ring.events(MemberLeft) == []


def test_our_own_stall_is_not_blamed_on_others() -> None:
    """A process stopped for a minute hears nobody; its timers must not fire for that."""
    ring = Ring.of(3)
    sleeper = ring.nodes["n1"]
    accusation = Suspect(1, "n2", "n3")
    ring.carry_out(sleeper, sleeper.receive([accusation], endpoint("n3"), ring.now))
    ring.now += 60.0

    ring.carry_out(sleeper, sleeper.tick(ring.now))

    assert ring.events(MemberLeft, "n1") == []


def test_a_name_on_a_second_address_is_a_conflict_and_changes_nothing() -> None:
    ring = Ring.of(3)
    impostor = make_swim("n8")
    claim = Alive(9, "n2", b"\xc0\x00\x02\x08", 7946, b"", bytes((1, 5, 2, 0, 0, 0)))

    for _ in range(3):
        swim = ring.nodes["n1"]
        ring.carry_out(swim, swim.receive([claim], impostor.endpoint, ring.now))
    owner = ring.nodes["n2"]
    ring.carry_out(owner, owner.receive([claim], impostor.endpoint, ring.now))

    [told_n1] = ring.events(NameConflict, "n1")  # once, not per message
    assert (told_n1.member.name, told_n1.claimed) == ("n2", ("192.0.2.8", 7946))
    [told_n2] = ring.events(NameConflict, "n2")
    assert told_n2.member.endpoint == endpoint("n2")
    member = ring.nodes["n1"].member("n2")
    assert member is not None
    assert member.endpoint == endpoint("n2")


def test_the_second_of_a_name_is_told_and_its_goodbye_harms_nobody() -> None:
    """It finds the first in the answer to its join; what it says then is not the first's."""
    ring = Ring.of(3)
    second = make_swim("n8", name="n2")
    ring.carry_out(second, second.start(ring.now))
    ring.nodes["second"] = second

    reply, outputs = ring.nodes["n1"].push_pull_requested(
        PushPull(True, ()), second.endpoint, ring.now
    )
    [action] = second.join([endpoint("n1")], ring.now)
    assert isinstance(action, ExchangeState)
    told = second.push_pull_answered(action.exchange, reply, ring.now)
    ring.carry_out(second, second.leave(ring.now))
    ring.run_for(2.0)

    assert outputs == []
    [conflict] = [event for event in told if isinstance(event, NameConflict)]
    assert conflict.claimed == endpoint("n2")
    assert ring.events(LeaveFinished, "n2") == [LeaveFinished()]
    assert ring.events(MemberLeft) == []


def test_two_halves_that_gave_each_other_up_find_together_by_a_join() -> None:
    ring = Ring.of(4)
    halves = (("n1", "n2"), ("n3", "n4"))
    ring.cuts |= {(a, b) for a in halves[0] for b in halves[1]}
    ring.cuts |= {(b, a) for a in halves[0] for b in halves[1]}
    ring.run_for(90.0)
    assert len(ring.nodes["n1"].up) == 2

    ring.cuts.clear()
    ring.carry_out(ring.nodes["n1"], ring.nodes["n1"].join([endpoint("n3")], ring.now))
    ring.run_for(5.0)

    assert {len(swim.up) for swim in ring.nodes.values()} == {4}


def test_an_idle_node_is_woken_a_few_times_a_second_at_most() -> None:
    """The herald's CPU: with nothing to gossip the gossip timer sleeps."""
    ring = Ring.of(10)
    ring.run_for(5.0)
    swim, wakeups = ring.nodes["n1"], 0
    start = ring.now

    def count() -> bool:
        nonlocal wakeups
        wakeups += swim.next_wakeup() <= ring.now
        return False

    ring.run_until(count, within_s=20.0)

    sent = [packet for at, name, packet in ring.sent if name == "n1" and at >= start]
    assert len(sent) <= 20 * 2 + 20  # a ping a second, and about as many acks
    assert wakeups <= 40


def test_a_node_alone_sleeps_from_probe_to_probe() -> None:
    """Its news has no audience; the first member that joins hears it."""
    ring = Ring()
    swim = ring.add(make_swim("n1"))

    wakeups: list[float] = []

    def note() -> bool:
        wakeups.append(ring.now)
        return False

    ring.run_until(note, within_s=20.0)
    assert len(wakeups) <= 25

    ring.add(make_swim("n2"), join=["n1"])
    ring.run_for(1.0)
    assert [member.name for member in swim.up] == ["n1", "n2"]


def test_joined_is_told_once_for_each_node() -> None:
    ring = Ring.of(6)

    ring.run_for(70.0)

    joined = [event.member.name for event in ring.events(MemberJoined, "n4")]
    assert sorted(joined) == ["n1", "n2", "n3", "n5", "n6"]
