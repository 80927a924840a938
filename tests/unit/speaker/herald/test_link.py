"""Messages of the link: round trips, and octets that are none."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.herald import link
from speaker.herald.errors import DecodeError

TEXTS = st.text(max_size=20)
VIPS = st.builds(
    link.PlannedVip,
    vip=TEXTS,
    candidates=st.lists(TEXTS, max_size=4).map(tuple),
    interfaces=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    failback=st.booleans(),
    refresh_s=st.floats(min_value=0, max_value=1e6),
    services=st.lists(TEXTS, max_size=2).map(tuple),
)
PLANS = st.builds(
    link.Plan,
    generation=st.integers(0, 1 << 62),
    node=TEXTS,
    vips=st.lists(VIPS, max_size=4).map(tuple),
    nodes=st.lists(TEXTS, max_size=3).map(tuple),
    join=st.lists(TEXTS, max_size=3).map(tuple),
)


def body(message: link.FromClient | link.FromHerald) -> bytes:
    frame = link.encode(message)
    assert link.body_size(frame[: link.HEADER.size]) == len(frame) - link.HEADER.size
    return frame[link.HEADER.size :]


def test_vips_alike_share_their_candidates() -> None:
    alike = [
        link.PlannedVip(vip=f"192.0.2.{n}", candidates=("n1", "n2"), interfaces=("eth0",))
        for n in range(2)
    ]
    other = link.PlannedVip(vip="192.0.2.9", candidates=("n2", "n1"))
    plan = link.Plan(1, "n1", (*alike, other))

    for read in (link.decode_from_client(body(plan)), link.decode_plan(link.encode_plan(plan))):
        assert isinstance(read, link.Plan)
        first, second, third = read.vips
        assert first.candidates is second.candidates
        assert first.interfaces is second.interfaces
        assert first.candidates[0] is third.candidates[1]


@given(PLANS)
def test_a_plan_survives_the_link_and_the_disk(plan: link.Plan) -> None:
    assert plan == link.decode_from_client(body(plan))
    assert plan == link.decode_plan(link.encode_plan(plan))


@pytest.mark.parametrize(
    "message",
    [
        link.Hello("agent", pid=7),
        link.Heartbeat(),
        link.AskCounters(),
    ],
)
def test_messages_of_a_client_survive_the_link(message: link.FromClient) -> None:
    assert message == link.decode_from_client(body(message))


@pytest.mark.parametrize(
    "message",
    [
        link.View("n1", 1, 2, started=True, agent_silent=False),
        link.Counters((link.VipCounters("192.0.2.1", requests=3),), {"arp": 1}, {"late": 2}),
        link.Refused("no"),
    ],
)
def test_messages_of_a_herald_survive_the_link(message: link.FromHerald) -> None:
    assert message == link.decode_from_herald(body(message))


@given(st.binary(max_size=200))
def test_arbitrary_octets_raise_decode_errors_and_nothing_else(octets: bytes) -> None:
    for decode in (link.decode_from_client, link.decode_from_herald, link.decode_plan):
        with pytest.raises(DecodeError):
            decode(octets)


@given(PLANS, st.data())
def test_a_plan_cut_short_is_refused(plan: link.Plan, data: st.DataObject) -> None:
    whole = link.encode_plan(plan)
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(DecodeError):
        link.decode_plan(whole[:cut])


def test_an_agent_cannot_say_what_a_herald_says() -> None:
    with pytest.raises(DecodeError):
        link.decode_from_client(body(link.Refused("no")))


@pytest.mark.parametrize("size", [0, link.MAX_BODY_BYTES + 1, 0xFFFFFFFF])
def test_a_frame_of_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(DecodeError, match=str(size)):
        link.body_size(link.HEADER.pack(size))


def test_a_body_nested_without_end_is_refused() -> None:
    nested = b"\x81\xa4type" + b"\x91" * 100_000

    with pytest.raises(DecodeError):
        link.decode_from_client(nested)


def test_a_later_version_may_add_fields() -> None:
    """Agent and herald of one pod may be of two versions for the length of a restart."""
    extended = msgspec.msgpack.encode({"type": "Heartbeat", "mood": "good"})

    assert link.Heartbeat() == link.decode_from_client(extended)
