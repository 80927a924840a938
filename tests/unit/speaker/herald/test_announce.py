"""The schedule of announcements on virtual time."""

import itertools
from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.herald.announce import BACKOFF_S, Announcer, TokenBucket, frames_of
from speaker.herald.frames import Vip

VIP = IPv4Address("192.0.2.135")
START = 1000.0


def announcer(limit: float = 0.0, recency: dict[Vip, float] | None = None) -> Announcer:
    seen = recency or {}
    return Announcer(TokenBucket(limit), Random(7), lambda vip: seen.get(vip, 0.0))


def run(subject: Announcer, until: float, now: float = START) -> list[tuple[float, Vip]]:
    """Jump from one due time to the next; returns what was sent and when, from START."""
    sent: list[tuple[float, Vip]] = []
    while now <= until:
        sent.extend((now - START, vip) for vip in subject.due(now, at_most=64))
        following = subject.next_due(now)
        if following is None:
            break
        now = max(now, following)
    return sent


def test_a_vip_is_announced_at_once_and_then_backs_off() -> None:
    subject = announcer()

    subject.start(VIP, START, refresh_s=0)

    assert pytest.approx(BACKOFF_S) == [at for at, _ in run(subject, START + 100)]


def test_the_refresh_follows_with_jitter() -> None:
    subject = announcer()

    subject.start(VIP, START, refresh_s=60)
    times = [at for at, _ in run(subject, START + 600)][len(BACKOFF_S) - 1 :]

    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(54 <= gap <= 66 for gap in gaps)
    assert len(set(gaps)) == len(gaps) >= 8


def test_a_stopped_vip_is_silent_at_once() -> None:
    subject = announcer()
    subject.start(VIP, START, refresh_s=60)

    subject.stop(VIP)

    assert run(subject, START + 100) == []
    assert subject.next_due(START) is None


def test_a_new_take_over_begins_the_rounds_anew() -> None:
    subject = announcer()
    subject.start(VIP, START, refresh_s=0)
    run(subject, START + 0.2)

    subject.start(VIP, START + 0.3, refresh_s=0)

    again = [0.3 + offset for offset in BACKOFF_S]
    assert pytest.approx(again) == [at for at, _ in run(subject, START + 9, now=START + 0.3)]


def test_a_changed_lladdr_begins_the_rounds_of_all_anew() -> None:
    subject = announcer()
    vips = [IPv4Address(f"192.0.2.{n}") for n in range(3)]
    for vip in vips:
        subject.start(vip, START, refresh_s=0)
    run(subject, START + 50)

    subject.restart(START + 50)

    assert set(vips) == set(subject.due(START + 50, at_most=10))


def test_the_vip_with_the_most_recent_traffic_goes_first() -> None:
    vips = [IPv4Address(f"192.0.2.{n}") for n in range(6)]
    recency: dict[Vip, float] = {vip: float(n) for n, vip in enumerate(vips)}
    subject = announcer(recency=recency)
    for vip in vips:
        subject.start(vip, START, refresh_s=0)

    assert vips[::-1] == list(subject.due(START, at_most=6))


def test_every_vip_is_heard_once_before_any_is_heard_twice() -> None:
    vips = [IPv4Address(f"198.51.100.{n}") for n in range(200)]
    subject = announcer(limit=100.0)  # 50 VIPs a second: four seconds for one round
    for vip in vips:
        subject.start(vip, START, refresh_s=0)

    order = [vip for _, vip in run(subject, START + 4.5)]

    assert set(vips) == set(order[:200])


@given(
    limit=st.floats(min_value=20, max_value=5000),
    count=st.integers(min_value=1, max_value=80),
    v6=st.booleans(),
)
def test_no_second_carries_more_frames_than_the_limit_and_its_burst(
    limit: float, count: int, v6: bool
) -> None:
    subject = announcer(limit=limit)
    vips: list[Vip] = [
        IPv6Address(f"2001:db8::{n:x}") if v6 else IPv4Address(f"192.0.2.{n}") for n in range(count)
    ]
    for vip in vips:
        subject.start(vip, START, refresh_s=0)

    sent = [(at, frames_of(vip)) for at, vip in run(subject, START + 3)]

    for start, _ in sent:
        window = sum(n for at, n in sent if start <= at <= start + 1)
        assert window <= limit + subject.limit.capacity + 2


def test_a_turn_sends_no_more_than_asked() -> None:
    """The loop must come round for the lease and the ring between two batches."""
    subject = announcer()
    for n in range(100):
        subject.start(IPv4Address(f"192.0.2.{n}"), START, refresh_s=0)

    assert len(list(subject.due(START, at_most=10))) == 10
    assert subject.next_due(START) == START


def test_a_reminder_is_one_round_and_puts_the_refresh_off() -> None:
    subject = announcer()
    subject.start(VIP, START, refresh_s=60)
    run(subject, START + 10)

    subject.remind(VIP)

    later = [at for at, _ in run(subject, START + 100, now=START + 20)]
    assert [at for at in later if at < 70] == [20.0]
    assert 20 + 54 <= later[1] <= 20 + 66


def test_a_reminder_does_not_cut_the_first_rounds_short() -> None:
    subject = announcer()
    subject.start(VIP, START, refresh_s=0)
    first = [at for at, _ in run(subject, START + 0.1)]

    subject.remind(VIP)

    rest = [at for at, _ in run(subject, START + 100, now=START + 0.1)]
    assert pytest.approx(BACKOFF_S) == first + rest


def test_nobody_is_reminded_of_a_vip_that_is_not_announced() -> None:
    subject = announcer()

    subject.remind(VIP)

    assert subject.next_due(START) is None
