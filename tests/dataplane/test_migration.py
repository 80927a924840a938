"""Maps of another layout version, taken over while a client asks; and crashes on the way."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from speaker.dataplane import DataPlane, Options, VipRow, Voice, XdpMode, fresh, store
from speaker.dataplane.attach import Posts
from speaker.dataplane.btf import Btf, Leaf
from speaker.dataplane.cells import Cells, futex_xor
from speaker.dataplane.layout import LAYOUT_VERSION, CellState
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.program import memory
from stentor.lab import variant
from tests.dataplane.conftest import NO_EXCLUDES, Herald, Start
from tests.dataplane.net import Asker, Pair, inside
from tests.eventually import DEADLINES, eventually

pytestmark = pytest.mark.root

OURS = "02:00:00:00:00:01"
GIVEN_TO = bytes.fromhex("020000000077")
VIP, VIP6 = "192.0.2.200", "2001:db8::200"
OTHER = "v0"  # the directory of another version; here its layout is the same

# A herald of the other build: many VIPs, questions answered, then a hold.
OTHER_BUILD = """
import sys, time
from ipaddress import ip_address
from pathlib import Path
from speaker.dataplane import *
from speaker.dataplane.layout import LAYOUT_VERSION
from speaker.dataplane.watcher import Watcher
plane = DataPlane.open(
    Options(bpffs=Path(sys.argv[1]), state_dir=Path(sys.argv[2]), mode=XdpMode(sys.argv[3]),
            excludes=(), slots=4096),
    instance_id=7, generation=1, now_ns=time.monotonic_ns())
plane.sync([l for l in Watcher.open().links() if l.name == "eth0"], now_ns=time.monotonic_ns())
plane.enter(now_ns=time.monotonic_ns())
plane.set_beat_keys(bytes(range(32)), is_open=False)
count = int(sys.argv[4])
plane.put([VipRow(ip_address("192.0.2.200"), Voice.HELD),
           VipRow(ip_address("2001:db8::200"), Voice.HELD),
           *(VipRow(ip_address(0x0A000000 + n), Voice.ELSEWHERE) for n in range(count)),
           *(VipRow(ip_address((0x20010db8 << 96) + 0x10000 + n), Voice.HELD)
             for n in range(count))])
while plane.step(time.monotonic()):
    plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=300 * 10**9)
plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=300 * 10**9)
plane.hold(now_ns=time.monotonic_ns(), for_s=300.0)
print(LAYOUT_VERSION, plane.migrated_from or "-", len(plane.adopted), flush=True)
import os; os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def other_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return variant.build(tmp_path_factory.mktemp("variant") / "tree")


def play(net: Pair, build: Path, count: int, mode: str = "native") -> list[str]:
    """Run OTHER_BUILD; what it prints."""
    words = ["ip", "netns", "exec", net.node, sys.executable, "-c", OTHER_BUILD,
             str(net.bpffs), str(net.state_dir), mode, str(count)]  # fmt: skip
    died = subprocess.run(words, capture_output=True, text=True, cwd=build, check=False)
    assert died.returncode == -9, died.stderr
    return died.stdout.split()


@pytest.mark.parametrize("mode", [XdpMode.NATIVE, XdpMode.TC])
def test_an_upgrade_and_a_downgrade_miss_no_answer_and_keep_all(
    net: Pair, start: Start, other_build: Path, mode: XdpMode
) -> None:
    count = 1100  # more than the 2,048 rows that a table begins with, on both builds
    version, migrated, _ = play(net, other_build, count, mode)
    assert (int(version), migrated) == (LAYOUT_VERSION + 1, "-")
    assert net.neighbour(VIP) == OURS

    with Asker(net.client, VIP) as asker:
        herald = start(mode, 1024)
        eventually(lambda: asker.asked, until=lambda n: n > 20, within_s=DEADLINES.answered)

    assert asker.missed == 0
    assert herald.plane.migrated_from == f"v{LAYOUT_VERSION + 1}"
    assert herald.plane.adopted_lease
    assert len(herald.plane.adopted) == 2 + 2 * count
    assert net.neighbour(VIP6) == OURS
    assert [path.name for path in net.bpffs.glob("v*")] == [f"v{LAYOUT_VERSION}"]
    [cell] = herald.plane.cells()
    assert (cell.epoch, cell.lladdr.hex(":")) == (1, OURS)
    asked = herald.plane.counters()[ip_address(VIP)].requests
    assert asked >= 20
    exits = herald.plane.exits()["arp_answered"]
    assert exits >= asked

    herald.plane.hold(now_ns=time.monotonic_ns(), for_s=300.0)

    version, migrated, adopted = play(net, other_build, count, mode)

    assert (migrated, int(adopted)) == (f"v{LAYOUT_VERSION}", 2 + 2 * count)
    assert net.neighbour(VIP) == OURS
    again = start(mode, 1024)
    assert again.plane.counters()[ip_address(VIP)].requests > asked
    assert again.plane.exits()["arp_answered"] > exits
    assert [each.epoch for each in again.plane.cells()] == [1]


# -- what the same layout under another name shows too ---------------------------------------------


@pytest.fixture
def before(net: Pair, start: Start) -> Herald:
    """A herald with a VIP in each voice, whose pins are another version's afterwards."""
    herald = start()
    herald.plane.put(
        [VipRow(ip_address(VIP), Voice.HELD), VipRow(ip_address(VIP6), Voice.HELD)]
        + [
            VipRow(ip_address(f"192.0.2.{210 + voice}"), voice, None,
                   GIVEN_TO if voice is Voice.GIVEN else None)
            for voice in Voice
            if voice not in {Voice.HELD, Voice.DEAD}
        ]
    )  # fmt: skip
    herald.work()
    (net.bpffs / f"v{LAYOUT_VERSION}").rename(net.bpffs / OTHER)
    return herald


@contextmanager
def opened(net: Pair) -> Iterator[DataPlane]:
    """A plane that has adopted, and done nothing else."""
    with inside(net.node):
        options = Options(
            bpffs=net.bpffs, state_dir=net.state_dir, mode=XdpMode.NATIVE, excludes=NO_EXCLUDES
        )
        made = DataPlane.open(options, instance_id=2, generation=2, now_ns=time.monotonic_ns())
        try:
            yield made
        finally:
            made.close()


def test_every_voice_is_taken_over(net: Pair, before: Herald) -> None:
    with opened(net) as plane:
        assert dict(plane.rows()) == dict(before.plane.rows())
        assert plane.migrated_from == OTHER


@pytest.mark.parametrize("state", CellState)
def test_every_state_of_a_cell_is_taken_over(net: Pair, before: Herald, state: CellState) -> None:
    cells = before.plane._store.cells
    if state is CellState.HOLDING:
        before.plane.hold(now_ns=time.monotonic_ns(), for_s=300.0)
    elif state is not CellState.OWNING:
        cells.end(0, state)
    else:
        before.plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=300 * 10**9)
    [was] = before.plane.cells()
    answers = state in {CellState.OWNING, CellState.HOLDING}

    with opened(net) as plane:
        [cell] = plane.cells()

        assert plane.adopted_lease is answers
        assert cell.state == (CellState.OWNING if answers else state)
        assert (was.epoch, was.ifindex, was.lladdr) == (cell.epoch, cell.ifindex, cell.lladdr)


def other_cells(net: Pair) -> Cells:
    libbpf = Libbpf()
    view = memoryview(memory(libbpf, libbpf.get(net.bpffs / OTHER / "maps" / "cells")))
    return Cells(view, futex_xor(view))


@pytest.mark.parametrize("moment", ["before the swap", "after the swap"])
def test_a_fence_that_comes_on_the_way_is_not_lost(
    net: Pair, before: Herald, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before.plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=300 * 10**9)
    adopt = Posts.adopt

    def fenced(posts: Posts) -> None:
        if moment == "after the swap":
            adopt(posts)
        cells = other_cells(net)
        cells.note_fence(0, 1)
        cells.end(0, CellState.SUSPENDED)
        if moment == "before the swap":
            adopt(posts)

    monkeypatch.setattr(Posts, "adopt", fenced)

    with opened(net) as plane:
        [cell] = plane.cells()
        assert cell.state == CellState.SUSPENDED
        assert not plane.adopted_lease
        assert plane._store.cells.fenced_epoch(0) == 1


class Crash(BaseException):
    """The process ends here."""


def crash(*_: object) -> None:
    raise Crash


STEPS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "filled": lambda patch: patch.setattr(fresh, "write", crash),
    "pinned": lambda patch: patch.setattr(Path, "rename", crash),
    "committed": lambda patch: patch.setattr(Posts, "adopt", crash),
    "swapped": lambda patch: patch.setattr(store, "wait_for_programs", crash),
    "carried": lambda patch: patch.setattr(store, "remove_others", crash),
}


@pytest.mark.parametrize("step", STEPS)
def test_after_a_crash_between_two_steps_the_next_adopts_all(
    net: Pair, before: Herald, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before.plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=300 * 10**9)
    with monkeypatch.context() as patch:
        STEPS[step](patch)
        with pytest.raises(Crash), opened(net):
            pass
    assert net.neighbour(VIP) == OURS
    other_cells(net).note_fence(0, 0)

    with opened(net) as plane:
        assert plane.adopted_lease
        assert dict(plane.rows()) == dict(before.plane.rows())
    assert [path.name for path in net.bpffs.glob("v*")] == [f"v{LAYOUT_VERSION}"]
    assert net.neighbour(VIP) == OURS


def test_a_fence_between_a_crash_and_the_next_process_is_not_lost(
    net: Pair, before: Herald, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is older than the fence, which an old program still attached has obeyed."""
    before.plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=300 * 10**9)
    with monkeypatch.context() as patch:
        STEPS["committed"](patch)
        with pytest.raises(Crash), opened(net):
            pass
    other_cells(net).end(0, CellState.SUSPENDED)

    with opened(net) as plane:
        assert [cell.state for cell in plane.cells()] == [CellState.SUSPENDED]


@pytest.mark.parametrize("missing", ["epoch", "voice.state", "active4"])
def test_what_lacks_a_needed_member_is_said_and_the_start_is_from_nothing(
    net: Pair, before: Herald, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    leaves = Btf.leaves

    def without(self: Btf, number: int) -> dict[str, Leaf]:
        found = leaves(self, number)
        found.pop(missing, None)
        return found

    monkeypatch.setattr(Btf, "leaves", without)

    with opened(net) as plane:
        warnings = plane.take_warnings()
        assert any(missing in line and OTHER in line for line in warnings), warnings
        assert plane.adopted == ()
        assert not plane.adopted_lease
    assert [path.name for path in net.bpffs.glob("v*")] == [f"v{LAYOUT_VERSION}"]
