"""
10,000 VIPs of one dead node taken over: a real core, a real data plane, real frames on a veth.

Counted from the decision that the node is dead. What gossip costs is left out: its datagrams are
made and thrown away. The reference is the least that such a take-over could cost without a table in
shared memory and without batches: a bpf(2) update for each VIP, a send(2) for each frame.
"""

import asyncio
import gc
import socket
import statistics
import time
from collections import Counter
from ipaddress import IPv4Address, ip_address
from random import Random

import attrs

from speaker.beats import BeatState
from speaker.beats.cell import Cell
from speaker.dataplane import DataPlane, VipRow, Voice
from speaker.herald.announce import Announcer, TokenBucket
from speaker.herald.core import HeraldCore
from speaker.herald.frames import GARP_BYTES, Rounds, garp_reply, garp_request
from speaker.herald.packet import FrameSocket
from speaker.herald.performer import Performer
from speaker.herald.seats import PlannedSeat
from speaker.herald.segments import Segment, Segments
from speaker.herald.sentry import Reflection
from speaker.herald.vips import read_vip
from stentor.logging import of_process
from tests.bench.priority import like_a_herald
from tests.bench.rows import Row
from tests.bench.tables import by_system_call, plane
from tests.unit.speaker.herald.cores import Cores

COUNT = 10_000
FRAMES = 2 * COUNT  # a GARP request and a reply for each VIP
_VIPS = [
    vip
    for n in range(COUNT)
    if isinstance(vip := read_vip(str(IPv4Address("198.18.0.0") + n)), IPv4Address)  # RFC 2544
]
_LLADDR = bytes.fromhex("02000000a001")
_ROUNDS = 5


class _NoRing:
    """Takes messages and sends none."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()

    def send(self, node: str, payload: bytes) -> None:
        self.sent[node] += 1

    def broadcast(self, payload: bytes, key: str) -> None:
        self.sent[key] += 1

    def rejoin(self, node: str, sender: str) -> None:
        self.sent[node] += 1


@attrs.define
class _Taken:
    """Milliseconds from the decision on."""

    answered: float  # the last VIP in the table
    said: float  # the last TAKE made
    announced: float  # the last frame of the first round sent
    longest: float  # one turn of the loop at most


def _heir() -> tuple[HeraldCore, float]:
    """A herald that would have every VIP of its one peer, which holds them all; and its time."""
    cores = Cores(("n1", "n2"))
    cores.start(*(PlannedSeat(vip, ("n1", "n2")) for vip in _VIPS))
    cores.run(3.0)
    if set(cores.holders(_VIPS[-1])) != {"n1"}:
        raise AssertionError("n1 does not hold all")
    heir = cores.cores["n2"]
    heir.sentries.is_on = True
    heir.sentries.survey(cores.now)
    return heir, cores.now


async def _take_over(made: DataPlane) -> _Taken:
    made.speak_all([vip.packed for vip in _VIPS], Voice.ELSEWHERE)
    core, core_now = _heir()
    log = of_process("bench", "error", time.time)
    segments = Segments(log, Random(1), 0.0, lambda *_: None, lambda _: 0.0)
    segments.sync([Segment("eth0", _LLADDR)])
    performer = Performer(made, segments, _NoRing(), None, 0.0, lambda _: None, log)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.freeze()
    turns: list[float] = []
    start = loop.time()

    def now() -> float:
        return core_now + loop.time() - start

    def turn(work: float) -> None:
        performer.perform(core.take_actions())
        turns.append(loop.time() - work)

    cell = Cell("n1", "eth0")
    core.reflected(Reflection(cell, "eth0", 0, BeatState.RELEASED, 1), core_now)
    turn(start)
    answered = loop.time() - start
    said = 0.0
    while segments.counts["announce_frames"] < FRAMES:
        await asyncio.sleep(0)
        if core.next_wakeup() <= now():
            began = loop.time()
            core.tick(now())
            turn(began)
            if not said and core.counters().get("seats_taken", 0) >= COUNT:
                said = loop.time() - start
    announced = loop.time() - start
    performer.close()
    if any(row.voice is not Voice.HELD for row in made.rows().values()):
        raise AssertionError("a VIP is not answered")
    return _Taken(answered * 1e3, said * 1e3, announced * 1e3, max(turns) * 1e3)


def _ms(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return (time.perf_counter() - start) * 1e3


def _one_by_one(sock: socket.socket) -> None:
    for vip in _VIPS:
        sock.send(garp_request(vip, _LLADDR))
        sock.send(garp_reply(vip, _LLADDR))


def _in_batches(sock: FrameSocket) -> None:
    rounds = Rounds(_LLADDR, None)
    for at in range(0, COUNT, 256):
        sock.send_all(rounds.garps(_VIPS[at : at + 256]), GARP_BYTES)


def _schedule() -> None:
    announcer = Announcer(TokenBucket(0.0), Random(1))
    for vip in _VIPS:
        announcer.start(vip, 0.0, 60.0)
    while list(announcer.due(0.0, 256)):
        pass


def _row(name: str, values: list[float], reference: str = "", aim_ms: float | None = None) -> Row:
    least = min(values)  # what the code costs; the rest is the machine's
    aim = "" if aim_ms is None else f"least <= {aim_ms:g}"
    met = None if aim_ms is None else least <= aim_ms
    return Row(name, "ms", reference, least, statistics.median(values), max(values), aim, met)


def _ratio(name: str, reference: str, ours: list[float], theirs: list[float]) -> Row:
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Row(name, "ratio", reference, min(ratios), statistics.median(ratios), max(ratios))


def run() -> list[Row]:
    """Take over, and the parts by themselves."""
    taken: list[_Taken] = []
    calls: list[float] = []
    singly: list[float] = []
    batched: list[float] = []
    scheduled: list[float] = []
    with like_a_herald(), plane() as made:
        made.put(VipRow(vip, Voice.ELSEWHERE) for vip in map(ip_address, _VIPS))
        while made.pending:
            made.step(time.monotonic())
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind(("eth0", 0))
        several = FrameSocket.open("eth0")
        with raw:
            for _ in range(_ROUNDS):
                taken.append(asyncio.run(_take_over(made)))
                calls.append(_ms(by_system_call(made, COUNT)))
                singly.append(_ms(lambda: _one_by_one(raw)))
                batched.append(_ms(lambda: _in_batches(several)))
                scheduled.append(_ms(_schedule))
        several.close()
    answered, announced = [t.answered for t in taken], [t.announced for t in taken]
    return [
        _row(f"{COUNT:,} VIPs: decision to the last one answered", answered, aim_ms=10),
        _row(f"{COUNT:,} VIPs: decision to the last TAKE made", [t.said for t in taken]),
        _row(f"{COUNT:,} VIPs: decision to the last GARP, no limit", announced, aim_ms=250),
        _row("longest turn of the loop meanwhile", [t.longest for t in taken]),
        _ratio("answered", f"{COUNT:,} bpf(2) updates", answered, calls),
        _ratio("announced", f"{FRAMES:,} frames by send(2)", announced, singly),
        _row(f"{FRAMES:,} frames by sendmmsg(2), from forms", batched),
        _ratio("the same", f"{FRAMES:,} frames by send(2)", batched, singly),
        _row(f"{COUNT:,} VIPs in the schedule of announcements", scheduled),
    ]
