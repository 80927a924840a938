"""Which segments are shared is learned by slow greeting, and beats take the path that answered."""

from ipaddress import ip_address

from speaker.beats.cell import Cell
from speaker.herald.paths import (
    BURST,
    DOUBT_S,
    EAGER,
    GREET_S,
    LOST_S,
    MAX_PATHS,
    SLOWLY_S,
    Path,
    Paths,
)

CELL = Cell("n2", "ens3")
FRAME = Path("eth0", b"\x02peer1")
DATAGRAM = Path("eth0", b"\x02peer1", ip_address("203.0.113.2"))
OTHER = Path("eth1", b"\x02peer1")


def offered(*ways: Path, doubted: frozenset[str] = frozenset(), now: float = 5.0) -> Paths:
    paths = Paths()
    paths.offer({CELL: ways}, doubted, now)
    return paths


def greeted(paths: Paths, until: float) -> list[tuple[float, Path]]:
    """Every greeting up to then, nobody answering."""
    sent = []
    while (due := paths.next_wakeup()) <= until:
        sent += [(due, path) for _, path in paths.greetings(due)]
    return sent


def test_paths_are_tried_in_turn_once_a_second_until_one_answers() -> None:
    paths = offered(FRAME, DATAGRAM, OTHER)

    sent = greeted(paths, 5.0 + 3 * GREET_S)
    assert [path for _, path in sent] == [FRAME, DATAGRAM, OTHER, FRAME]
    assert [at for at, _ in sent] == [5.0 + n * GREET_S for n in range(4)]

    assert paths.answered(CELL, "eth1", 8.001, by_udp=False)
    assert paths.path(CELL) == OTHER
    assert greeted(paths, 100.0) == []


def test_who_never_answers_is_greeted_more_rarely() -> None:
    paths = offered(FRAME)

    sent = greeted(paths, 5.0 + EAGER * GREET_S + 10 * SLOWLY_S)

    assert EAGER + 9 <= len(sent) <= EAGER + 11


def test_the_paths_to_one_cell_and_the_greetings_at_once_are_bounded() -> None:
    paths = Paths()
    many = tuple(Path(f"eth{n}", b"\x02peer1") for n in range(3 * MAX_PATHS))
    paths.offer({Cell(f"n{n}", "eth0"): many for n in range(50)}, (), 5.0)

    assert len(paths.greetings(5.0)) == BURST
    for second in range(3 * MAX_PATHS):
        for _ in range(50):
            for cell, path in paths.greetings(6.0 + second * SLOWLY_S):
                assert int(path.interface[3:]) < MAX_PATHS, cell


def test_a_cell_that_answers_only_datagrams_is_now_and_then_sent_a_frame() -> None:
    paths = offered(FRAME, DATAGRAM)
    paths.answered(CELL, "eth0", 5.0, by_udp=True)
    assert paths.path(CELL) == DATAGRAM

    assert FRAME in [path for _, path in greeted(paths, 5.0 + 3 * SLOWLY_S)]
    assert paths.answered(CELL, "eth0", 40.0, by_udp=False)
    assert paths.path(CELL) == FRAME


def test_datagrams_take_over_once_frames_do_not_come_back() -> None:
    paths = offered(FRAME, DATAGRAM)
    paths.answered(CELL, "eth0", 5.0, by_udp=False)

    assert not paths.answered(CELL, "eth0", 5.0 + LOST_S / 2, by_udp=True)
    assert paths.path(CELL) == FRAME
    assert paths.answered(CELL, "eth0", 5.0 + LOST_S + 0.01, by_udp=True)
    assert paths.path(CELL) == DATAGRAM


def test_a_cell_that_misses_beats_can_be_sent_both() -> None:
    paths = offered(FRAME, DATAGRAM, OTHER)
    paths.answered(CELL, "eth0", 5.0, by_udp=False)

    assert paths.ways(CELL) == [FRAME, DATAGRAM]


def test_a_path_is_sought_anew_when_its_lladdr_is_another() -> None:
    paths = offered(FRAME)
    paths.answered(CELL, "eth0", 5.0, by_udp=False)
    renumbered = Path("eth0", b"\x02peer9")

    paths.offer({CELL: (renumbered,)}, (), 6.0)

    assert paths.path(CELL) is None
    assert [path for _, path in paths.greetings(6.0)] == [renumbered]


def test_a_peer_that_is_gone_keeps_its_path_and_is_not_greeted() -> None:
    paths = offered(FRAME)
    paths.answered(CELL, "eth0", 5.0, by_udp=False)

    paths.offer({}, (), 6.0)

    assert paths.path(CELL) == FRAME
    assert greeted(paths, 100.0) == []


def test_a_node_dead_to_memberlist_is_asked_four_times_a_second() -> None:
    paths = offered(FRAME)
    paths.answered(CELL, "eth0", 5.0, by_udp=False)

    paths.offer({CELL: (FRAME,)}, {"n2"}, 6.0)

    assert [at for at, _ in greeted(paths, 6.0 + 3 * DOUBT_S)] == [6.0, 6.25, 6.5, 6.75]


def test_a_lost_path_is_looked_for_slowly() -> None:
    paths = offered(FRAME)
    paths.answered(CELL, "eth0", 5.0, by_udp=False)

    paths.lose(CELL)

    assert paths.path(CELL) is None
    assert len(greeted(paths, 5.0 + 3 * SLOWLY_S)) <= 4


def test_an_answer_out_of_an_interface_that_was_not_offered_finds_nothing() -> None:
    paths = offered(FRAME)

    assert not paths.answered(CELL, "eth7", 5.0, by_udp=False)
    assert not paths.answered(Cell("n3", "eth0"), "eth0", 5.0, by_udp=False)
    assert paths.found() == {}
