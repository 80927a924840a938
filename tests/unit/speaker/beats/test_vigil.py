"""Whom a node watches, and when three missed beats are silence (OWNERSHIP.md 3)."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from speaker.beats.vigil import (
    BEAT_S,
    EDGES,
    GREET_S,
    PROOF,
    REPLY_S,
    WATCHED,
    WIDE,
    Standing,
    Vigil,
    ring_after,
    watchers_of,
)

HEARD, MISSING, SILENT, UNPROVEN = (
    Standing.HEARD,
    Standing.MISSING,
    Standing.SILENT,
    Standing.UNPROVEN,
)


class Night:
    """A vigil on virtual time; `answering` reflect each beat half a millisecond later."""

    def __init__(self, *nodes: str, kept: tuple[str, ...] = ()) -> None:
        self.vigil = Vigil("me")
        self.now = 100.0
        self.sent: list[tuple[float, str]] = []
        self.silent: list[tuple[float, str]] = []
        self.edges: set[tuple[Standing, Standing]] = set()
        self.vigil.follow(nodes, kept, self.now)

    def run(self, for_s: float, *answering: str) -> None:
        end = self.now + for_s
        while (due := max(self.now, self.vigil.next_wakeup())) < end:
            self.now = due
            self.step(*answering)
        self.now = end

    def step(self, *answering: str) -> None:
        before = self.standings()
        beats, silent = self.vigil.tick(self.now)
        self.note(before)
        self.silent += [(self.now, node) for node in silent]
        for node, seq in beats:
            self.sent.append((self.now, node))
            if node in answering:
                before = self.standings()
                self.vigil.reflected(node, seq, self.now + 0.0005)
                self.note(before)

    def standings(self) -> dict[str, Standing]:
        return {node: w.standing for node, w in self.vigil.watchees.items()}

    def note(self, before: dict[str, Standing]) -> None:
        now = self.standings()
        self.edges |= {(b, now[n]) for n, b in before.items() if n in now and b is not now[n]}


def proven(*nodes: str) -> Night:
    night = Night(*nodes)
    night.run(1.0, *nodes)
    assert set(night.standings().values()) == {HEARD}
    return night


@given(names=st.sets(st.text(min_size=1, max_size=4), min_size=2, max_size=12))
def test_everybody_watches_the_next_three_and_is_watched_by_as_many(names: set[str]) -> None:
    count = min(WATCHED, len(names) - 1)

    for name in names:
        assert len(ring_after(name, names)) == count
        assert name not in ring_after(name, names)
        assert len(watchers_of(name, names)) == count
        assert all(name in ring_after(other, names) for other in watchers_of(name, names))


def test_a_dead_node_is_silent_after_its_third_missed_beat() -> None:
    night = proven("a", "b")
    died_at = night.now

    night.run(0.2, "b")

    [(at, node)] = night.silent
    assert node == "a"
    assert 2 * BEAT_S + REPLY_S <= at - died_at <= 3 * BEAT_S + REPLY_S + 1e-6


def test_two_missed_beats_are_no_silence() -> None:
    night = proven("a")

    night.run(2 * BEAT_S)
    night.run(1.0, "a")

    assert night.silent == []
    assert (HEARD, MISSING) in night.edges
    assert (MISSING, HEARD) in night.edges


def test_who_never_reflected_eight_in_a_row_is_not_judged() -> None:
    night = Night("a")
    for _ in range(20):
        sent = len(night.sent)
        while len(night.sent) < sent + PROOF - 1:
            night.run(BEAT_S / 5, "a")
        night.run(2.5 * BEAT_S)

    assert night.silent == []
    assert night.vigil.standing("a") is UNPROVEN


def test_the_word_of_others_is_proof_enough_with_one_reflection_of_our_own() -> None:
    night = Night("a")
    night.step()

    night.vigil.reflected("a", night.vigil.watchees["a"].seq, night.now, vouched=True)

    assert night.vigil.standing("a") is HEARD


def test_who_never_reflects_is_greeted_once_a_second() -> None:
    night = Night("old")

    night.run(10.0)

    assert 9 <= len(night.sent) <= 11
    assert night.sent[1][0] - night.sent[0][0] >= GREET_S - BEAT_S


def test_a_late_loop_counts_nothing() -> None:
    night = proven("a")
    night.run(BEAT_S)
    for _ in range(10):
        night.now = night.vigil.next_wakeup() + 0.02
        night.step()

    assert night.silent == []
    assert night.vigil.standing("a") is HEARD


def test_an_old_reflection_says_nothing() -> None:
    night = proven("a")
    old = night.vigil.watchees["a"].seq
    night.run(1.0)
    assert night.vigil.standing("a") is SILENT

    assert not night.vigil.reflected("a", old, night.now)
    assert night.vigil.standing("a") is SILENT


def test_a_slow_reflection_is_still_a_sign_of_life() -> None:
    night = proven("a")
    for _ in range(50):
        seq = night.vigil.watchees["a"].seq
        night.run(BEAT_S)
        night.vigil.reflected("a", seq, night.now)  # after the 8 ms, each time

    assert night.silent == []


def test_a_reflection_ends_a_silence_and_says_so() -> None:
    night = proven("a")
    night.run(0.2)
    seq = night.vigil.watchees["a"].seq

    assert night.vigil.reflected("a", seq, night.now)
    assert not night.vigil.reflected("a", seq, night.now)


def test_a_pardoned_node_is_silent_again_after_three_more() -> None:
    night = proven("a", "b")
    night.run(0.1, "b")
    night.vigil.pardon("a")
    pardoned_at = night.now
    night.run(0.2, "b")

    assert [node for _, node in night.silent] == ["a", "a"]
    assert night.silent[1][0] - pardoned_at >= 2 * BEAT_S


def test_a_witness_is_somebody_else_who_answers() -> None:
    night = proven("a", "b")

    assert night.vigil.has_witness(night.now, besides="a")
    night.run(0.1, "a")
    assert not night.vigil.has_witness(night.now, besides="a")
    assert night.vigil.has_witness(night.now)


def test_after_a_silence_everybody_is_beaten_for_a_witness() -> None:
    names = tuple(f"n{i}" for i in range(9))
    night = Night(*names)
    night.run(1.0, *names)
    assert len(night.vigil.watchees) == WATCHED

    night.run(0.12)
    assert set(night.vigil.watchees) == set(names)
    night.run(2.0, *names)
    assert len(night.vigil.watchees) == WATCHED


def test_in_a_large_ring_some_more_are_beaten_for_a_witness() -> None:
    names = tuple(f"n{i}" for i in range(200))
    night = Night(*names)
    night.run(1.0, *names)

    night.run(0.12)

    assert set(night.vigil.watchees) == set(ring_after("me", names, WIDE))


def test_watchers_are_the_same_seen_from_either_side() -> None:
    names = tuple(f"n{i}" for i in range(30))

    for accused in names:
        watching = {name for name in names if accused in ring_after(name, names)}
        assert watching == set(watchers_of(accused, names))
        nearest = [
            ring_after(name, names, 30).index(accused) for name in watchers_of(accused, names)
        ]
        assert nearest == sorted(nearest)


def test_a_kept_node_is_beaten_wherever_it_stands() -> None:
    names = tuple(f"n{i}" for i in range(9))
    far = next(name for name in names if name not in ring_after("me", names))

    assert far in Night(*names, kept=(far,)).vigil.watchees


def test_alone_there_is_nothing_to_do() -> None:
    night = Night()

    night.run(5.0)

    assert night.sent == []


def in_standing(standing: Standing) -> Night:
    """A night on which a is as wanted."""
    if standing is UNPROVEN:
        return Night("a")
    night = proven("a")
    night.run({HEARD: 0.0, MISSING: 1.4 * BEAT_S, SILENT: 8 * BEAT_S}[standing])
    assert night.vigil.standing("a") is standing
    return night


def test_the_changes_of_standing_are_those_of_the_diagram() -> None:
    edges = set()
    for before in Standing:
        events: list[Callable[[Night], object]] = [
            lambda night: night.run(1.0, "a"),
            lambda night: night.run(1.0),
            lambda night: night.vigil.pardon("a"),
            lambda night: night.vigil.doubt("a"),
        ]
        for event in events:
            night = in_standing(before)
            first = len(night.edges)
            event(night)
            edges |= night.edges
            after = night.vigil.standing("a")
            if len(night.edges) == first and after is not before:
                edges.add((before, after))

    assert edges == EDGES
