"""How long a suspicion runs, how often news is sent, and what fits: the tables of memberlist."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.gossip.awareness import Awareness
from speaker.gossip.broadcast import BroadcastQueue, retransmit_limit
from speaker.gossip.codec import encode_message
from speaker.gossip.config import LAN, LOCAL, WAN, GossipConfig
from speaker.gossip.errors import ConfigError
from speaker.gossip.exchange import push_pull_interval_s
from speaker.gossip.messages import PacketMessage, User
from speaker.gossip.sizes import COMPOUND_PART_BYTES, size_bytes
from speaker.gossip.suspicion import Suspicion
from tests.unit.speaker.gossip.values import packet_messages


@pytest.mark.parametrize(
    ("config", "n", "expected", "timeouts_s"),
    [
        # timeouts with 0, 1, ... further accusers
        pytest.param(LAN, 2, 0, [4.0], id="lan_2"),
        pytest.param(LAN, 3, 0, [4.0], id="lan_3"),
        pytest.param(LAN, 4, 2, [24.0, 11.381, 4.0], id="lan_4"),
        pytest.param(LAN, 10, 2, [24.0, 11.381, 4.0], id="lan_10"),
        pytest.param(LAN, 30, 2, [35.448, 16.81, 5.908], id="lan_30"),
        pytest.param(LAN, 100, 2, [48.0, 22.762, 8.0], id="lan_100"),
        pytest.param(LAN, 1000, 2, [72.0, 34.144, 12.0], id="lan_1000"),
        pytest.param(WAN, 5, 0, [30.0], id="wan_5"),
        pytest.param(WAN, 6, 4, [180.0, 115.398, 77.609, 50.797, 30.0], id="wan_6"),
        pytest.param(LOCAL, 2, 0, [3.0], id="local_2"),
        pytest.param(LOCAL, 3, 1, [18.0, 3.0], id="local_3"),
    ],
)
def test_a_suspicion_shortens_with_each_accuser(
    config: GossipConfig, n: int, expected: int, timeouts_s: list[float]
) -> None:
    suspicion = Suspicion.begin("first", config, n, now=0.0)

    seen = [suspicion.timeout_s]
    while suspicion.confirm(f"accuser {len(seen)}"):
        seen.append(suspicion.timeout_s)

    assert suspicion.expected == expected
    assert seen == pytest.approx(timeouts_s, abs=0.0015)


def test_nobody_counts_twice_as_an_accuser() -> None:
    suspicion = Suspicion.begin("first", LAN, 10, now=0.0)

    assert not suspicion.confirm("first")
    assert suspicion.confirm("second")
    assert not suspicion.confirm("second")


@pytest.mark.parametrize(
    ("n", "limit"), [(1, 4), (9, 4), (10, 8), (99, 8), (100, 12), (999, 12), (1000, 16)]
)
def test_news_is_sent_so_often(n: int, limit: int) -> None:
    assert retransmit_limit(LAN.retransmit_mult, n) == limit


@pytest.mark.parametrize(
    ("n", "times"), [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (129, 4), (1000, 6)]
)
def test_push_pull_is_rarer_in_a_large_ring(n: int, times: int) -> None:
    assert push_pull_interval_s(LAN, n) == times * LAN.push_pull_interval_s


def test_health_stays_in_its_bounds_and_stretches_the_probe() -> None:
    awareness = Awareness(LAN.awareness_max_multiplier)

    awareness.apply(-3)
    assert awareness.stretch(1.0) == 1.0

    awareness.apply(20)
    assert awareness.score == 7
    assert awareness.stretch(1.0) == 8.0


@given(packet_messages)
def test_the_size_of_a_message_is_that_of_its_bytes(message: PacketMessage) -> None:
    assert size_bytes(message) == len(encode_message(message))


def users(*sizes: int) -> list[User]:
    return [User(bytes((index,)) * (size - 1)) for index, size in enumerate(sizes)]


def test_the_least_sent_then_the_largest_then_the_newest_goes_first() -> None:
    queue = BroadcastQueue(largest_bytes=1000)
    sent, small, old, new = users(300, 100, 200, 200)
    queue.put("sent", sent)
    queue.take(1000, limit=4)
    for key, message in (("small", small), ("old", old), ("new", new)):
        queue.put(key, message)

    taken = [broadcast.message for broadcast in queue.take(5000, limit=4)]

    assert taken == [new, old, small, sent]


def test_what_does_not_fit_is_passed_over_for_smaller_ones() -> None:
    queue = BroadcastQueue(largest_bytes=1000)
    large, small = users(500, 100)
    queue.put("large", large)
    queue.put("small", small)

    taken = [broadcast.message for broadcast in queue.take(400, limit=4)]

    assert taken == [small]
    assert "large" in queue


def test_newer_news_about_one_node_replaces_the_older_and_starts_counting_anew() -> None:
    queue = BroadcastQueue(largest_bytes=1000)
    older, newer = users(100, 100)
    queue.put("n1", older)
    queue.take(1000, limit=2)
    queue.put("n1", newer)

    taken = [queue.take(1000, limit=2) for _ in range(3)]

    assert [[each.message for each in once] for once in taken] == [[newer], [newer], []]


@given(
    sizes=st.lists(st.integers(2, 400), max_size=30),
    budget=st.integers(402, 1500),
    limit=st.integers(1, 5),
)
def test_each_broadcast_is_sent_exactly_to_its_limit_and_no_datagram_overflows(
    sizes: list[int], budget: int, limit: int
) -> None:
    queue = BroadcastQueue(largest_bytes=1000)
    for key, message in enumerate(users(*sizes)):
        queue.put(str(key), message)

    sent: dict[PacketMessage, int] = {}
    while queue:
        taken = queue.take(budget, limit)
        assert taken
        assert sum(each.size_bytes + COMPOUND_PART_BYTES for each in taken) <= budget
        for each in taken:
            sent[each.message] = sent.get(each.message, 0) + 1

    assert list(sent.values()) == [limit] * len(sizes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probe_interval_s": 0.0}, "probe_interval_s 0.0, need more than 0"),
        ({"gossip_nodes": -1}, "gossip_nodes -1, need 0 or more"),
        ({"probe_timeout_s": 2.0}, "probe_timeout_s 2.0, need at most probe_interval_s 1.0"),
    ],
)
def test_a_number_out_of_range_is_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        attrs.evolve(LAN, **changes)  # type: ignore[arg-type]  # a table of keywords
