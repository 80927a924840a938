"""What a watch counts while it leaves a lab in peace."""

from ipaddress import ip_address
from pathlib import Path

from stentor.lab.chaos_frames import PROBER_LLADDR, Heard, Kind
from stentor.lab.watch import LogReader, table
from stentor.lab.watch_tallies import Tallies

VIP, OTHER = ip_address("192.0.2.108"), ip_address("2001:db8::108")
N1, N2 = bytes.fromhex("02005e000011"), bytes.fromhex("02005e000012")
MS = 1_000_000
S = 1000 * MS


def voice(at_ms: float, lladdr: bytes = N1, asker: int = 0) -> Heard:
    """An answer for VIP."""
    return Heard(int(at_ms * MS), Kind.ARP_REPLY, VIP, lladdr, asker)


def question(at_ms: float, asker: int) -> Heard:
    """A question for VIP."""
    return Heard(int(at_ms * MS), Kind.QUESTION, VIP, PROBER_LLADDR, asker)


def test_another_voice_is_a_vip_that_moved_whenever_the_piece_ends() -> None:
    pieces = [[voice(1), voice(2)], [voice(3, N2)], [voice(4, N2), voice(5)]]
    tallies = Tallies(0)

    for piece in pieces:
        tallies.add(piece, S)

    assert [(move.before, move.now) for move in tallies.moves] == [
        (N1.hex(":"), N2.hex(":")),
        (N2.hex(":"), N1.hex(":")),
    ]
    assert (tallies.vips_moved, tallies.false_failovers) == (1, 1)


def test_one_voice_for_each_vip_is_calm() -> None:
    tallies = Tallies(0)

    tallies.add([voice(1), Heard(2 * MS, Kind.NA_SOLICITED, OTHER, N2), voice(3)], S)

    assert tallies.false_failovers == 0


def test_a_question_counts_once_and_when_its_answer_is_overdue() -> None:
    """Also where it comes with one piece and the answer with the next."""
    tallies = Tallies(0)

    tallies.add([question(10, 200), question(900, 201)], S)
    assert (tallies.asked, tallies.unanswered) == (1, 1)
    tallies.add([voice(905, asker=201)], 2 * S)
    tallies.add([], 3 * S)

    assert (tallies.asked, tallies.unanswered) == (2, 1)


def test_unanswered_questions_in_a_row_are_counted_across_pieces() -> None:
    tallies = Tallies(0)

    tallies.add([question(10, 200), question(30, 201), voice(31, asker=201)], S)
    tallies.add([question(1010, 202)], 2 * S)
    tallies.add([question(2010, 203)], 3 * S)

    assert (tallies.unanswered, tallies.in_a_row) == (3, 2)


def test_verdicts_and_lost_leases_are_false_and_accusations_are_not() -> None:
    tallies = Tallies(0)

    tallies.events.update(["node_accused", "node_accused", "node_accused", "node_silent"])
    assert (tallies.false_failovers, tallies.dismissed) == (1, 2)
    tallies.events.update(["lease_lost", "node_silent_without_witness"])

    assert tallies.false_failovers == 3
    assert ("accusations", "3") in table(tallies)


def test_a_log_is_read_on_from_where_it_was_and_by_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "speaker.log"
    log.write_text('{"event": "before"}\n')
    reader = LogReader()
    reader.skip(log)

    with log.open("a") as file:
        file.write('{"event": "node_accused"}\nTraceback\n{"event": "node_si')
    assert reader.news(log) == ["node_accused"]
    with log.open("a") as file:
        file.write('lent"}\n')

    assert reader.news(log) == ["node_silent"]
