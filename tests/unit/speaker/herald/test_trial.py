"""Trials of native XDP: one at a time, proven by beats, given up in time, not soon again."""

from collections.abc import Callable
from hashlib import sha256

import attrs
import pytest

from speaker.dataplane import HeardBeat
from speaker.herald.trial import (
    ANNOUNCE_S,
    EDGES,
    LINGER_S,
    PROOF,
    RETRY_MAX_S,
    RETRY_S,
    TRY_S,
    Phase,
    Seen,
    Step,
    Trial,
)

LOW, HIGH = sorted(("n1", "n2"), key=lambda name: sha256(name.encode()).digest())
TICK_S = 0.025
ETH0 = 7


def beat(number: int, sender: int = 5, *, hears: bool = True) -> HeardBeat:
    return HeardBeat(
        sender=sender, cell=0, heard_ns=1, sent_ns=number, lladdr=bytes(6), has_witness=True,
        claims=False, hears=hears,
    )  # fmt: skip


@attrs.define
class Node:
    """A trial on virtual time, and what happens around it."""

    trial: Trial
    now: float = 100.0
    others: set[str] = attrs.field(factory=set)
    hears: Callable[["Node"], bool] = lambda _: True
    candidates: list[int] = attrs.field(factory=lambda: [ETH0])
    steps: list[Step] = attrs.field(factory=list)
    edges: set[tuple[Phase, Phase]] = attrs.field(factory=set)

    def run(self, for_s: float) -> list[Step]:
        """The steps of so long a time."""
        self.steps.clear()
        end = self.now + for_s
        while self.now < end:
            self.now += TICK_S
            before = self.trial.phase
            if before is Phase.IDLE and not self.trial.consider(self.candidates, self.now):
                continue
            heard = [beat(int(self.now * 1e9), hears=self.hears(self))]
            step = self.trial.tick(Seen(self.candidates, self.others, heard), self.now)
            if self.trial.phase is not before:
                self.edges.add((before, self.trial.phase))
            if step is not None:
                self.steps.append(step)
                self.do(step)
        return list(self.steps)

    def do(self, step: Step) -> None:
        before = self.trial.phase
        match step:
            case Step.BEGIN:
                self.trial.begun(self.now)
                return
            case Step.PROVE:
                self.trial.proven(self.now)
                self.candidates = []
            case Step.GIVE_UP:
                self.trial.failed(self.now)
        self.edges.add((before, self.trial.phase))


def node(name: str = LOW) -> Node:
    return Node(Trial(name))


def test_a_node_that_peers_hear_is_tried_and_proven() -> None:
    it = node()

    assert it.run(ANNOUNCE_S + 1) == [Step.BEGIN, Step.PROVE]
    assert it.run(60) == []


def test_a_node_whom_nobody_hears_stays_as_it_is() -> None:
    """Alone, or where beats are off: there is nobody to prove it."""
    it = node()
    it.hears = lambda _: False

    assert it.run(60) == []
    assert not it.trial.is_announced


def test_a_trial_that_nobody_confirms_is_given_up_in_time_and_not_soon_repeated() -> None:
    it = node()
    it.hears = lambda it: it.trial.phase is not Phase.TRYING

    assert it.run(ANNOUNCE_S + TRY_S + LINGER_S + 0.5) == [Step.BEGIN, Step.GIVE_UP]
    assert it.run(RETRY_S - 10) == []
    assert it.run(ANNOUNCE_S + TRY_S + 20) == [Step.BEGIN, Step.GIVE_UP]
    assert it.run(2 * RETRY_S - 10) == []


def test_the_back_off_has_an_end() -> None:
    it = node()
    for _ in range(20):
        it.trial.phase = Phase.TRYING
        it.trial.ifindex = ETH0
        it.trial.failed(0.0)
        it.trial.phase = Phase.IDLE

    assert not it.trial.consider([ETH0], RETRY_MAX_S - 1)
    assert it.trial.consider([ETH0], RETRY_MAX_S + 1)


def test_beats_that_tell_of_the_time_before_prove_nothing() -> None:
    """A beat may say "heard" of a reflection as old as two beats."""
    it = node()
    it.hears = lambda it: it.trial.phase is not Phase.TRYING or it.now - it.trial._since < 0.06

    assert it.run(ANNOUNCE_S + TRY_S + 1) == [Step.BEGIN, Step.GIVE_UP]


def test_proof_is_in_a_row() -> None:
    it = node()
    it.hears = lambda it: it.trial.phase is not Phase.TRYING or bool(round(it.now / TICK_S) % PROOF)

    assert it.run(ANNOUNCE_S + TRY_S + 1) == [Step.BEGIN, Step.GIVE_UP]


def test_the_same_beat_seen_twice_counts_once() -> None:
    trial = Trial(LOW, phase=Phase.TRYING, ifindex=ETH0)
    trial.begun(0.0)

    steps = [trial.tick(Seen([], (), [beat(1)]), 0.2 + n * TICK_S) for n in range(2 * PROOF)]

    assert set(steps) == {None}


def test_nobody_begins_while_another_is_on_trial() -> None:
    it = node()
    it.others = {HIGH}

    assert it.run(60) == []
    assert not it.trial.is_announced


def test_of_two_that_announce_at_once_the_lower_hash_goes_on() -> None:
    low, high = node(LOW), node(HIGH)
    for _ in range(int((ANNOUNCE_S + 3) / TICK_S)):
        for it, other in ((low, high), (high, low)):
            it.others = {other.trial.node} if other.trial.is_announced else set()
            it.run(TICK_S / 2)
            # never two under way
            assert {low.trial.phase, high.trial.phase} != {Phase.TRYING}

    assert low.candidates == []
    low.others = set()
    assert high.run(ANNOUNCE_S + 2)[-1:] == [Step.PROVE] or high.candidates == []


def test_the_lower_hash_waits_for_one_that_has_begun() -> None:
    it = node(LOW)
    it.run(1.0)
    it.others = {HIGH}
    assert it.trial.phase is Phase.ANNOUNCED
    assert it.run(TRY_S) == []
    it.others = set()

    assert it.run(ANNOUNCE_S + 1) == [Step.BEGIN, Step.PROVE]


def test_an_interface_that_goes_before_its_trial_is_not_tried() -> None:
    it = node()
    it.run(1.0)
    it.candidates = []

    assert it.run(ANNOUNCE_S + 1) == []
    assert not it.trial.is_announced


def test_an_interface_without_peers_does_not_block_the_next() -> None:
    it = node()
    it.candidates = [3, ETH0]
    it.hears = lambda it: it.trial.ifindex == ETH0

    assert it.run(ANNOUNCE_S + 1)[:2] == [Step.BEGIN, Step.PROVE]
    assert it.trial.ifindex == ETH0


def test_the_edges_are_those_of_the_diagram() -> None:
    it = node()
    it.run(ANNOUNCE_S + 2)
    again = node(HIGH)
    again.run(1.0)
    again.others = {LOW}
    again.run(1.0)

    assert it.edges | again.edges == EDGES


def test_any_other_edge_is_a_bug() -> None:
    with pytest.raises(ValueError, match="IDLE"):
        Trial(LOW).proven(0.0)
