"""The rules of alive, suspect and dead, message by message (memberlist, state.go)."""

from collections.abc import Sequence
from typing import TypeVar

import attrs
import pytest

from speaker.gossip.config import LAN, VERSIONS_METALLB
from speaker.gossip.members import NODES_MAX
from speaker.gossip.membership import Ignored
from speaker.gossip.messages import (
    Alive,
    Dead,
    NodeState,
    PacketMessage,
    PushNode,
    PushPull,
    Suspect,
)
from speaker.gossip.outputs import (
    MemberCleared,
    MemberJoined,
    MemberLeft,
    MemberSuspected,
    MemberUpdated,
    MergeFailed,
    NameConflict,
    Output,
    SendPacket,
    StateReceived,
)
from speaker.gossip.state import Swim
from tests.unit.speaker.gossip.ring import endpoint, make_swim

T = TypeVar("T")
NOW = 100.0
SOURCE = ("192.0.2.9", 7946)
ADDR = bytes((192, 0, 2, 2))
# Only what is heard happens: no probe and no suspicion ends while a test lets time pass.
QUIET = attrs.evolve(LAN, probe_interval_s=1000.0, push_pull_interval_s=0.0)
ALIVE, SUSPECT, DEAD, LEFT = NodeState


def alive(incarnation: int, **changes: object) -> Alive:
    values: dict[str, object] = {
        "incarnation": incarnation,
        "node": "n2",
        "addr": ADDR,
        "port": 7946,
        "meta": b"",
        "vsn": VERSIONS_METALLB,
    }
    return Alive(**{**values, **changes})  # type: ignore[arg-type]  # a table of keywords


def suspect(incarnation: int, sender: str = "n3", node: str = "n2") -> Suspect:
    return Suspect(incarnation, node, sender)


def dead(incarnation: int, sender: str = "n3", node: str = "n2") -> Dead:
    return Dead(incarnation, node, sender)


def left(incarnation: int) -> Dead:
    return dead(incarnation, sender="n2")


def begin(*messages: PacketMessage) -> Swim:
    """A node n1 that has heard `messages`."""
    swim = make_swim("n1", QUIET)
    swim.start(NOW)
    swim.receive(messages, SOURCE, NOW)
    return swim


def hear(swim: Swim, *messages: PacketMessage, now: float = NOW) -> list[Output]:
    return swim.receive(messages, SOURCE, now)


def gossiped(swim: Swim, now: float = NOW) -> list[PacketMessage]:
    """All it spreads from now on, each once."""
    messages: dict[PacketMessage, None] = {}
    for _ in range(40):
        now += LAN.gossip_interval_s
        for output in swim.tick(now):
            if isinstance(output, SendPacket):
                messages.update(dict.fromkeys(output.messages))
    return list(messages)


def kinds(outputs: Sequence[Output]) -> list[type]:
    return [type(output) for output in outputs if not isinstance(output, SendPacket)]


def about(swim: Swim, node: str = "n2") -> tuple[NodeState, int] | None:
    member = swim.member(node)
    return None if member is None else (member.state, member.incarnation)


@pytest.mark.parametrize(
    ("heard", "message", "then", "told"),
    [
        pytest.param([], alive(1), (ALIVE, 1), [MemberJoined], id="unknown_alive_joins"),
        pytest.param([], alive(0), None, [], id="unknown_alive_of_incarnation_0_does_not"),
        pytest.param([], suspect(1), None, [], id="unknown_suspect_is_nobody"),
        pytest.param([], dead(1), None, [], id="unknown_dead_is_nobody"),
        pytest.param([alive(3)], alive(2), (ALIVE, 3), [], id="older_alive_is_old_news"),
        pytest.param([alive(3)], alive(3, meta=b"x"), (ALIVE, 3), [], id="same_alive_is_old_news"),
        pytest.param([alive(3)], alive(4), (ALIVE, 4), [], id="newer_alive_counts_up"),
        pytest.param(
            [alive(3)], alive(4, meta=b"x"), (ALIVE, 4), [MemberUpdated], id="new_meta_is_told"
        ),
        pytest.param([alive(3)], suspect(2), (ALIVE, 3), [], id="older_suspect_is_old_news"),
        pytest.param([alive(3)], suspect(3), (SUSPECT, 3), [MemberSuspected], id="same_suspect"),
        pytest.param([alive(3)], suspect(5), (SUSPECT, 5), [MemberSuspected], id="newer_suspect"),
        pytest.param([alive(3)], dead(2), (ALIVE, 3), [], id="older_dead_is_old_news"),
        pytest.param([alive(3)], dead(3), (DEAD, 3), [MemberLeft], id="one_dead_is_believed"),
        pytest.param([alive(3)], dead(7), (DEAD, 7), [MemberLeft], id="newer_dead_is_believed"),
        pytest.param([alive(3)], left(3), (LEFT, 3), [MemberLeft], id="own_dead_is_a_goodbye"),
        pytest.param(
            [alive(3), suspect(3)], alive(3), (SUSPECT, 3), [], id="suspect_beats_same_alive"
        ),
        pytest.param(
            [alive(3), suspect(3)], alive(4), (ALIVE, 4), [MemberCleared], id="newer_alive_clears"
        ),
        pytest.param(
            [alive(3), suspect(3)], dead(3), (DEAD, 3), [MemberLeft], id="dead_beats_suspect"
        ),
        pytest.param([alive(3), dead(3)], alive(3), (DEAD, 3), [], id="dead_beats_same_alive"),
        pytest.param(
            [alive(3), dead(3)], alive(4), (ALIVE, 4), [MemberJoined], id="newer_alive_resurrects"
        ),
        pytest.param([alive(3), dead(3)], suspect(9), (DEAD, 3), [], id="the_dead_are_no_suspects"),
        pytest.param([alive(3), dead(3)], dead(9), (DEAD, 3), [], id="nobody_dies_twice"),
        pytest.param([alive(3), dead(3)], left(9), (DEAD, 3), [], id="the_dead_do_not_leave"),
    ],
)
def test_a_message_about_another(
    heard: list[PacketMessage],
    message: PacketMessage,
    then: tuple[NodeState, int] | None,
    told: list[type],
) -> None:
    swim = begin(*heard)

    outputs = hear(swim, message)

    assert about(swim) == then
    assert kinds(outputs) == told


def test_the_changes_of_state_are_those_of_the_diagram() -> None:
    """The diagram at the head of membership.py: LEFT is a DEAD that said so itself."""
    histories: dict[NodeState, list[PacketMessage]] = {
        ALIVE: [],
        SUSPECT: [suspect(3)],
        DEAD: [dead(3)],
        LEFT: [left(3)],
    }
    news: list[PacketMessage] = [
        alive(4),
        suspect(4),
        dead(4),
        left(4),
        alive(3),
        suspect(3),
        dead(3),
        left(3),
    ]

    edges = set()
    for before, history in histories.items():
        for message in news:
            swim = begin(alive(3), *history)
            hear(swim, message)
            after = about(swim)
            assert after is not None
            edges |= {(before, after[0])} - {(before, before)}

    assert edges == {
        (ALIVE, SUSPECT),
        (ALIVE, DEAD),
        (ALIVE, LEFT),
        (SUSPECT, ALIVE),
        (SUSPECT, DEAD),
        (SUSPECT, LEFT),
        (DEAD, ALIVE),
        (LEFT, ALIVE),
    }


@pytest.mark.parametrize(
    ("accusation", "incarnation"),
    [
        pytest.param(suspect(1, node="n1"), 2, id="suspect"),
        pytest.param(dead(1, node="n1"), 2, id="dead"),
        pytest.param(dead(10, node="n1"), 11, id="dead_of_the_future"),
        pytest.param(dead(1, node="n1", sender="n1"), 2, id="a_goodbye_we_never_said"),
        pytest.param(
            alive(50, node="n1", addr=bytes((192, 0, 2, 1))), 51, id="alive_of_the_future"
        ),
        pytest.param(
            alive(1, node="n1", addr=bytes((192, 0, 2, 1)), meta=b"old"), 2, id="our_other_self"
        ),
    ],
)
def test_what_is_wrong_about_us_is_refuted(accusation: PacketMessage, incarnation: int) -> None:
    swim = begin(alive(1))
    health = swim.health

    outputs = hear(swim, accusation)

    assert about(swim, "n1") == (ALIVE, incarnation)
    assert swim.health == health + 1
    assert kinds(outputs) == []
    said = [message for message in gossiped(swim) if isinstance(message, Alive)]
    assert incarnation in {message.incarnation for message in said if message.node == "n1"}


def test_a_refutation_does_not_wait_for_the_next_gossip() -> None:
    swim = begin(alive(1))
    gossiped(swim)

    outputs = hear(swim, suspect(1, node="n1"), now=NOW + 50.0)

    packets = [output for output in outputs if isinstance(output, SendPacket)]
    assert [packet.to for packet in packets] == [endpoint("n2")]


def test_a_refutation_that_nobody_heard_is_said_again_when_the_accusation_is() -> None:
    """An accuser that missed it goes on accusing the old incarnation, and counts down."""
    swim = begin(alive(1))
    hear(swim, suspect(1, node="n1"))
    gossiped(swim)
    later = NOW + 200.0

    hear(swim, suspect(1, node="n1"), now=later)

    assert about(swim, "n1") == (ALIVE, 2)
    said = [message for message in gossiped(swim, later) if isinstance(message, Alive)]
    assert {message.incarnation for message in said if message.node == "n1"} == {2}


@pytest.mark.parametrize("message", [alive(1, node="n1", addr=b"\xc0\0\2\1")])
def test_what_is_old_or_right_about_us_is_not_answered(message: PacketMessage) -> None:
    swim = begin(alive(1))

    hear(swim, message)

    assert about(swim, "n1") == (ALIVE, 1)


def test_an_accusation_of_the_last_incarnation_does_not_overflow() -> None:
    swim = begin(alive(1))

    hear(swim, dead(0xFFFF_FFFF, node="n1"))

    assert about(swim, "n1") == (ALIVE, 0xFFFF_FFFF)


def test_after_our_goodbye_we_stay_gone() -> None:
    swim = begin(alive(1))
    swim.leave(NOW)

    hear(swim, alive(9, node="n1", addr=b"\xc0\0\2\1"), suspect(9, node="n1"), dead(9, node="n1"))

    assert about(swim, "n1") == (LEFT, 1)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(alive(4), id="alive"),
        pytest.param(suspect(3), id="suspect"),
        pytest.param(dead(3), id="dead"),
        pytest.param(left(3), id="left"),
    ],
)
def test_what_changes_something_is_passed_on_as_it_came(message: PacketMessage) -> None:
    swim = begin(alive(1, node="n3", addr=bytes((192, 0, 2, 3))), alive(3))

    hear(swim, message)

    assert message in gossiped(swim)


@pytest.mark.parametrize("message", [alive(3), suspect(2), dead(2)])
def test_old_news_is_not_passed_on(message: PacketMessage) -> None:
    swim = begin(alive(1, node="n3", addr=bytes((192, 0, 2, 3))), alive(3))
    gossiped(swim)

    hear(swim, message, now=NOW + 50.0)

    assert gossiped(swim, NOW + 50.0) == []


@pytest.mark.parametrize(
    ("heard", "then", "told"),
    [
        pytest.param([], (ALIVE, 3), [NameConflict], id="alive_keeps_its_address"),
        pytest.param([suspect(3)], (SUSPECT, 3), [NameConflict], id="so_does_a_suspect"),
        pytest.param([dead(3)], (DEAD, 3), [NameConflict], id="so_do_the_dead"),
        pytest.param([left(3)], (ALIVE, 2), [MemberJoined], id="who_left_may_move_at_any_number"),
    ],
)
def test_a_known_name_on_another_address(
    heard: list[PacketMessage], then: tuple[NodeState, int], told: list[type]
) -> None:
    swim = begin(alive(3), *heard)

    outputs = hear(swim, alive(2, addr=bytes((192, 0, 2, 77))))

    assert about(swim) == then
    assert kinds(outputs) == told


def test_the_dead_give_their_address_up_after_the_reclaim_time() -> None:
    swim = make_swim("n1", attrs.evolve(QUIET, dead_node_reclaim_time_s=5.0))
    swim.start(NOW)
    hear(swim, alive(3), dead(3))

    hear(swim, alive(4, addr=bytes((192, 0, 2, 77))), now=NOW + 4.0)
    assert about(swim) == (DEAD, 3)

    hear(swim, alive(4, addr=bytes((192, 0, 2, 77))), now=NOW + 6.0)
    assert about(swim) == (ALIVE, 4)
    assert swim.member_at(("192.0.2.77", 7946)) == swim.member("n2")
    assert swim.member_at(endpoint("n2")) is None


def test_the_mapped_form_of_an_address_is_another_address() -> None:
    """Go compares the raw bytes; so we do, and pass them on as they came."""
    mapped = bytes(10) + b"\xff\xff" + ADDR
    swim = begin(alive(3))

    outputs = hear(swim, alive(4, addr=mapped))
    other = begin(alive(3, addr=mapped))

    assert kinds(outputs) == [NameConflict]
    member = other.member("n2")
    assert member is not None
    assert member.endpoint == endpoint("n2")
    assert {row.addr for row in state_of(other).nodes if row.name == "n2"} == {mapped}


@pytest.mark.parametrize(
    ("message", "why"),
    [
        pytest.param(alive(1, vsn=b""), Ignored.BAD_VERSIONS, id="no_versions"),
        pytest.param(alive(1, vsn=b"\1\5\2"), Ignored.BAD_VERSIONS, id="3_versions_crash_go_0_5_1"),
        pytest.param(alive(1, vsn=b"\0\5\2\0\0\0"), Ignored.BAD_VERSIONS, id="pmin_0"),
        pytest.param(alive(1, vsn=b"\5\1\2\0\0\0"), Ignored.BAD_VERSIONS, id="pmin_over_pmax"),
        pytest.param(alive(1, addr=b"\1\2\3"), Ignored.BAD_ADDRESS, id="3_bytes_of_address"),
        pytest.param(alive(1, addr=bytes(4)), Ignored.BAD_ADDRESS, id="unspecified_address"),
        pytest.param(alive(1, addr=b"\xe0\0\0\1"), Ignored.BAD_ADDRESS, id="multicast_address"),
        pytest.param(alive(1, meta=bytes(513)), Ignored.META_TOO_LARGE, id="513_bytes_of_meta"),
        pytest.param(alive(1, node=""), Ignored.BAD_NAME, id="no_name"),
        pytest.param(alive(1, node="ä" * 128), Ignored.BAD_NAME, id="256_bytes_of_name"),
    ],
)
def test_an_alive_that_makes_no_sense_is_ignored_and_counted(message: Alive, why: Ignored) -> None:
    swim = begin()

    outputs = hear(swim, message)

    assert (kinds(outputs), swim.ignored) == ([], {why: 1})
    assert [member.name for member in swim.members] == ["n1"]


def test_port_0_means_our_own_port() -> None:
    swim = begin(alive(1, port=0))

    assert swim.member_at(endpoint("n2")) == swim.member("n2")


def test_forged_names_fill_the_list_only_so_far() -> None:
    swim = begin()

    hear(swim, *(alive(1, node=f"x{number}") for number in range(NODES_MAX + 10)))

    assert len(swim.members) == NODES_MAX
    assert swim.ignored == {Ignored.LIST_FULL: 11}


def test_an_accusation_too_long_for_a_datagram_is_not_passed_on() -> None:
    """An accuser's name may have 64 kB; it must not stay in the queue for ever."""
    swim = begin(alive(1))
    gossiped(swim)

    hear(swim, suspect(1, sender="x" * 2000), now=NOW + 20.0)

    assert about(swim) == (SUSPECT, 1)
    assert gossiped(swim, NOW + 20.0) == []
    assert swim.next_wakeup() > NOW + 100.0  # nothing waits to be gossiped


def state_of(swim: Swim) -> PushPull:
    reply, _ = swim.push_pull_requested(PushPull(False, ()), SOURCE, NOW)
    return reply


def row(
    state: int, incarnation: int = 3, name: str = "n2", vsn: bytes = VERSIONS_METALLB
) -> PushNode:
    return PushNode(
        name=name, addr=ADDR, port=7946, meta=b"", incarnation=incarnation, state=state, vsn=vsn
    )


@pytest.mark.parametrize(
    ("rows", "then", "told"),
    [
        pytest.param([row(ALIVE, 4)], (ALIVE, 4), [], id="alive"),
        pytest.param([row(SUSPECT)], (SUSPECT, 3), [MemberSuspected], id="suspect"),
        pytest.param([row(DEAD)], (SUSPECT, 3), [MemberSuspected], id="dead_is_hearsay"),
        pytest.param([row(LEFT)], (LEFT, 3), [MemberLeft], id="left"),
        pytest.param([row(7)], (ALIVE, 3), [], id="a_state_of_the_future"),
    ],
)
def test_a_row_of_a_push_pull(
    rows: list[PushNode], then: tuple[NodeState, int], told: list[type]
) -> None:
    swim = begin(alive(3))

    _, outputs = swim.push_pull_requested(PushPull(False, tuple(rows)), SOURCE, NOW)

    assert about(swim) == then
    assert kinds(outputs) == told
    assert [event.accuser for event in outputs if isinstance(event, MemberSuspected)] in (
        [],
        ["n1"],
    )


def test_the_reply_to_a_push_pull_is_our_state_before_the_merge() -> None:
    swim = begin()

    reply, _ = swim.push_pull_requested(PushPull(True, (row(ALIVE),)), SOURCE, NOW)

    assert reply.join
    assert [each.name for each in reply.nodes] == ["n1"]
    assert about(swim) == (ALIVE, 3)


def test_user_state_goes_both_ways_after_the_members() -> None:
    swim = make_swim("n1", QUIET, local_state=lambda is_join: b"join" if is_join else b"again")
    swim.start(NOW)
    request = PushPull(True, (row(ALIVE),), b"theirs")

    reply, outputs = swim.push_pull_requested(request, SOURCE, NOW)

    assert reply.user_state == b"join"
    assert kinds(outputs) == [MemberJoined, StateReceived]
    assert outputs[-1] == StateReceived(b"theirs", SOURCE, is_join=True)


@pytest.mark.parametrize(
    ("vsn", "is_accepted"),
    [
        # offered to a ring of 1,5,2,0,0,0, as measured with memberlist 0.5.1
        ((1, 5, 2, 0, 0, 0), True),
        ((1, 5, 1, 0, 0, 0), True),
        ((1, 5, 5, 0, 0, 0), True),
        ((2, 5, 2, 0, 0, 0), True),
        ((1, 2, 2, 0, 0, 0), True),
        ((1, 6, 2, 0, 0, 0), True),
        ((1, 5, 2, 0, 5, 0), True),
        ((1, 5, 6, 0, 0, 0), False),
        ((1, 5, 0, 0, 0, 0), False),
        ((3, 5, 3, 0, 0, 0), False),
        ((3, 5, 2, 0, 0, 0), False),
        ((1, 1, 1, 0, 0, 0), False),
        ((0, 5, 2, 0, 0, 0), False),
        ((1, 5, 2, 0, 5, 1), False),
        ((1, 5, 2, 2, 5, 4), False),
        ((), False),
        ((1, 5, 2), False),
    ],
)
def test_versions_offered_in_a_push_pull(vsn: tuple[int, ...], is_accepted: bool) -> None:
    swim = begin()

    _, outputs = swim.push_pull_requested(
        PushPull(True, (row(ALIVE, vsn=bytes(vsn)),)), SOURCE, NOW
    )

    assert (about(swim) is not None) == is_accepted
    # pmin 0 is refused by the rule of alive, not by that of the merge
    assert is_accepted or vsn[:1] == (0,) or kinds(outputs) == [MergeFailed]


def test_one_bad_version_among_many_spoils_the_merge_and_is_named() -> None:
    swim = begin()
    rows = (row(ALIVE), row(DEAD, name="old", vsn=bytes((1, 5, 9, 0, 0, 0))))

    _, outputs = swim.push_pull_requested(PushPull(True, rows), SOURCE, NOW)

    assert outputs == [
        MergeFailed(SOURCE, True, "remote node old: protocol version 9, the ring needs 1 to 5")
    ]
    assert about(swim) is None
