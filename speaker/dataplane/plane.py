"""The data plane as the herald sees it: VIPs in, answers by the kernel, counters and events out."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from speaker.dataplane.interfaces import Link
from speaker.dataplane.values import (
    Attachment,
    Conflict,
    Lost,
    Options,
    Vip,
    VipCounters,
    VipRow,
    Voice,
)

LEASE_NS = 3_000_000_000  # OWNERSHIP.md 7


@attrs.define
class DataPlane:
    """
    Our program on every chosen interface, its table of VIPs and its cells.

    One task owns it; nothing here blocks for more than about 2 ms: what is larger is queued and
    done by `step`. Wire it as

        plane = DataPlane.open(options, instance_id=i, generation=g, now_ns=t)
        plane.sync(watcher.links(), now_ns=t)   # and again at every change of links
        for row in plane.adopted: ...           # seats of the herald before us, still answered
        plane.enter(now_ns=t)                   # when this herald may speak: cells become owning
        plane.push_lease(now_ns=t)              # every beat
        while plane.pending: plane.step(now=s); await asyncio.sleep(0)
        loop.add_reader(plane.events_fd, ...)   # then read_events()
    """

    options: Options
    adopted: tuple[VipRow, ...] = ()
    _rows: dict[Vip, VipRow] = attrs.field(factory=dict)

    @classmethod
    def open(
        cls, options: Options, *, instance_id: int, generation: int, now_ns: int
    ) -> "DataPlane":
        """
        Load the program and adopt what is pinned: attachments, table, cells, counters.

        Attachments keep answering while the program is swapped. `adopted` lists the VIPs found,
        `adopted_lease` says whether any cell is still under a lease or hold.
        Raises ApplyError when bpffs, a capability or the object is missing, or the mode cannot be.
        """
        return cls(options)

    @property
    def adopted_lease(self) -> bool:
        """Whether an adopted cell was still owning or holding, so that its seats are ours."""
        return False

    def sync(self, links: Sequence[Link], *, now_ns: int) -> bool:
        """
        Attach to chosen interfaces, detach from those gone or refused, re-attach where removed.

        Idempotent. Returns whether `attachments` changed. An interface that cannot be attached
        is an attachment with Rung.NONE and its reason; raises nothing for it.
        """
        return False

    def attachments(self) -> tuple[Attachment, ...]:
        """Every chosen (interface, VLAN), sorted by name."""
        return ()

    def refused(self) -> dict[str, str]:
        """Interfaces not chosen, by name, with the reason code."""
        return {}

    def put(self, rows: Iterable[VipRow]) -> None:
        """Make the table say `rows`; VIPs not named stay. Past 64 rows work waits for `step`."""
        for row in rows:
            self._rows[row.vip] = row

    def remove(self, vips: Iterable[Vip]) -> None:
        """Take VIPs out of the table: from now on their frames pass uncounted."""
        for vip in vips:
            self._rows.pop(vip, None)

    def speak(self, vip: Vip, voice: Voice, lladdr: bytes | None = None) -> None:
        """Flip one VIP that was put, on all its interfaces; at once, one store per interface."""
        self._rows[vip] = attrs.evolve(self._rows[vip], voice=voice, lladdr=lladdr)

    def speak_all(self, vips: Iterable[Vip], voice: Voice, lladdr: bytes | None = None) -> None:
        """As `speak`, for thousands: about a microsecond for each VIP and interface."""
        for vip in vips:
            self.speak(vip, voice, lladdr)

    def rows(self) -> dict[Vip, VipRow]:
        """What was put and not removed (a read-only view; do not change it)."""
        return self._rows

    @property
    def pending(self) -> bool:
        """Whether `step` has work: a table being filled, rebuilt or grown, groups to join."""
        return False

    def step(self, now: float) -> bool:
        """Do one slice (about a millisecond) of waiting work; returns `pending`."""
        return False

    def enter(
        self, *, now_ns: int, keep_epoch: bool = False, ifindexes: Iterable[int] = ()
    ) -> None:
        """
        Start (or after a loss re-start) speaking: cells not owning become owning, lease from now.

        Their epoch grows unless `keep_epoch`. `ifindexes` limits it to those; empty: all. Their
        seats must have been flipped away from HELD before. Cells of interfaces that appear later
        are entered by `sync` by themselves.
        """

    def push_lease(self, *, now_ns: int, lease_ns: int = LEASE_NS) -> tuple[Lost, ...]:
        """
        Push the deadline of every owning cell to `now_ns + lease_ns`.

        A cell whose deadline had passed, or that the program suspended, is not pushed but returned
        (at every call until `enter`): its seats are lost.
        """
        return ()

    def hold(self, *, now_ns: int, for_s: float = 30.0) -> None:
        """Stop with hold: answers go on for `for_s`, nothing is dropped, the next herald adopts."""

    def release(self) -> None:
        """Stop speaking: cells become released, every frame passes; attachments stay."""

    def counters(self) -> dict[Vip, VipCounters]:
        """Counters of every VIP in the table, summed over CPUs: about 3 us for each."""
        return {}

    def exits(self) -> dict[str, int]:
        """Frames by the way they left the program: names of `enum exit_reason` in lower case."""
        return {}

    @property
    def events_fd(self) -> int:
        """A descriptor for add_reader: readable when `read_events` has something; -1 for none."""
        return -1

    def read_events(self) -> list[Conflict]:
        """Take what the ring buffer holds (at most 256 events; the descriptor stays readable)."""
        return []

    def close(self) -> None:
        """Let go of descriptors and memory. Program, table and answers stay in the kernel."""


def cleanup(bpffs: Path, state_dir: Path) -> tuple[str, ...]:
    """
    Undo everything any version of us left: links, filters, pins, groups, sysctls, offloads.

    Returns a line for each thing undone; idempotent. Raises ApplyError without the privilege.
    """
    return ()
