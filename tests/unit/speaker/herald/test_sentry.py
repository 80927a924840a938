"""What beats, votes and verdicts do to seats, on real cores (OWNERSHIP.md 3 to 6)."""

from ipaddress import ip_address

import attrs

from speaker.beats import BeatState
from speaker.beats.cell import Cell
from speaker.beats.messages import Accusation, Verdict, Veto, decode, encode, is_ours
from speaker.beats.vigil import Standing
from speaker.herald.actions import Action, Announce, Probe, Send, SendBeat, Voice
from speaker.herald.peers import Silent
from speaker.herald.reentry import Entry
from speaker.herald.sentry import Reflection
from tests.unit.speaker.herald.cores import VIP, Cores, address_of, lladdr_of, seat

STEP_S = 0.001
GATEWAY = ip_address("198.51.100.254")


@attrs.define
class Watched(Cores):
    """Cores whose n1 beats; `cells` says what the programs of the others reflect, None nothing."""

    cells: dict[str, tuple[BeatState, int] | None] = attrs.field(factory=dict)
    beats: list[tuple[float, SendBeat]] = attrs.field(factory=list)
    beat_age_ms: dict[str, int] = attrs.field(factory=dict)  # in reflections of these cells

    def set_up(self) -> None:
        """A ring in which the best candidate holds the seat and all are proven to reflect."""
        self.cells = dict.fromkeys(self.names, (BeatState.OWNING, 1))
        self.start(seat(VIP, *reversed(self.names)))
        self.cores["n1"].sentries.is_on = True
        self.watch(2.0)
        assert self.holders() == [self.names[-1]]
        assert all(self.standing(name) is Standing.HEARD for name in self.names[1:])

    def watch(self, seconds: float) -> None:
        """Let time pass for beats too."""
        for _ in range(round(seconds / STEP_S)):
            self.run(STEP_S)
            core = self.cores["n1"]
            if self.now >= core.sentries.next_wakeup():
                core.watch(self.now)
                self._carry_out("n1")

    def _carry_out(self, name: str) -> None:
        seen = len(self.done[name])
        super()._carry_out(name)
        for at, action in self.done[name][seen:]:
            if isinstance(action, SendBeat):
                self.beats.append((at, action))
                if (cell := self.cells[action.node]) is not None:
                    self.reflect(Cell(action.node, action.segment), action.seq, *cell)
            elif isinstance(action, Probe) and action.vip == GATEWAY and GATEWAY in self.foreign:
                self.cores[name].probe_answered(GATEWAY, self.foreign[GATEWAY], self.now)

    def reflect(self, cell: Cell, seq: int, state: BeatState, epoch: int) -> None:
        age_ms = self.beat_age_ms.get(cell.node, 0)
        reflection = Reflection(cell, "eth0", seq, state, epoch, beat_age_ms=age_ms)
        self.cores["n1"].reflected(reflection, self.now)
        super()._carry_out("n1")

    def lose(self, *names: str) -> None:
        """Hosts die; memberlist knows nothing of it for the rest of the test."""
        for name in names:
            del self.cores[name]
            self.tables[name] = {}
            self.cells[name] = None

    def standing(self, node: str) -> Standing:
        return self.cores["n1"].sentries.by_interface["eth0"].vigil.standing(node)

    def said(self, kind: type[Accusation | Veto | Verdict]) -> list[tuple[str, Action]]:
        """Who was sent messages of a kind by n1."""
        sent = [a for a in self.happened("n1", Send) if isinstance(a, Send) and is_ours(a.payload)]
        return [(a.node, a) for a in sent if isinstance(decode(a.payload), kind)]

    def tell(self, message: Accusation | Veto | Verdict) -> None:
        self.cores["n1"].received("198.51.100.9", encode(message), self.now)
        self._carry_out("n1")

    def claims(self, node: str) -> list[int | None]:
        return [beat.claimed for _, beat in self.beats if beat.node == node]


def ring(*names: str) -> Watched:
    watched = Watched(names)
    watched.set_up()
    return watched


def test_a_silent_holder_is_replaced_long_before_memberlist_knows() -> None:
    cores = ring("n1", "n2", "n3")

    cores.lose("n3")
    cores.watch(0.16)

    assert cores.holders() == ["n2"] or cores.holders() == ["n1"]
    assert "node_silent" in cores.notes("n1")
    assert len(cores.said(Verdict)) >= 3


def test_the_take_fences_the_dead_node() -> None:
    cores = ring("n1", "n3")
    cores.foreign[GATEWAY] = b"\x02gatew"
    cores.lose("n3")
    cores.watch(0.3)
    assert cores.holders() == ["n1"]

    cores.watch(0.1)

    assert cores.claims("n3")[-1] == 1
    assert [fence.node for fence in cores.cores["n1"].sentries.fences.records()] == ["n3"]


def test_a_fenced_node_that_still_answers_stays_silent_until_its_epoch_has_grown() -> None:
    cores = ring("n1", "n3")
    cores.foreign[GATEWAY] = b"\x02gatew"
    cores.lose("n3")
    cores.watch(0.4)

    cores.cells["n3"] = (BeatState.OWNING, 1)
    cores.watch(0.2)
    assert "node_heard_again" not in cores.notes("n1")
    cores.cells["n3"] = (BeatState.OWNING, 2)
    cores.watch(0.2)

    assert "node_heard_again" in cores.notes("n1")
    assert cores.claims("n3")[-1] is None
    assert cores.holders() == ["n1"]


def test_missing_reflections_of_a_node_on_trial_mean_nothing_even_without_a_witness() -> None:
    """Its native XDP may swallow them; what answers for its seats is another program."""
    cores = ring("n1", "n3")
    cores.cores["n3"].set_trial(cores.now, is_on=True)
    cores.watch(0.05)

    cores.cells["n3"] = None
    cores.watch(1.0)

    assert cores.holders() == ["n3"]
    assert cores.standing("n3") is Standing.UNPROVEN
    assert "node_accused" not in cores.notes("n1")


def test_after_its_trial_a_node_is_watched_as_ever() -> None:
    cores = ring("n1", "n2", "n3")
    cores.cores["n3"].set_trial(cores.now, is_on=True)
    cores.watch(0.05)
    cores.cells["n3"] = None
    cores.watch(0.5)
    cores.cells["n3"] = (BeatState.OWNING, 1)
    cores.cores["n3"].set_trial(cores.now, is_on=False)
    cores.watch(2.0)
    assert cores.standing("n3") is Standing.HEARD

    cores.lose("n3")
    cores.watch(0.16)

    assert cores.holders() in (["n1"], ["n2"])


def test_beats_say_whether_the_reflections_of_their_receiver_arrive() -> None:
    cores = ring("n1", "n3")
    assert cores.beats[-1][1].hears

    cores.cells["n3"] = None
    cores.watch(0.1)

    assert not cores.beats[-1][1].hears


def test_without_a_witness_the_seat_is_taken_weakly_and_nobody_is_fenced() -> None:
    cores = ring("n1", "n3")

    cores.lose("n3")
    cores.watch(0.2)
    assert cores.holders() == []
    cores.watch(0.3)

    assert cores.holders() == ["n1"]
    assert "node_silent_without_witness" in cores.notes("n1")
    assert set(cores.claims("n3")) == {None}
    assert cores.said(Verdict) == []


def test_a_weak_take_ends_with_the_first_reflection_of_the_old_epoch() -> None:
    cores = ring("n1", "n3")
    cores.lose("n3")
    cores.watch(0.5)
    assert cores.holders() == ["n1"]

    cores.cells["n3"] = (BeatState.OWNING, 1)
    cores.watch(0.03)

    assert cores.holders() == []


def test_a_weak_take_is_firm_when_the_old_holder_has_dropped_its_seats() -> None:
    cores = ring("n1", "n3")
    cores.lose("n3")
    cores.watch(0.5)

    cores.cells["n3"] = (BeatState.OWNING, 2)
    cores.watch(0.03)

    assert cores.holders() == ["n1"]
    assert "seats_made_firm" in cores.notes("n1")


def test_an_answer_of_the_segment_saves_a_node_whose_beats_get_lost() -> None:
    cores = ring("n1", "n2", "n3")

    cores.cells["n3"] = None
    cores.watch(1.0)

    assert cores.holders() == ["n3"]
    assert "node_accused" in cores.notes("n1")
    assert "node_silent" not in cores.notes("n1")


def test_who_heard_the_accused_vetoes_and_who_did_not_says_nothing() -> None:
    cores = ring("n1", "n2", "n3")
    cores.tell(Accusation("n2", "n3", "eth0", 7))
    assert [to for to, _ in cores.said(Veto)] == ["n2"]

    cores.lose("n3")
    cores.watch(0.1)
    cores.tell(Accusation("n2", "n3", "eth0", 8))

    assert len(cores.said(Veto)) == 1


def test_a_verdict_against_a_node_that_we_hear_changes_nothing() -> None:
    cores = ring("n1", "n2", "n3")

    cores.tell(Verdict("n2", "n3", "eth0", 1, 5))
    cores.watch(0.5)

    assert cores.holders() == ["n3"]
    assert "node_silent" not in cores.notes("n1")


def test_who_takes_upon_the_verdict_of_another_fences_at_its_epoch() -> None:
    """It may not have watched the dead node, and then knows no epoch of its own."""
    cores = ring("n1", "n3")
    cores.foreign[GATEWAY] = b"\x02gatew"
    cores.lose("n3")

    cores.tell(Verdict("n2", "n3", "eth0", 7, 1, acted=False))
    cores.watch(0.3)

    assert cores.holders() == ["n1"]
    assert cores.claims("n3")[-1] == 7


def test_a_lease_that_ran_out_moves_the_seats_at_once() -> None:
    cores = ring("n1", "n2", "n3")

    del cores.cores["n3"]
    cores.tables["n3"] = {}
    cores.cells["n3"] = (BeatState.EXPIRED, 1)
    cores.watch(0.06)

    assert "node_silent" in cores.notes("n1")
    assert cores.holders() != []


def test_a_reflecting_node_is_not_dead_whatever_memberlist_says() -> None:
    cores = ring("n1", "n2", "n3")
    del cores.cores["n3"]  # its herald has gone, its program reflects on
    cores.watch(3.0)

    cores.cores["n1"].member_left("n3", cores.now, dead=True)
    cores.watch(1.0)

    assert cores.holders() == ["n3"]


def test_a_stopped_loop_accuses_nobody() -> None:
    cores = ring("n1", "n2", "n3")

    cores.now += 20.0
    cores.watch(0.5)

    assert "node_accused" not in cores.notes("n1")


def test_hostile_octets_count() -> None:
    cores = ring("n1", "n2")

    cores.cores["n1"].received("198.51.100.9", b"STNB\x01\xff", cores.now)

    assert cores.cores["n1"].counters()["messages_malformed"] == 1


def test_without_beats_nobody_is_watched() -> None:
    cores = Watched(("n1", "n2"))
    cores.cells = dict.fromkeys(cores.names, (BeatState.OWNING, 1))
    cores.start(seat(VIP, "n1", "n2"))

    cores.watch(2.0)

    assert cores.beats == []


def test_beats_go_to_the_lladdr_of_the_facts() -> None:
    cores = ring("n1", "n2")

    assert {(b.node, b.interface, b.lladdr) for _, b in cores.beats} == {
        ("n2", "eth0", lladdr_of("n2"))
    }


def test_who_is_long_gone_is_beaten_more_rarely() -> None:
    cores = ring("n1", "n3")
    cores.foreign[GATEWAY] = b"\x02gatew"
    cores.lose("n3")
    cores.watch(0.4)
    soon = len(cores.beats)
    cores.watch(1.0)
    often = len(cores.beats) - soon

    cores.cores["n1"]._world.peers["n3"].silent["eth0"] = Silent(cores.now - 61.0, weak=False)
    late = len(cores.beats)
    cores.watch(1.0)

    assert 0 < (len(cores.beats) - late) * 6 < often


def test_a_fenced_node_that_left_the_plan_is_let_be() -> None:
    cores = ring("n1", "n3")
    cores.foreign[GATEWAY] = b"\x02gatew"
    cores.lose("n3")
    cores.watch(0.4)
    assert cores.cores["n1"].sentries.fences.cells() == {Cell("n3", "eth0")}

    cores.plan("n1", seat(VIP, "n1"))

    assert cores.cores["n1"].sentries.fences.cells() == frozenset()


def weakly_held() -> Watched:
    cores = ring("n1", "n3")
    cores.lose("n3")
    cores.watch(0.5)
    assert cores.holders() == ["n1"]
    return cores


def restarted(cores: Watched) -> None:
    """SIGKILL the herald of n1 and start the next one; only then n3 is in the ring again."""
    saved = cores.cores.pop("n1").snapshot()
    core = cores.begin("n1", seat(VIP, "n3", "n1"), saved=saved)
    core.sentries.is_on = True
    cores.watch(1.0)
    cores.begin("n3", seat(VIP, "n3", "n1"))
    cores.meet("n1", "n3")


def test_a_weak_take_is_marked_in_the_table_until_it_is_firm() -> None:
    cores = weakly_held()
    assert cores.tables["n1"][VIP].voice is Voice.WEAK

    cores.cells["n3"] = (BeatState.OWNING, 2)
    cores.watch(0.03)

    assert cores.tables["n1"][VIP].voice is Voice.HELD


def test_a_weak_take_is_announced_and_not_refreshed_until_it_is_firm() -> None:
    cores = weakly_held()
    assert cores.happened("n1", Announce)[-1] == Announce(VIP, "let_go", refreshes=False)

    cores.cells["n3"] = (BeatState.OWNING, 2)
    cores.watch(0.03)

    assert cores.happened("n1", Announce)[-1] == Announce(VIP, "made_firm")


def test_a_restarted_herald_gives_a_weakly_held_seat_back_to_the_same_cell() -> None:
    cores = weakly_held()

    restarted(cores)
    assert cores.tables["n1"][VIP].voice is Voice.WEAK
    assert cores.cores["n1"].view()[0].counter == 0
    cores.cells["n3"] = (BeatState.OWNING, 1)
    cores.watch(0.1)

    assert "n1" not in cores.holders()


def test_a_restarted_herald_keeps_a_weakly_held_seat_of_which_the_other_let_go() -> None:
    cores = weakly_held()

    restarted(cores)
    cores.cells["n3"] = (BeatState.OWNING, 2)
    cores.watch(0.1)

    assert cores.holders() == ["n1"]
    assert cores.tables["n1"][VIP].voice is Voice.HELD


def test_a_suspended_node_enters_again_with_a_witness_and_a_higher_epoch() -> None:
    cores = ring("n1", "n2", "n3")
    core = cores.cores["n1"]

    core.lease_expired(cores.now)
    assert core.may_enter(cores.now, "eth0") is Entry.RAISED


def test_a_suspended_node_without_a_witness_stays_silent_for_a_second() -> None:
    cores = ring("n1", "n3")
    cores.lose("n3")
    cores.watch(0.1)
    core = cores.cores["n1"]

    core.lease_expired(cores.now)
    cores._carry_out("n1")
    assert core.may_enter(cores.now, "eth0") is None
    cores.watch(0.9)
    assert core.may_enter(cores.now, "eth0") is None
    assert cores.holders() == []
    assert cores.reason("n1") == "lease_expired"
    cores.watch(0.1)
    assert core.may_enter(cores.now, "eth0") is Entry.KEPT

    core.entered(cores.now, "eth0")
    cores.watch(1.0)
    assert cores.holders() == ["n1"]


def test_a_suspended_node_asks_the_gateway_whether_it_is_heard() -> None:
    cores = ring("n1", "n3")
    cores.lose("n3")
    cores.watch(0.1)
    core = cores.cores["n1"]
    core.lease_expired(cores.now)

    cores.foreign[GATEWAY] = b"\x02gatew"
    assert core.may_enter(cores.now, "eth0") is None
    cores._carry_out("n1")

    assert core.may_enter(cores.now, "eth0") is Entry.RAISED


def test_nobody_gives_a_seat_to_a_node_that_may_not_speak() -> None:
    cores = ring("n1", "n3")

    cores.cores["n1"].lease_expired(cores.now)
    cores._carry_out("n1")
    cores.run(0.1)
    cores.cores["n3"].leave(cores.now)
    cores._carry_out("n3")
    cores.run(0.5)

    assert cores.answers() == {}


def two_voices(beat_age_ms: int) -> Watched:
    """n1 holds what the program of n3, which comes back, answers for too; nobody is fenced."""
    cores = ring("n1", "n3")
    answers = dict(cores.tables["n3"])
    cores.lose("n3")
    cores.watch(0.06)
    cores.run(2.7)
    cores.gone("n3", dead=True)
    cores.run(1.0)  # doubted until beats had their time to say otherwise
    assert cores.holders() == ["n1"]
    assert cores.standing("n3") is Standing.SILENT

    cores.cores["n1"].member_joined("n3", address_of("n3"), cores.now, stentor=True)
    cores.tables["n3"] = answers
    cores.cells["n3"] = (BeatState.OWNING, 1)
    cores.beat_age_ms["n3"] = beat_age_ms
    cores.watch(0.1)
    return cores


def test_a_seat_that_a_program_without_a_herald_answers_for_is_yielded() -> None:
    cores = two_voices(beat_age_ms=900)

    assert cores.holders() == ["n3"]
    assert "seats_yielded" in cores.notes("n1")


def test_where_a_herald_beats_words_decide_and_nothing_is_probed() -> None:
    cores = two_voices(beat_age_ms=20)

    assert "seats_yielded" not in cores.notes("n1")
