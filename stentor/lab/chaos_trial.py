"""One trial: hit a node of a settled lab, watch the segment and the client, put all back."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import attrs
import msgspec

from speaker.herald.frames import Vip
from stentor.lab import chaos_rolling, chaos_strike, client, views
from stentor.lab.chaos_bench import Bench, TrialFailed
from stentor.lab.chaos_figures import Http, Setting, Trial, TwoVoices
from stentor.lab.chaos_frames import Heard, Kind
from stentor.lab.chaos_plan import Job
from stentor.lab.chaos_strike import Fault, Instant, Strike
from stentor.lab.chaos_voices import (
    ANSWER_WITHIN_NS,
    Quarrel,
    first_words,
    quarrels,
    questions,
    strayed,
)
from stentor.lab.client import Asking
from stentor.lab.errors import LabError
from stentor.lab.lab import STOP_WITHIN_S, Lab, Target
from stentor.lab.probe import HTTP_WITHIN_S
from stentor.lab.probe import Kind as ProbeKind
from stentor.lab.topology import Host

ANSWERED_WITHIN_S = 10.0
TAKEN_WITHIN_S = 20.0  # plain memberlist, LAN: 5 to 9 s
BACK_WITHIN_S = 15.0
BASELINE_S = 0.3
LATE_S = 1.0  # watched on after a fault, for what it may break late
ALLOWED_MS = 50.0  # two takes at once (OWNERSHIP.md, One voice)
ALLOWED_HEALING_MS = 200.0  # after a healed cut
_POLL_S = 0.05
_MS = 1_000_000


def run(bench: Bench, job: Job) -> Trial:
    """Carry out one trial. Raises TrialFailed and LabError."""
    fault = job.fault
    began = time.monotonic()
    chaos_rolling.prepare(bench, fault)
    owners = bench.settle()
    victim = choose(bench.lab.topology.nodes, owners, job.number)
    with ExitStack() as stack:
        asking = [
            stack.enter_context(client.asking(bench.lab, ProbeKind.HTTP, vip))
            for vip in pair_of(owners, victim)
        ]
        _until(lambda: all(a.tally(0.0).by for a in asking), ANSWERED_WITHIN_S, "no HTTP answer")
        bench.tape.rewind()
        watched_ns = time.monotonic_ns()
        time.sleep(BASELINE_S)
        with chaos_strike.ready(bench.lab, fault, victim) as strike:
            instant = strike.hit()
            try:
                follow(bench, strike, victim, owners, instant)
            finally:
                heal_ns = time.monotonic_ns()
                mend(bench.lab, fault, victim, strike.pids)
        chaos_rolling.back(bench, fault)
        bench.settle()
        restored_ns = time.monotonic_ns()
        # What nothing was mended of has been watched for LATE_S already.
        time.sleep(ANSWER_WITHIN_NS / 1e9 if fault.mends_itself else LATE_S)
        _wait(lambda: all(one.settled_until(restored_ns / 1e9) for one in asking), HTTP_WITHIN_S)
        times = Times(watched_ns, instant, heal_ns, restored_ns)
        trial = judge(Case(fault, victim, owners), times, bench.tape.read(), asking)
    took_s = round(time.monotonic() - began, 2)
    return msgspec.structs.replace(trial, setting=job.setting, number=job.number, took_s=took_s)


def choose(nodes: Sequence[Host], owners: dict[Vip, Host], number: int) -> Host:
    """The next node in turn that holds a VIP. Raises TrialFailed when none does."""
    start = number % len(nodes)
    for node in (*nodes[start:], *nodes[:start]):
        if node in owners.values():
            return node
    raise TrialFailed("no node holds a VIP")


def pair_of(owners: dict[Vip, Host], victim: Host) -> list[Vip]:
    """The first IPv4 and the first IPv6 VIP of a node, as far as it has them."""
    held = sorted((vip for vip, node in owners.items() if node == victim), key=str)
    firsts = [next((vip for vip in held if vip.version == version), None) for version in (4, 6)]
    return [vip for vip in firsts if vip is not None]


def follow(
    bench: Bench, strike: Strike, victim: Host, owners: dict[Vip, Host], instant: Instant
) -> None:
    """Wait for what must come of a fault, and a while longer for what should not."""
    lab, fault = bench.lab, strike.fault
    if fault.is_rolling:
        chaos_rolling.roll(bench, fault, victim)
    elif fault.moves_vips:
        missing = {vip for vip, node in owners.items() if node == victim}
        own = lladdr(victim)

        def taken() -> bool:
            news = bench.tape.news()
            found = first_words(news, missing, since_ns=instant.began_ns, not_by=own)
            missing.difference_update(found)
            return not missing

        # A VIP that nobody takes is a figure, not a failed trial.
        _wait(taken, TAKEN_WITHIN_S)
    else:
        target = Target.AGENT if fault is Fault.AGENT_KILLED else Target.HERALD
        _until(
            lambda: _is_back(lab, victim, target, strike.pids), BACK_WITHIN_S, f"no new {target}"
        )
    time.sleep(LATE_S)


def mend(lab: Lab, fault: Fault, victim: Host, pids: Sequence[int]) -> None:
    """Put the victim back, as after a repair or a reboot."""
    if fault is Fault.HOST_DEATH:
        lab.kill(victim, Target.HOST)
    if fault is Fault.HERALD_STOPPED:
        chaos_strike.thaw(pids)
    if fault is Fault.PLANNED_LEAVE:
        speaker = lab.speaker(victim)
        if speaker is not None:
            speaker.stop(STOP_WITHIN_S)
    lab.heal(victim)


@attrs.frozen
class Times:
    """The marks of a trial, CLOCK_MONOTONIC nanoseconds."""

    watched_ns: int
    fault: Instant
    heal_ns: int
    restored_ns: int


@attrs.frozen
class Case:
    """What was hit, and who held what before."""

    fault: Fault
    victim: Host
    owners: dict[Vip, Host]

    @property
    def held(self) -> set[Vip]:
        """The VIPs of the victim."""
        return {vip for vip, node in self.owners.items() if node == self.victim}

    @property
    def staying(self) -> dict[Vip, bytes]:
        """VIPs that must not move, and their owner's LLADDR."""
        if self.fault.may_move_any:
            return {}
        moving = self.held if self.fault.moves_vips else set()
        return {vip: lladdr(n) for vip, n in self.owners.items() if vip not in moving}


def lladdr(host: Host) -> bytes:
    """The LLADDR of a host's interface, in wire order."""
    return bytes.fromhex(host.lladdr_text.replace(":", ""))


def judge(
    case: Case,
    times: Times,
    heard: Sequence[Heard],
    asking: Sequence[Asking],
) -> Trial:
    """Make figures of what the listener and the client noted."""
    since_ns = times.fault.began_ns
    moving = sorted(case.held, key=str) if case.fault.moves_vips else []
    words = first_words(heard, moving, since_ns=since_ns, not_by=lladdr(case.victim))
    of_vips = [one for one in heard if one.vip in case.owners]
    asked = questions(of_vips, since_ns=times.watched_ns, until_ns=times.heal_ns)
    healing = questions(of_vips, since_ns=times.heal_ns, until_ns=times.restored_ns)
    span_s = (times.watched_ns / 1e9, times.heal_ns / 1e9)
    heal_s = (times.heal_ns / 1e9, times.restored_ns / 1e9)
    tallies = [(one.vip, one.tally(*span_s)) for one in asking]
    return Trial(
        setting=Setting(),
        fault=str(case.fault),
        number=0,
        victim=case.victim.name,
        uncertain_ms=_ms(times.fault.ended_ns - times.fault.began_ns),
        first_words_ms={
            str(vip): _ms(words[vip].at_ns - since_ns) if vip in words else None for vip in moving
        },
        http=tuple(Http(str(v), t.asked, t.lost, round(t.gap_s * 1e3, 1)) for v, t in tallies),
        healing_http_lost=sum(one.tally(*heal_s).lost for one in asking),
        asked=asked.asked,
        unanswered=asked.unanswered,
        silence_ms=_ms(asked.silence_ns),
        healing_unanswered=healing.unanswered,
        two_voices=tuple(_two_voices(q, times) for q in quarrels(of_vips)),
        strayed=tuple(str(vip) for vip in strayed(of_vips, case.staying)),
        listener_lost=sum(int(one.vip) for one in heard if one.kind is Kind.LOST),
        restored_s=round((times.restored_ns - times.heal_ns) / 1e9, 3),
    )


def _two_voices(quarrel: Quarrel, times: Times) -> TwoVoices:
    healing = quarrel.began_ns >= times.heal_ns
    return TwoVoices(
        vip=str(quarrel.vip),
        at_ms=_ms(quarrel.began_ns - times.fault.began_ns),
        length_ms=_ms(quarrel.length_ns),
        frames=quarrel.frames,
        voices=tuple(voice.hex(":") for voice in quarrel.voices),
        healing=healing,
        allowed_ms=ALLOWED_HEALING_MS if healing else ALLOWED_MS,
    )


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / _MS, 3)


def _is_back(lab: Lab, node: Host, target: Target, before: Sequence[int]) -> bool:
    """Whether a new process took the place of the one with a pid of `before`, and answers."""
    try:
        pid = lab.process(node, target).pid
    except LabError:
        return False
    return pid not in before and views.view(lab, node) is not None


def _until(probe: Callable[[], bool], within_s: float, otherwise: str) -> None:
    """Raise TrialFailed when `probe` does not hold within that time."""
    if not _wait(probe, within_s):
        raise TrialFailed(f"{otherwise} within {within_s:.0f} s")


def _wait(probe: Callable[[], bool], within_s: float) -> bool:
    """Whether `probe` held within that time."""
    deadline = time.monotonic() + within_s
    while not probe():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
