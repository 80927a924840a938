"""
Any messages in any order, against the precedence of the rules written down a second time.

The model knows nothing of queues, timers or refutation: of each name it keeps what is believed,
and which message beats it.
"""

from random import Random

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from speaker.gossip.config import LAN, VERSIONS_METALLB
from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    IndirectPing,
    NackResp,
    NodeState,
    PacketMessage,
    Ping,
    PushNode,
    PushPull,
    Suspect,
    User,
)
from speaker.gossip.outputs import (
    Event,
    ExchangeState,
    MemberCleared,
    MemberJoined,
    MemberLeft,
    MemberSuspected,
    Output,
    PingOverStream,
    SendPacket,
)
from speaker.gossip.sizes import COMPOUND_HEADER_BYTES, COMPOUND_PART_BYTES, size_bytes
from tests.unit.speaker.gossip.ring import endpoint, make_swim

ME = "n1"
NAMES = ("n2", "n3", "n4", "n5")
SOURCE = endpoint("n2")
# Nobody is forgotten and nobody is asked: what is believed then depends on what is heard alone.
CONFIG = attrs.evolve(
    LAN, gossip_to_the_dead_time_s=1e12, probe_interval_s=1e8, push_pull_interval_s=0.0
)
ALIVE, SUSPECT, DEAD, LEFT = NodeState

names = st.sampled_from((*NAMES, ME))
incarnations = st.integers(0, 6)
senders = st.sampled_from((*NAMES, ME, "a stranger"))


def address(name: str) -> bytes:
    return bytes((192, 0, 2, int(name.removeprefix("n"))))


def alive(name: str, incarnation: int) -> Alive:
    return Alive(incarnation, name, address(name), 7946, None, VERSIONS_METALLB)


@attrs.define
class Belief:
    """What the model holds of one name; None is not known."""

    state: NodeState | None = None
    incarnation: int = 0

    def hear_alive(self, m: int) -> None:
        if m > self.incarnation:
            self.state, self.incarnation = ALIVE, m

    def hear_suspect(self, m: int) -> None:
        if self.state == ALIVE and m >= self.incarnation:
            self.state, self.incarnation = SUSPECT, m

    def hear_dead(self, m: int, *, is_goodbye: bool) -> None:
        if self.state in {ALIVE, SUSPECT} and m >= self.incarnation:
            self.state, self.incarnation = (LEFT if is_goodbye else DEAD), m


class Believing(RuleBasedStateMachine):
    """One node that hears anything, beside the model of what it must believe."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.swim = make_swim(ME, CONFIG, rng=Random(1))
        self.swim.start(self.now)
        self.model = {name: Belief() for name in NAMES}
        self.told_up: set[str] = set()
        self.told_suspected: set[str] = set()
        self.own_incarnation = 1

    @rule(name=names, m=incarnations)
    def hear_alive(self, name: str, m: int) -> None:
        self.hear(alive(name, m))
        if name != ME:
            self.model[name].hear_alive(m)

    @rule(name=names, m=incarnations, sender=senders)
    def hear_suspect(self, name: str, m: int, sender: str) -> None:
        self.hear(Suspect(m, name, sender))
        if name != ME:
            self.model[name].hear_suspect(m)

    @rule(name=names, m=incarnations, sender=senders)
    def hear_dead(self, name: str, m: int, sender: str) -> None:
        self.hear(Dead(m, name, sender))
        if name != ME:
            self.model[name].hear_dead(m, is_goodbye=name == sender)

    @rule(rows=st.lists(st.tuples(names, st.integers(0, 5), incarnations), max_size=5))
    def merge(self, rows: list[tuple[str, int, int]]) -> None:
        """From lists, dead is hearsay; an unknown state is nothing."""
        request = PushPull(
            False,
            tuple(
                PushNode(name, address(name), 7946, None, m, state, VERSIONS_METALLB)
                for name, state, m in rows
            ),
        )
        _, outputs = self.swim.push_pull_requested(request, SOURCE, self.now)
        self.check(outputs)
        for name, state, m in rows:
            belief = self.model.get(name)
            if belief is None:
                continue
            if state == ALIVE:
                belief.hear_alive(m)
            elif state in {SUSPECT, DEAD}:
                belief.hear_suspect(m)
            elif state == LEFT:
                belief.hear_dead(m, is_goodbye=True)

    @rule(
        message=st.one_of(
            st.builds(Ping, seq_no=st.integers(0, 9), node=names),
            st.builds(AckResp, seq_no=st.integers(0, 9)),
            st.builds(NackResp, seq_no=st.integers(0, 9)),
            st.builds(User, payload=st.binary(max_size=9)),
            st.builds(
                IndirectPing,
                seq_no=st.integers(0, 9),
                target=st.sampled_from([address("n3"), b"", b"\0\0\0\0"]),
                port=st.sampled_from([0, 7946]),
                node=names,
                nack=st.booleans(),
            ),
        )
    )
    def hear_something_else(self, message: PacketMessage) -> None:
        """Pings and their like change no belief."""
        self.hear(message)

    @rule(seconds=st.floats(0.0, 3.0))
    def wait(self, seconds: float) -> None:
        """Suspicions do not end yet: 4e8 s here."""
        self.now += seconds
        self.check(self.swim.tick(self.now))

    @rule()
    def give_the_suspects_up(self) -> None:
        """Let every suspicion run out, by waking at each wakeup as asked."""
        end = self.now + 5e9
        while self.told_suspected and self.now < end:
            self.now = max(self.now, self.swim.next_wakeup())
            self.check(self.swim.tick(self.now))
            self.silence()
        for belief in self.model.values():
            if belief.state == SUSPECT:
                belief.state = DEAD

    @rule(payload=st.binary(max_size=1300), key=st.sampled_from(["a", "b"]))
    def broadcast(self, payload: bytes, key: str) -> None:
        self.swim.broadcast_user(payload, key, self.now)

    @invariant()
    def it_believes_what_the_model_believes(self) -> None:
        seen = {name: self.swim.member(name) for name in NAMES}
        assert {
            name: (member.state, member.incarnation) for name, member in seen.items() if member
        } == {
            name: (belief.state, belief.incarnation)
            for name, belief in self.model.items()
            if belief.state is not None
        }

    @invariant()
    def it_has_told_what_it_believes(self) -> None:
        up = {member.name for member in self.swim.up} - {ME}
        assert up == self.told_up
        suspected = {member.name for member in self.swim.members if member.state == SUSPECT}
        assert suspected == self.told_suspected

    @invariant()
    def it_lives_and_never_goes_back(self) -> None:
        me = self.swim.member(ME)
        assert me is not None
        assert me.state == ALIVE
        assert me.incarnation >= self.own_incarnation
        self.own_incarnation = me.incarnation

    def hear(self, message: PacketMessage) -> None:
        self.check(self.swim.receive([message], SOURCE, self.now))

    def silence(self) -> None:
        """What probes asked of others stays unanswered; their accusations are the model's too."""
        for name in self.told_suspected:
            if self.model[name].state == ALIVE:
                self.model[name].state = SUSPECT

    def check(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case SendPacket():
                    parts = [COMPOUND_PART_BYTES + size_bytes(each) for each in output.messages]
                    assert len(parts) == 1 or sum(parts) + COMPOUND_HEADER_BYTES <= 1400 + 2
                    assert output.to != self.swim.endpoint or isinstance(
                        output.messages[0], AckResp | NackResp | Ping
                    )
                case ExchangeState() | PingOverStream():
                    assert output.to != self.swim.endpoint
                case _:
                    self.note(output)

    def note(self, event: Event) -> None:
        match event:
            case MemberJoined():
                assert event.member.name not in self.told_up, "joined twice"
                self.told_up.add(event.member.name)
            case MemberLeft():
                self.told_up.remove(event.member.name)
                self.told_suspected.discard(event.member.name)
            case MemberSuspected():
                assert event.member.name not in self.told_suspected, "suspected twice"
                self.told_suspected.add(event.member.name)
            case MemberCleared():
                self.told_suspected.remove(event.member.name)


Believing.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_messages_in_any_order = pytest.mark.slow(Believing.TestCase)
