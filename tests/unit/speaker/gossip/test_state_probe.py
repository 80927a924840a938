"""One probe step by step, and what a helper does for others."""

from typing import TypeVar

import attrs
import pytest

from speaker.gossip.config import LAN, VERSIONS_METALLB
from speaker.gossip.membership import Ignored
from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    IndirectPing,
    NackResp,
    PacketMessage,
    Ping,
    Suspect,
    User,
)
from speaker.gossip.outputs import MemberSuspected, Output, PingOverStream, SendPacket
from speaker.gossip.state import Swim
from tests.unit.speaker.gossip.ring import endpoint, make_swim

M = TypeVar("M", bound=PacketMessage)
NOW = 100.0
CONFIG = attrs.evolve(LAN, push_pull_interval_s=0.0)


def alive(name: str, vsn: bytes = VERSIONS_METALLB) -> Alive:
    number = int(name.removeprefix("n"))
    return Alive(1, name, bytes((192, 0, 2, number)), 7946, b"", vsn)


@attrs.define
class Bench:
    """Node n1 alone with its clock: others are what the test says they are."""

    swim: Swim
    now: float = NOW

    @classmethod
    def knowing(cls, *names: str, vsn: bytes = VERSIONS_METALLB) -> "Bench":
        swim = make_swim("n1", CONFIG)
        swim.start(NOW)
        swim.receive([alive(name, vsn) for name in names], endpoint("n2"), NOW)
        bench = cls(swim)
        bench.until_quiet()
        return bench

    def until_quiet(self) -> None:
        """Let the gossip about joins run out, well before the first probe."""
        for _ in range(100):
            if self.swim.next_wakeup() >= NOW + 1.0:
                return
            self.now = self.swim.next_wakeup()
            self.swim.tick(self.now)

    def wake(self) -> list[Output]:
        """Go on to the next moment at which the node wants to act."""
        self.now = self.swim.next_wakeup()
        return self.swim.tick(self.now)

    def probe(self) -> tuple[str, Ping, tuple[PacketMessage, ...]]:
        """Go on to the next probe: whom, the ping, and what goes with it."""
        while True:
            for output in self.wake():
                if isinstance(output, SendPacket) and isinstance(output.messages[0], Ping):
                    ping = output.messages[0]
                    return ping.node, ping, output.messages[1:]

    def hear(self, message: PacketMessage, source: str = "n2") -> list[Output]:
        return self.swim.receive([message], endpoint(source), self.now)


def packets(outputs: list[Output], kind: type[M]) -> dict[str, M]:
    """Which messages of a kind go to which host, as first of their datagram."""
    return {
        output.to[0]: output.messages[0]
        for output in outputs
        if isinstance(output, SendPacket) and isinstance(output.messages[0], kind)
    }


def test_a_ping_says_who_asks_and_whom() -> None:
    bench = Bench.knowing("n2")

    name, ping, rest = bench.probe()

    assert name == "n2"
    assert ping == Ping(ping.seq_no, "n2", bytes((192, 0, 2, 1)), 7946, "n1")
    assert rest == ()


def test_every_member_is_probed_once_before_any_twice() -> None:
    names = [f"n{number}" for number in range(2, 9)]
    bench = Bench.knowing(*names)

    rounds = []
    for _ in range(3 * len(names)):
        name, ping, _ = bench.probe()
        rounds.append(name)
        bench.hear(AckResp(ping.seq_no), name)

    by_round = [rounds[start : start + len(names)] for start in range(0, len(rounds), len(names))]
    assert [sorted(each) for each in by_round] == [names] * 3
    assert len({tuple(each) for each in by_round}) > 1  # and in another order each time


def test_an_unanswered_ping_asks_three_others_and_the_stream() -> None:
    bench = Bench.knowing("n2", "n3", "n4", "n5", "n6")
    name, ping, _ = bench.probe()
    began = bench.now

    outputs = bench.wake()

    assert bench.now == pytest.approx(began + CONFIG.probe_timeout_s)
    asked = packets(outputs, IndirectPing)
    assert len(asked) == 3
    assert endpoint(name)[0] not in asked
    for request in asked.values():
        assert (request.node, request.nack, request.seq_no) == (name, True, ping.seq_no)
    [stream] = [output for output in outputs if isinstance(output, PingOverStream)]
    assert (stream.to, stream.ping.seq_no) == (endpoint(name), ping.seq_no)
    assert stream.timeout_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("pmax", "nack_and_stream"), [(2, (False, 0)), (3, (False, 1)), (4, (True, 1))]
)
def test_old_members_are_asked_only_for_what_they_know(
    pmax: int, nack_and_stream: tuple[bool, int]
) -> None:
    bench = Bench.knowing("n2", "n3", vsn=bytes((1, pmax, 2, 0, 0, 0)))
    bench.probe()

    outputs = bench.wake()

    [request] = packets(outputs, IndirectPing).values()
    streams = [output for output in outputs if isinstance(output, PingOverStream)]
    assert (request.nack, len(streams)) == nack_and_stream


@pytest.mark.parametrize(
    ("nacks", "health"),
    [
        pytest.param(3, 0, id="all_helpers_are_well"),
        pytest.param(1, 2, id="two_nacks_are_missing"),
        pytest.param(0, 3, id="all_are_missing"),
    ],
)
def test_a_failed_probe_suspects_and_missing_nacks_are_our_fault(nacks: int, health: int) -> None:
    bench = Bench.knowing("n2", "n3", "n4", "n5")
    name, ping, _ = bench.probe()
    began = bench.now
    bench.wake()

    for _ in range(nacks):
        bench.hear(NackResp(ping.seq_no), "n3")
    outputs = bench.wake()

    assert bench.now == pytest.approx(began + CONFIG.probe_interval_s)
    assert bench.swim.health == health
    [event] = [output for output in outputs if isinstance(output, MemberSuspected)]
    assert (event.member.name, event.accuser) == (name, "n1")


def test_without_helpers_a_failed_probe_costs_one_point_and_the_next_waits_longer() -> None:
    bench = Bench.knowing("n2")
    bench.probe()
    bench.wake()
    bench.wake()
    assert bench.swim.health == 1

    bench.hear(Alive(9, "n2", bytes((192, 0, 2, 2)), 7946, b"", VERSIONS_METALLB))
    bench.probe()
    began = bench.now
    while not any(isinstance(output, MemberSuspected) for output in bench.wake()):
        pass

    assert bench.now == pytest.approx(began + 2 * CONFIG.probe_interval_s)


def test_a_good_probe_improves_our_health() -> None:
    bench = Bench.knowing("n2")
    bench.hear(Suspect(1, "n1", "n2"))
    assert bench.swim.health == 1

    _, ping, _ = bench.probe()
    bench.hear(AckResp(ping.seq_no))

    assert bench.swim.health == 0


def test_the_next_probe_follows_a_failed_one_at_once() -> None:
    """A tick that came while the probe ran is kept."""
    bench = Bench.knowing("n2", "n3")
    bench.hear(Suspect(1, "n1", "n2"))  # health 1: a probe may take 2 s
    first, _, _ = bench.probe()
    began = bench.now

    second, _, _ = bench.probe()

    assert {first, second} == {"n2", "n3"}
    assert bench.now == pytest.approx(began + 2 * CONFIG.probe_interval_s)


def test_a_late_or_relayed_ack_saves_the_target() -> None:
    bench = Bench.knowing("n2", "n3")
    name, ping, _ = bench.probe()
    bench.wake()

    bench.hear(AckResp(ping.seq_no), "n3")
    following, _, _ = bench.probe()

    assert following != name
    assert {member.state.name for member in bench.swim.members} == {"ALIVE"}


def test_an_answer_on_the_stream_saves_the_target_at_the_deadline() -> None:
    bench = Bench.knowing("n2", "n3")
    _, ping, _ = bench.probe()
    bench.wake()

    bench.swim.stream_acked(ping.seq_no, bench.now)
    outputs = bench.wake()

    assert not [output for output in outputs if isinstance(output, MemberSuspected)]
    assert {member.state.name for member in bench.swim.members} == {"ALIVE"}


def test_a_suspect_hears_it_with_its_ping() -> None:
    """The buddy system: it can refute at once."""
    bench = Bench.knowing("n2")
    bench.hear(Suspect(1, "n2", "n9"))

    _, _, rest = bench.probe()

    assert rest == (Suspect(1, "n2", "n1"),)


@pytest.mark.parametrize(
    ("node", "is_answered"), [("n1", True), ("", True), ("n2", False), ("N1", False)]
)
def test_a_ping_for_us_or_for_anybody_is_answered(node: str, is_answered: bool) -> None:
    bench = Bench.knowing("n2")

    acks = packets(bench.hear(Ping(77, node)), AckResp)
    on_stream = bench.swim.stream_pinged(Ping(77, node))

    assert acks == ({"192.0.2.2": AckResp(77)} if is_answered else {})
    assert on_stream == (AckResp(77) if is_answered else None)
    assert bench.swim.ignored.get(Ignored.NOT_FOR_US, 0) == (0 if is_answered else 2)


def test_an_ack_goes_where_the_ping_says() -> None:
    bench = Bench.knowing("n2")

    [output] = bench.hear(Ping(77, "n1", bytes((192, 0, 2, 50)), 5000, "n50"))

    assert isinstance(output, SendPacket)
    assert output.to == ("192.0.2.50", 5000)


def request(*, nack: bool) -> IndirectPing:
    return IndirectPing(
        seq_no=900,
        target=bytes((192, 0, 2, 3)),
        port=7946,
        node="n3",
        nack=nack,
        source_addr=bytes((192, 0, 2, 2)),
        source_port=7946,
        source_node="n2",
    )


def test_a_helper_passes_the_ack_on_under_the_askers_number() -> None:
    bench = Bench.knowing("n2", "n3")

    [ping] = packets(bench.hear(request(nack=True)), Ping).values()
    acks = packets(bench.hear(AckResp(ping.seq_no), "n3"), AckResp)

    assert ping.node == "n3"
    assert acks == {"192.0.2.2": AckResp(900)}


@pytest.mark.parametrize("nack", [True, False])
def test_a_helper_says_in_time_that_it_is_well_if_asked(nack: bool) -> None:
    """At 80 % of the probe timeout: memberlist's own comes after the asker's deadline."""
    bench = Bench.knowing("n2", "n3")
    began = bench.now
    bench.hear(request(nack=nack))

    nacks: dict[float, dict[str, NackResp]] = {}
    while bench.swim.next_wakeup() <= began + CONFIG.probe_timeout_s:
        outputs = bench.wake()
        if packets(outputs, NackResp):
            nacks[round(bench.now - began, 3)] = packets(outputs, NackResp)

    assert nacks == ({0.4: {"192.0.2.2": NackResp(900)}} if nack else {})


def test_an_ack_after_the_timeout_is_not_passed_on() -> None:
    bench = Bench.knowing("n2", "n3")
    [ping] = packets(bench.hear(request(nack=False)), Ping).values()

    bench.now += CONFIG.probe_timeout_s + 0.01
    bench.swim.tick(bench.now)
    outputs = bench.hear(AckResp(ping.seq_no), "n3")

    assert packets(outputs, AckResp) == {}


@pytest.mark.parametrize("message", [AckResp(4711), NackResp(4711)])
def test_an_answer_that_nobody_waits_for_is_counted(message: PacketMessage) -> None:
    bench = Bench.knowing("n2")

    assert bench.hear(message) == []
    assert bench.swim.ignored == {Ignored.UNEXPECTED: 1}


def test_forged_requests_for_help_are_bounded() -> None:
    bench = Bench.knowing("n2")

    for _ in range(1030):
        bench.hear(request(nack=True))

    assert bench.swim.ignored == {Ignored.TOO_MANY: 6}


def test_user_messages_ride_along_after_membership() -> None:
    bench = Bench.knowing("n2", "n3")
    bench.swim.broadcast_user(b"facts", "facts", bench.now)
    bench.swim.receive([alive("n4")], endpoint("n2"), bench.now)

    [output, *_] = bench.hear(Ping(1, "n1"))

    assert isinstance(output, SendPacket)
    assert output.messages == (AckResp(1), alive("n4"), User(b"facts"))


def test_a_user_broadcast_goes_out_at_once_to_some_and_again_at_each_gossip() -> None:
    bench = Bench.knowing("n2", "n3")
    bench.swim.broadcast_user(b"old", "facts", bench.now)
    bench.swim.broadcast_user(b"new", "facts", bench.now)
    asked = bench.now

    sent: list[tuple[float, PacketMessage]] = []
    while bench.swim.next_wakeup() < asked + 1.0:
        sent += [
            (round(bench.now - asked, 3), message)
            for output in bench.wake()
            if isinstance(output, SendPacket)
            for message in output.messages
        ]

    assert [message for _, message in sent] == [User(b"new")] * 4  # RetransmitMult, n < 10
    assert sent[0][0] <= 0.1 * CONFIG.gossip_interval_s


def test_a_user_message_to_a_member_is_one_datagram() -> None:
    bench = Bench.knowing("n2")

    assert bench.swim.send_user("n2", b"hello") == [
        SendPacket(endpoint("n2"), (User(b"hello"),), with_crc=True)
    ]
    assert bench.swim.send_user("nobody", b"hello") == []


def targets_of_gossip(bench: Bench) -> dict[str, bool]:
    """Which hosts hear a piece of news, and whether with a CRC."""
    bench.swim.broadcast_user(b"news", "news", bench.now)
    end, heard = bench.now + 1.0, {}
    while bench.swim.next_wakeup() < end:
        for output in bench.wake():
            if not isinstance(output, SendPacket) or isinstance(output.messages[0], Ping):
                continue  # news on a ping is not gossip
            if User(b"news") in output.messages:
                heard[output.to[0]] = output.with_crc
    return heard


def test_the_dead_are_gossiped_to_and_those_who_left_are_not() -> None:
    """A dead node that is not dead hears of it and refutes."""
    bench = Bench.knowing("n2", "n3", "n4")
    bench.hear(Dead(1, "n3", "n4"))
    bench.hear(Dead(1, "n4", "n4"))

    assert set(targets_of_gossip(bench)) == {"192.0.2.2", "192.0.2.3"}


@pytest.mark.parametrize(("pmax", "with_crc"), [(4, False), (5, True)])
def test_gossip_has_a_crc_for_those_who_know_it(pmax: int, with_crc: bool) -> None:
    bench = Bench.knowing("n2", vsn=bytes((1, pmax, 2, 0, 0, 0)))

    assert targets_of_gossip(bench) == {"192.0.2.2": with_crc}
