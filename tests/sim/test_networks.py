"""Management network and VIP segments apart: each fails alone, and only its own seats move."""

import pytest

from speaker.herald.peers import Peer
from speaker.herald.sentries import Sentries
from tests.sim.faults import NEVER, Fault, Kind
from tests.sim.run import Outcome, run_number, run_schedule
from tests.sim.shape import APART, TWO, Shape
from tests.sim.test_beats import WITNESSED_S
from tests.sim.test_runs import told

NAMES = ("n1", "n2", "n3", "n4", "n5")
CUTS = [Kind.CUT, Kind.ONE_WAY, Kind.DEAF, Kind.MUTE, Kind.CARRIER]


def play(*faults: Fault, nodes: int = 5, seed: int = 4, shape: Shape = APART) -> Outcome:
    """A run that broke nothing."""
    outcome = run_schedule(faults, nodes=nodes, vips=6, seed=seed, shape=shape)
    assert outcome.violations == (), told(outcome)
    return outcome


def cut(kind: Kind, name: str, duration: float, network: str, nodes: int = 5) -> Fault:
    """A fault of wires that begins after a second."""
    other = NAMES[(NAMES.index(name) + 1) % nodes]
    hit = (name, other) if kind is Kind.ONE_WAY else (name,)
    return Fault(1.0, kind, hit, duration, network=network)


@pytest.mark.parametrize("kind", CUTS)
def test_a_cut_of_the_management_network_moves_nothing(kind: Kind) -> None:
    """
    Long enough for memberlist to declare deaths; the programs go on reflecting.

    Of five nodes one does not watch each: it asks when memberlist calls it dead.
    """
    for name in NAMES[:2]:
        play(cut(kind, name, 15.0, "mgmt0"))


@pytest.mark.parametrize("shape", [APART, TWO], ids=["one_segment", "two_segments"])
def test_a_node_off_a_segment_loses_the_seats_served_there_in_a_tenth_of_a_second(
    shape: Shape,
) -> None:
    """What is served elsewhere alone must not move: the judge says "harmed" if it does."""
    for network in shape.segments:
        faults = [cut(Kind.CARRIER, name, 8.0, network, 3) for name in NAMES[:3]]

        found = [play(fault, nodes=3, shape=shape).worst_silence for fault in faults]

        assert 0.0 < max(found) < WITNESSED_S  # it tells by gossip that its carrier went


@pytest.mark.parametrize("shape", [APART, TWO], ids=["one_segment", "two_segments"])
def test_a_silent_cut_of_a_segment_leaves_one_voice_and_the_other_segment_alone(
    shape: Shape,
) -> None:
    for network in shape.segments:
        for name in NAMES[:3]:
            play(cut(Kind.CUT, name, 5.0, network, 3), nodes=3, shape=shape)


@pytest.mark.parametrize("kind", [Kind.ONE_WAY, Kind.DEAF, Kind.MUTE])
def test_a_one_way_cut_of_one_segment_leaves_the_other_alone(kind: Kind) -> None:
    for name in NAMES[:3]:
        play(cut(kind, name, 6.0, "eth1", 3), nodes=3, shape=TWO)


@pytest.mark.parametrize("nodes", [3, 5])
def test_a_dead_host_is_replaced_on_all_segments(nodes: int) -> None:
    faults = [Fault(1.0, Kind.CRASH, (name,), 8.0) for name in NAMES[:nodes]]

    found = [play(fault, nodes=nodes, shape=TWO).worst_silence for fault in faults]

    assert 0.05 < max(found) < WITNESSED_S


def test_where_the_fabric_drops_the_ethertype_beats_go_by_udp_and_nothing_moves() -> None:
    play(Fault(1.0, Kind.ETHERTYPE, ("n1",), 10.0, network="eth0"))


def test_a_host_that_dies_while_beats_go_by_udp_is_replaced_as_soon() -> None:
    dropped = Fault(1.0, Kind.ETHERTYPE, ("n1",), NEVER, network="eth0")

    found = [
        play(dropped, Fault(4.0, Kind.CRASH, (name,), NEVER), nodes=3).worst_silence
        for name in NAMES[:3]
    ]

    assert 0.05 < max(found) < WITNESSED_S


@pytest.mark.parametrize("shape", [APART, TWO], ids=["one_segment", "two_segments"])
def test_of_two_nodes_one_is_cut_off_and_comes_back(shape: Shape) -> None:
    for name in NAMES[:2]:
        play(cut(Kind.CUT, name, 5.0, "eth0", 2), nodes=2, shape=shape)
        play(Fault(1.0, Kind.CRASH, (name,), 8.0), nodes=2, shape=shape)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [APART, TWO], ids=["one_segment", "two_segments"])
@pytest.mark.parametrize(
    "first", [0, pytest.param(10, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.long)]
)
def test_random_faults_of_several_networks_break_no_invariant(first: int, shape: Shape) -> None:
    for run in range(first, first + 10):
        outcome = run_number(2027, run, nodes=5, vips=6, shape=shape)

        assert outcome.violations == (), told(outcome)


# --- with a rule left out the judge finds what it guards against


def test_without_asking_by_beats_a_cut_of_the_management_network_moves_seats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for question in ("is_beating", "is_vouched", "may_beat"):
        monkeypatch.setattr(Sentries, question, lambda *args: False)

    outcomes = [
        run_schedule((cut(Kind.CUT, name, 20.0, "mgmt0"),), nodes=5, vips=6, seed=4, shape=APART)
        for name in NAMES[:3]
    ]

    assert "harmed" in {v.rule for outcome in outcomes for v in outcome.violations}


def test_a_verdict_on_whole_nodes_moves_seats_of_the_other_segment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        Peer, "silence_for", lambda peer, interfaces: next(iter(peer.silent.values()), None)
    )

    outcomes = [
        run_schedule((cut(Kind.CUT, name, 12.0, "eth1"),), nodes=5, vips=6, seed=4, shape=TWO)
        for name in NAMES
    ]

    rules = {v.rule for outcome in outcomes for v in outcome.violations}
    assert rules & {"harmed", "one_voice"}
