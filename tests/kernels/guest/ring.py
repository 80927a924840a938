"""
A lab of three nodes inside the guest, its links impaired by netem, which many hosts lack.

Each host of the lab hangs on a port of the lab's switch, and what a port sends goes through a
netem of its own: a frame from one host to another meets it once, and the answer once more.
"""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from stentor.lab import chaos_bench, views
from stentor.lab.chaos_bench import Bench
from stentor.lab.chaos_frames import Tape
from stentor.lab.chaos_voices import Quarrel, by_vip, quarrels
from stentor.lab.lab import Lab, Target
from stentor.lab.secret import key_flags
from stentor.lab.topology import Host, Topology
from stentor.lab.views import Holders
from stentor.lab.watch import LogReader
from stentor.lab.watch_tallies import EVENTS, Tallies
from tests.eventually import eventually
from tests.kernels.guest import net

WITHIN_S: Final = 240.0  # by the guest's clock; its nodes share one slow processor
# Far beyond what a lab has under way: a full queue would be a loss that nobody asked for.
_LIMIT: Final = 20_000
_WORDS: Final = 20  # of a VIP's holder, until it counts as its only voice
# Rules settle two voices in a fraction of this, netem's delay included (tests/lab/witness.py).
_ENDLESS_NS: Final = 2_000_000_000
_open: list[Bench] = []
_kept: Final = ExitStack()  # the listener, which ends with this process


def start() -> None:
    """Bring the lab up and wait until its nodes agree."""
    net.run("modprobe", "-a", "veth", "bridge", "sch_netem")
    topology = Topology(count=3, services=2, prefix="st-ring", directory=Path("/run/st-ring"))
    lab = Lab(topology, speaker_flags=key_flags(topology.directory))
    lab.up()
    tape = Tape(topology.directory / "switch" / "heard.bin")
    _kept.enter_context(chaos_bench.listening(lab, tape))
    _open.append(Bench(lab, tape))
    calm()


def calm() -> dict[str, str]:
    """Repair links and hosts, and wait until all nodes agree who holds what: VIP -> node."""
    [bench] = _open
    for host in bench.lab.topology.hosts:
        _tc("del", host, check=False)
    for node in bench.lab.topology.nodes:
        if bench.lab.speaker(node) is None:
            bench.lab.heal(node)
    _wait_for_beats(40)
    return _agreed(bench.lab.topology.nodes)


def impair(how: str) -> list[dict[str, Any]]:
    """Send by netem from now on, `how` as in tc-netem(8); the queues as the kernel made them."""
    [bench] = _open
    for host in bench.lab.topology.hosts:
        _tc("replace", host, "netem", "limit", str(_LIMIT), *how.split())
    return queues()


def queues() -> list[dict[str, Any]]:
    """What tc(8) says of the netem of each port."""
    [bench] = _open
    said = net.run("tc", "-n", bench.lab.topology.switch, "-s", "-j", "qdisc", "show")
    return [queue for queue in json.loads(said) if queue["kind"] == "netem"]


def watch(beats: int) -> dict[str, Any]:
    """Leave the ring in peace until every herald has had so many beats reflected; what it did."""
    [bench] = _open
    logs = [bench.lab.log(node) for node in bench.lab.topology.nodes]
    reader = LogReader()
    for log in logs:
        reader.skip(log)
    bench.tape.rewind()
    tallies = Tallies(time.monotonic_ns())
    _wait_for_beats(beats)
    tallies.add(bench.tape.read(), time.monotonic_ns())
    for log in logs:
        tallies.events.update(name for name in reader.news(log) if name in EVENTS)
    return {
        "false_failovers": tallies.false_failovers,
        "vips_moved": tallies.vips_moved,
        "events": dict(tallies.events),
        "holders": dict(views.holders(bench.lab).agreed),
    }


def kill(name: str) -> dict[str, Any]:
    """
    End a host, its link with it, and wait until the others agree.

    Returns `holders` by them, who then `spoke` for each VIP, and `endless`: who did beside another.
    The client asks all the time; only here, since that takes as much as a herald.
    """
    [bench] = _open
    rest = tuple(node for node in bench.lab.topology.nodes if node.name != name)
    bench.tape.rewind()
    with chaos_bench.probing(bench.lab):
        _wait_for_words(bench)
        bench.lab.kill(bench.lab.topology.node(name), Target.HOST)
        holders = _agreed(rest)
        # By the time of the frames: a listener on a slow processor writes old ones down late.
        agreed_ns = time.monotonic_ns()
        _wait_for_words(bench, agreed_ns)
        endless = [q for q in quarrels(bench.tape.read()) if q.length_ns > _ENDLESS_NS]
    return {
        "holders": holders,
        "spoke": _spoke(bench, agreed_ns),
        "endless": [_told(bench, quarrel) for quarrel in endless],
    }


def _wait_for_words(bench: Bench, since_ns: int = 0) -> None:
    """Wait until every VIP was spoken for often enough since then."""
    vips = [vip for pair in bench.lab.topology.vips for vip in pair]

    def words() -> list[int]:
        heard = by_vip(one for one in bench.tape.read() if one.at_ns > since_ns)
        return [len(heard.get(vip, ())) for vip in vips]

    eventually(words, until=lambda w: min(w) >= _WORDS, within_s=WITHIN_S, what="all were heard")


def _spoke(bench: Bench, since_ns: int) -> dict[str, list[str]]:
    vips = {vip for pair in bench.lab.topology.vips for vip in pair}
    heard = by_vip(one for one in bench.tape.read() if one.at_ns > since_ns)
    return {
        str(vip): sorted({_name(bench, one.lladdr) for one in heard[vip]})
        for vip in sorted(vips, key=str)
    }


def _told(bench: Bench, quarrel: Quarrel) -> str:
    names = ", ".join(_name(bench, voice) for voice in quarrel.voices)
    return f"{quarrel.vip}: {names} for {quarrel.length_ns / 1e9:.1f} s"


def _name(bench: Bench, lladdr: bytes) -> str:
    known = {host.lladdr_text: host.name for host in bench.lab.topology.hosts}
    return known.get(lladdr.hex(":"), lladdr.hex(":"))


def _agreed(nodes: tuple[Host, ...]) -> dict[str, str]:
    """VIP -> node, once `nodes` agree that it is one of them, for every VIP."""
    [bench] = _open
    vips = {str(vip) for pair in bench.lab.topology.vips for vip in pair}
    names = {node.name for node in nodes}

    def is_whole(seen: Holders) -> bool:
        return not seen.silent and set(seen.agreed) == vips and set(seen.agreed.values()) <= names

    def look() -> Holders:
        return views.holders(bench.lab, nodes)

    found = eventually(look, until=is_whole, within_s=WITHIN_S, what=f"{sorted(names)} agree")
    return dict(found.agreed)


def _wait_for_beats(count: int) -> None:
    """Wait until every herald has had `count` more beats reflected."""
    [bench] = _open

    def reflected() -> list[int]:
        found = [views.counters(bench.lab, node) for node in bench.lab.topology.nodes]
        return [0 if each is None else each.herald.get("beats_reflected", 0) for each in found]

    before = reflected()
    eventually(
        reflected,
        until=lambda now: all(n - b >= count for n, b in zip(now, before, strict=True)),
        within_s=WITHIN_S,
        what=f"{count} beats were reflected to each",
    )


def _tc(verb: str, host: Host, *words: str, check: bool = True) -> None:
    [bench] = _open
    where = ["dev", host.name, "root"]
    net.run("tc", "-n", bench.lab.topology.switch, "qdisc", verb, *where, *words, check=check)
