"""What a trial makes of its record."""

from ipaddress import IPv4Address, ip_address
from pathlib import Path

import msgspec
import pytest

from speaker.herald.frames import Vip
from stentor.lab import probe
from stentor.lab.chaos_bench import TrialFailed
from stentor.lab.chaos_frames import PROBER_LLADDR, Heard, Kind
from stentor.lab.chaos_strike import Fault, Instant
from stentor.lab.chaos_trial import Case, Times, choose, judge, lladdr, pair_of
from stentor.lab.client import Asking
from stentor.lab.processes import Process
from stentor.lab.topology import Host, Topology

N1, N2, N3 = Topology().nodes
MOVED, STAYED = IPv4Address("192.0.2.108"), IPv4Address("192.0.2.110")
OWNER_OF: dict[Vip, Host] = {MOVED: N1, STAYED: N2}
MS = 1_000_000
TIMES = Times(  # watched from 1.0 s, hit at 1.3 s, healed at 3.0 s, settled at 4.0 s
    watched_ns=1000 * MS,
    fault=Instant(1300 * MS, 1301 * MS),
    heal_ns=3000 * MS,
    restored_ns=4000 * MS,
)


def said(at_ms: int, vip: IPv4Address, by: bytes) -> Heard:
    """An announcement."""
    return Heard(at_ms * MS, Kind.GARP, vip, by)


def asking(path: Path, *answered: bool) -> Asking:
    """HTTP requests for MOVED every 100 ms from 1.0 s on, those answered that are true."""
    samples = [
        probe.Sample(1.0 + n / 10, "n1" if ok else "", 0.01) for n, ok in enumerate(answered)
    ]
    path.write_bytes(b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples))
    return Asking(probe.Kind.HTTP, MOVED, Process(0, 0), path)


def test_a_take_over_is_timed_from_the_fault() -> None:
    heard = [said(1200, MOVED, lladdr(N1)), said(1395, MOVED, lladdr(N3))]

    trial = judge(Case(Fault.HOST_DEATH, N1, OWNER_OF), TIMES, heard, [])

    assert trial.first_words_ms == {str(MOVED): 95.0}
    assert (trial.first_ms, trial.last_ms, trial.uncertain_ms) == (95.0, 95.0, 1.0)
    assert (trial.strayed, trial.broke_one_voice, trial.restored_s) == ((), 0, 1.0)


def test_a_vip_that_nobody_took_is_named() -> None:
    trial = judge(Case(Fault.HOST_DEATH, N1, OWNER_OF), TIMES, [], [])

    assert trial.first_words_ms == {str(MOVED): None}


@pytest.mark.parametrize(
    ("fault", "vip", "strayed"),
    [
        pytest.param(Fault.HOST_DEATH, MOVED, (), id="the_victims_may_move"),
        pytest.param(Fault.HOST_DEATH, STAYED, (str(STAYED),), id="a_bystanders_may_not"),
        pytest.param(Fault.AGENT_KILLED, MOVED, (str(MOVED),), id="nothing_may_move"),
        pytest.param(Fault.ROLLING_RESTART, STAYED, (), id="each_node_leaves_once"),
        pytest.param(Fault.ROLLING_UPGRADE, STAYED, (str(STAYED),), id="each_node_holds_on"),
    ],
)
def test_who_moved_without_reason(fault: Fault, vip: IPv4Address, strayed: tuple[str]) -> None:
    trial = judge(Case(fault, N1, OWNER_OF), TIMES, [said(2000, vip, lladdr(N3))], [])

    assert trial.strayed == strayed


@pytest.mark.parametrize(
    ("began_ms", "beyond"), [(2000, 2), (3100, 0)], ids=["during_the_fault", "after_the_repair"]
)
def test_a_healed_cut_may_leave_two_voices_for_longer(began_ms: int, beyond: int) -> None:
    """100 ms: beyond the 50 ms of two takes at once, within the 200 ms after a cut."""
    voices = [(0, N1), (40, N3), (60, N1), (100, N3), (140, N1)]
    heard = [said(began_ms + at, MOVED, lladdr(node)) for at, node in voices]

    trial = judge(Case(Fault.LINK_CUT, N1, OWNER_OF), TIMES, heard, [])

    [span] = trial.two_voices
    assert (span.length_ms, span.at_ms) == (100.0, began_ms + 40 - 1300)
    assert (trial.broke_one_voice, trial.broke_beyond) == (2, beyond)


def test_questions_and_requests_are_told_by_repair(tmp_path: Path) -> None:
    """Lost at 1.4 and 1.5 s in the fault, and at 3.2 s while healing."""
    lost = {4, 5, 22}
    http = asking(tmp_path / "http.jsonl", *(n not in lost for n in range(40)))
    questions = [
        Heard((1000 + 100 * n) * MS, Kind.QUESTION, MOVED, PROBER_LLADDR, 200 + n)
        for n in range(30)
    ]
    answers = [
        Heard(q.at_ns + MS, Kind.ARP_REPLY, MOVED, lladdr(N1), q.asker)
        for n, q in enumerate(questions)
        if n not in lost
    ]

    trial = judge(Case(Fault.HERALD_KILLED, N1, OWNER_OF), TIMES, [*questions, *answers], [http])

    assert [(one.vip, one.lost, one.gap_ms) for one in trial.http] == [(str(MOVED), 2, 300.0)]
    assert (trial.unanswered, trial.silence_ms) == (2, 200.0)
    assert (trial.healing_http_lost, trial.healing_unanswered) == (1, 1)


def test_frames_that_the_listener_lost_are_summed() -> None:
    lost = [Heard(n, Kind.LOST, ip_address(n)) for n in (0, 3, 4)]

    assert judge(Case(Fault.HOST_DEATH, N1, OWNER_OF), TIMES, lost, []).listener_lost == 7


def test_nodes_that_hold_vips_take_turns() -> None:
    nodes = (N1, N2, N3)

    assert [choose(nodes, OWNER_OF, number) for number in range(4)] == [N1, N2, N1, N1]


def test_without_a_holder_there_is_no_victim() -> None:
    with pytest.raises(TrialFailed, match="no node holds a VIP"):
        choose((N1, N2), {}, 0)


def test_the_client_fetches_from_one_vip_of_each_family() -> None:
    owners = {vip: N1 for pair in Topology().vips for vip in pair}

    assert list(map(str, pair_of(owners, N1))) == ["192.0.2.108", "2001:db8::108"]
    assert pair_of(owners, N2) == []
    assert pair_of(dict.fromkeys([STAYED], N1), N1) == [STAYED]
