"""The protocol between heralds under loss: repeated until acknowledged, mended by digests."""

import random
from collections.abc import Callable

import pytest

from speaker.herald.actions import Broadcast, Send
from speaker.herald.claims import to_vip
from speaker.herald.facts import Ack, Hello, Seats, State, Want, decode
from tests.unit.speaker.herald.cores import VIP, Cores, address_of, seat

TRIO = ("n1", "n2", "n3")


def sent(cores: Cores, name: str, kind: type) -> list[object]:
    """Messages of one kind that a node has sent."""
    found = [decode(a.payload) for a in cores.happened(name, Send) if isinstance(a, Send)]
    return [message for message in found if isinstance(message, kind)]


def knows(cores: Cores, name: str) -> set[str | None]:
    """Whom a node thinks to be the holder of each seat."""
    return {row.holder for row in cores.cores[name].view()}


def half(seed: int) -> Callable[[str, str], bool]:
    """Lose one frame in two, by chance."""
    rng = random.Random(seed)
    return lambda source, target: rng.random() < 0.5


def test_words_are_repeated_until_they_are_acknowledged() -> None:
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1", "n2", "n3"))
    said = len(sent(cores, "n1", Seats))
    cores.is_lost = lambda source, target: (source, target) == ("n2", "n1")  # acks of n2

    cores.plan("n1", seat(VIP, "n2"))
    cores.run(1.0)
    repeated = len(sent(cores, "n1", Seats)) - said
    cores.is_lost = lambda source, target: False
    cores.run(3.0)
    settled = len(sent(cores, "n1", Seats))
    cores.run(3.0)

    assert repeated > 4
    assert len(sent(cores, "n1", Seats)) == settled
    assert sent(cores, "n2", Ack)


@pytest.mark.parametrize("seed", range(10))
def test_with_every_second_frame_lost_all_agree_within_seconds(seed: int) -> None:
    cores = Cores(TRIO)
    cores.is_lost = half(seed)

    cores.start(seat(VIP, "n2", "n3", "n1"), within_s=12.0)

    assert cores.holders() == ["n2"]
    assert [knows(cores, name) for name in TRIO] == [{"n2"}] * 3


def test_a_difference_that_repeating_cannot_mend_is_found_by_the_digest() -> None:
    """n3 hears nothing of n1's seats for longer than they are repeated."""
    cores = Cores(TRIO)
    cores.begin("n1", seat(VIP, "n1"))
    cores.begin("n3", seat(VIP, "n1"))
    cores.is_lost = lambda source, target: (source, target) == ("n1", "n3")
    cores.meet("n1", "n3")
    cores.run(15.0)
    assert knows(cores, "n3") == {None}

    cores.is_lost = lambda source, target: False
    cores.run(2.0)

    assert knows(cores, "n3") == {"n1"}


def test_what_the_author_cannot_tell_a_third_one_does() -> None:
    """n1 is not heard by n3 but for its gossip, which n2 passes on."""
    cores = Cores(TRIO)
    cores.is_lost = lambda source, target: (source, target) == ("n1", "n3")
    cores.start(seat(VIP, "n1"), within_s=3.0)
    gossip = [a for a in cores.happened("n1", Broadcast) if isinstance(a, Broadcast)]
    assert knows(cores, "n3") == {None}

    cores.cores["n3"].received("198.51.100.2", gossip[-1].payload, cores.now)
    cores._carry_out("n3")
    cores.run(6.0)

    assert knows(cores, "n3") == {"n1"}
    assert sent(cores, "n3", Want)


def test_gossip_that_is_new_is_passed_on_once() -> None:
    cores = Cores(TRIO)
    cores.start(seat(VIP, "n1"), within_s=3.0)
    payload = next(
        a.payload for a in reversed(cores.happened("n1", Broadcast)) if isinstance(a, Broadcast)
    )
    message = decode(payload)
    assert isinstance(message, Hello)
    fresh = Cores(("n4",))
    fresh.begin("n4", seat(VIP, "n1"))
    before = len(fresh.happened("n4", Broadcast))

    for _ in range(3):
        fresh.cores["n4"].received("198.51.100.2", payload, fresh.now)
        fresh._carry_out("n4")

    passed = fresh.happened("n4", Broadcast)[before:]
    assert passed == [Broadcast(payload, "hello/n1")]


def restarted() -> tuple[Cores, bytes]:
    """n1 and n2 have both started anew; what n1's former instance had gossiped."""
    plan = seat(VIP, "n1")
    cores = Cores(("n1", "n2"))
    cores.start(plan, within_s=2.0)
    old = [a.payload for a in cores.happened("n1", Broadcast) if isinstance(a, Broadcast)][-1]
    cores.begin("n1", plan)
    cores.begin("n2", plan)
    cores.meet("n1", "n2")
    cores.run(1.5)
    return cores, old


def test_old_gossip_of_a_former_instance_does_not_displace_one_that_we_hear() -> None:
    """A third node that stood still passes on what it had heard before (seed 15 run 359)."""
    cores, old = restarted()
    assert knows(cores, "n2") == {"n1"}

    cores.cores["n2"].received("198.51.100.3", old, cores.now)
    cores._carry_out("n2")
    cores.run(3.0)

    assert knows(cores, "n2") == {"n1"}
    assert cores.cores["n2"].counters()["messages_of_former_instance"] == 1
    assert "n1" in cores.cores["n2"]._world.able


def test_an_instance_taken_for_a_former_one_is_believed_again_once_the_other_is_silent() -> None:
    cores, old = restarted()
    cores.is_lost = lambda source, target: source == "n1"
    cores.run(3.0)
    cores.cores["n2"].received("198.51.100.3", old, cores.now)
    cores._carry_out("n2")

    cores.is_lost = lambda source, target: False
    cores.run(3.0)

    assert knows(cores, "n2") == {"n1"}
    assert "n1" in cores.cores["n2"]._world.able


def test_a_push_pull_carries_the_whole_of_a_node() -> None:
    vips = [to_vip(bytes((10, 0, i // 256, i % 256))) for i in range(1000)]
    cores = Cores(("n1",))
    cores.start(*(seat(vip, "n1") for vip in vips))
    state = cores.cores["n1"].local_state(cores.now)
    assert isinstance(decode(state), State)
    other = Cores(("n2",))
    other.begin("n2", *(seat(vip, "n1", "n2") for vip in vips))

    other.cores["n2"].remote_state("198.51.100.1", state, other.now)
    other._carry_out("n2")
    other.run(0.4)

    assert knows(other, "n2") == {None}  # heard of, but no member: its claims do not hold
    other.cores["n2"].member_joined("n1", address_of("n1"), other.now, stentor=True)
    other._carry_out("n2")
    other.run(0.1)
    assert knows(other, "n2") == {"n1"}


@pytest.mark.parametrize("count", [1, 500])
def test_an_idle_pair_says_one_hello_a_second_each(count: int) -> None:
    vips = [to_vip(bytes((10, 0, i // 256, i % 256))) for i in range(count)]
    cores = Cores(("n1", "n2"))
    cores.start(*(seat(vip, "n1", "n2") for vip in vips), within_s=10.0)
    before = len(cores.happened("n1", Send))

    cores.run(20.0)

    assert 17 <= len(cores.happened("n1", Send)) - before <= 23
