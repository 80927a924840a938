"""The data plane as the herald sees it: VIPs in, answers by the kernel, counters and events out."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

from speaker.dataplane import bpffs, counters
from speaker.dataplane.attach import Post, Posts
from speaker.dataplane.cells import CellView
from speaker.dataplane.entries import Rows
from speaker.dataplane.errors import ApplyError
from speaker.dataplane.events import Events
from speaker.dataplane.hasher import Hasher
from speaker.dataplane.heard import HeardBeat
from speaker.dataplane.interfaces import Choice, Link, Refusal, choose
from speaker.dataplane.layout import CellState, Voice
from speaker.dataplane.libbpf import Libbpf
from speaker.dataplane.multicast import Groups
from speaker.dataplane.program import privileges
from speaker.dataplane.settings import Settings
from speaker.dataplane.spots import Spot, Wanted, place_names, plan_spots
from speaker.dataplane.store import Store
from speaker.dataplane.taps import Taps
from speaker.dataplane.trials import Trials
from speaker.dataplane.values import (
    Attachment,
    HeardVoice,
    Lost,
    Options,
    Rung,
    RungReason,
    Vip,
    VipCounters,
    VipRow,
)
from speaker.dataplane.watcher import list_links
from speaker.dataplane.writer import Writer

LEASE_NS = 3_000_000_000  # OWNERSHIP.md 7


@attrs.define
class DataPlane:
    """
    Our program on every chosen interface, its table of VIPs and its cells.

    One task owns it; nothing here blocks for more than about 2 ms, `open` apart: what is larger is
    queued and done by `step`. Wire it as

        plane = DataPlane.open(options, instance_id=i, generation=g, now_ns=t)
        plane.sync(watcher.links(), now_ns=t)   # at every change of links, and every 10 s
        for row in plane.adopted: ...           # seats of the herald before us, still answered
        plane.enter(now_ns=t)                   # when this herald may speak: cells become owning
        plane.push_lease(now_ns=t)              # every beat
        while plane.pending: plane.step(s); await asyncio.sleep(0)
        loop.add_reader(plane.events_fd, ...)   # then read_events()
        loop.add_reader(plane.packets_fd, ...)  # then answer_packets()
    """

    options: Options
    instance_id: int
    generation: int
    trials: Trials  # of native XDP
    adopted: tuple[VipRow, ...]  # VIPs found in the table; ours only if `adopted_lease`
    adopted_lease: bool
    _store: Store
    _writer: Writer
    _posts: Posts
    _events: Events
    _settings: Settings
    _attachments: tuple[Attachment, ...] = ()
    _choice: Choice = attrs.field(factory=lambda: Choice((), {}))
    _names: dict[int, str] = attrs.field(factory=dict)
    _is_speaking: bool = False
    _hasher: Hasher | None = None

    @classmethod
    def open(
        cls,
        options: Options,
        *,
        instance_id: int,
        generation: int,
        now_ns: int,
        least_epoch: int = 1,
    ) -> "DataPlane":
        """
        Load the program and adopt what is pinned: attachments, table, cells, counters.

        Attachments keep answering while the program is swapped. Cells still under a lease or hold
        are pushed (`adopted_lease`), so the seats in `adopted` are ours. Takes some 100 ms. Raises
        ApplyError when bpffs, a capability or the object is missing.
        """
        began_ns = time.monotonic_ns()
        if missing := privileges():
            raise ApplyError(missing)
        settings = Settings(options.state_dir, options.manage_sysctls)
        mounted = bpffs.ensure(options.bpffs)
        if mounted is not None:
            settings.mounted(mounted)
        libbpf = Libbpf()
        pins = bpffs.Pins(options.bpffs)
        store = Store.open(libbpf, pins, options.object_path, options.slots)
        store.cells.least_epoch = least_epoch
        taps = Taps(libbpf, store.program.tc_fd)
        posts = Posts(libbpf, pins, options.mode, store.program, options.state_dir, taps)
        posts.adopt()
        store.forget_others()
        settings.warnings += store.warnings
        # A lease from `now_ns` on could be over before anybody pushes it: on a busy node what is
        # above has taken longer than 3 s.
        now_ns += time.monotonic_ns() - began_ns
        alive = [
            cell.index
            for cell in store.cells.used()
            if cell.state in {CellState.OWNING, CellState.HOLDING}
            and store.cells.adopt(cell.index, now_ns=now_ns, lease_ns=LEASE_NS)
        ]
        groups = Groups()
        groups.read()
        writer = Writer.adopt(store, groups, posts.swap, place_names(list_links()))
        return cls(
            options=options,
            instance_id=instance_id,
            generation=generation,
            trials=Trials(posts),
            adopted=tuple(Rows(writer.entries).values()),
            adopted_lease=bool(alive),
            store=store,
            writer=writer,
            posts=posts,
            events=Events.open(libbpf, os.dup(store.program.maps["events"])),
            settings=settings,
            is_speaking=bool(alive),
        )

    @property
    def migrated_from(self) -> str:
        """Name of the layout version whose maps were taken over; "" when they were of ours."""
        return self._store.migrated_from

    # -- interfaces ------------------------------------------------------------------------------

    def sync(self, links: Sequence[Link], *, now_ns: int) -> bool:
        """
        Attach to chosen interfaces, detach from those gone or refused, re-attach where removed.

        Idempotent. Returns whether `attachments` changed. An interface that cannot be attached
        is an attachment with Rung.NONE and its reason; raises nothing for it.
        """
        self._choice = choose(links, self.options.excludes)
        wanted = plan_spots(self._choice.chosen)
        self._names = {link.ifindex: link.name for link in links}
        served = {want.hook.ifindex for want in wanted}
        for ifindex in [n for n in self._posts.by_ifindex if n not in served]:
            self._posts.leave(ifindex)
        for hook in {want.hook.ifindex: want.hook for want in wanted}.values():
            self._ensure(hook, any(want.hook == hook and want.vlan for want in wanted))
        before, self._attachments = self._attachments, tuple(map(self._attachment, wanted))
        self._follow(wanted, now_ns)
        return before != self._attachments

    def _ensure(self, hook: Link, has_uppers: bool) -> None:
        try:
            # The other end of a veth hands tags over beside the frame, whatever rxvlan here says.
            hidden = has_uppers and (hook.kind == "veth" or not self._settings.show_tags(hook.name))
            self._posts.ensure(hook, tags_hidden=hidden)
        except ApplyError as exc:
            self._settings.warnings.append(f"{hook.name}: {exc}")
            post = Post(hook.ifindex, Rung.NONE, RungReason.NOT_SUPPORTED, str(exc))
            self._posts.by_ifindex.setdefault(hook.ifindex, post)

    def _attachment(self, want: Wanted) -> Attachment:
        post = self._posts.by_ifindex[want.hook.ifindex]
        cell = None
        if post.rung is not Rung.NONE:
            cell = self._store.cells.claim(
                want.hook.ifindex,
                want.vlan,
                want.link.lladdr,
                instance_id=self.instance_id,
                generation=self.generation,
            )
        crowded = post.rung is not Rung.NONE and cell is None
        return Attachment(
            name=want.link.name,
            ifindex=want.hook.ifindex,
            vlan=want.vlan,
            lladdr=want.link.lladdr,
            rung=Rung.NONE if crowded else post.rung,
            reason=RungReason.NO_ROOM if crowded else post.reason,
            detail=post.detail,
            cell=-1 if cell is None else cell,
            ndp=want.link.link_local,
        )

    def _follow(self, wanted: Iterable[Wanted], now_ns: int) -> None:
        """Give new and changed attachments their slots, and take them from those that went."""
        cells = self._store.cells
        old = self._writer.spots
        spots: dict[bytes, Spot] = {}
        for want, attachment in zip(wanted, self._attachments, strict=True):
            if attachment.rung is Rung.NONE:
                continue
            spot = old.get(want.place)
            if spot is None or spot.attachment != attachment:
                spot = Spot(attachment, want.link.ifindex, want.place)
                self._settings.attached(attachment.name)
                if self._is_speaking and cells.state(attachment.cell) == CellState.RELEASED:
                    cells.enter(attachment.cell, now_ns=now_ns, lease_ns=LEASE_NS, keep_epoch=False)
            spots[want.place] = spot
        self._writer.move(spots)
        self._writer.retry()
        served = {spot.attachment.cell for spot in spots.values()}
        for cell in cells.used():
            if cell.index not in served:
                cells.free(cell.index)
        for spot in old.values():
            if spot.place not in spots:
                self._settings.gone(spot.attachment.name)
                if spot.own_ifindex not in self._names:
                    self._writer.groups.forget(spot.own_ifindex)

    def attachments(self) -> tuple[Attachment, ...]:
        """Every chosen (interface, VLAN), sorted by name."""
        return self._attachments

    def refused(self) -> dict[str, Refusal]:
        """Interfaces not chosen, by name, with the reason."""
        return self._choice.refused

    def take_warnings(self) -> list[str]:
        """What an operator should know, each line once: settings that could not be made."""
        taken, self._settings.warnings = self._settings.warnings, []
        return taken

    # -- rows ------------------------------------------------------------------------------------

    def put(self, rows: Iterable[VipRow]) -> None:
        """Make the table say `rows`; VIPs not named stay. Past 64 rows work waits for `step`."""
        self._writer.put(rows)

    def remove(self, vips: Iterable[Vip]) -> None:
        """Take VIPs out of the table: from now on their frames pass uncounted."""
        self._writer.remove(vips)

    def speak(self, vip: Vip, voice: Voice, lladdr: bytes | None = None) -> None:
        """
        Flip one VIP that was put, on all its interfaces; at once, one store per interface.

        Raises KeyError for one that was not put.
        """
        self._writer.speak_all((vip.packed,), voice, lladdr)

    def speak_all(
        self, addresses: Iterable[bytes], voice: Voice, lladdr: bytes | None = None
    ) -> None:
        """As `speak`, for thousands of VIPs, by their 4 or 16 octets: 0.5 us each and interface."""
        self._writer.speak_all(addresses, voice, lladdr)

    def listen(self, vips: Iterable[Vip], *, on: bool) -> None:
        """Report (or no more) whoever speaks for these VIPs, also where we do not: for probing."""
        self._writer.listen(vips, on=on)

    def rows(self) -> Mapping[Vip, VipRow]:
        """What was put or adopted, and not removed: a live, read-only view."""
        return Rows(self._writer.entries)

    @property
    def pending(self) -> bool:
        """Whether `step` has work: a table being filled, rebuilt or grown, groups to join."""
        return self._writer.pending

    def step(self, now: float) -> bool:
        """
        Do one slice (about a millisecond) of waiting work; returns `pending`.

        `now`: monotonic seconds. What the kernel refuses is a warning; it is tried again after the
        next `sync`, and what is in the tables stays.
        """
        try:
            full = self._writer.step(now)
        except ApplyError as exc:
            self._settings.warnings.append(str(exc))
            return self.pending
        for ifindex in full:
            self._settings.hear_all_multicast(self._names.get(ifindex, str(ifindex)))
        return self.pending

    # -- lease -----------------------------------------------------------------------------------

    def enter(
        self, *, now_ns: int, keep_epoch: bool = False, ifindexes: Iterable[int] = ()
    ) -> None:
        """
        Start (or after a loss re-start) speaking: cells not owning become owning, lease from now.

        Their epoch grows unless `keep_epoch`. `ifindexes` limits it to those; empty: all. Their
        seats must have been flipped away from HELD before. Cells of interfaces that appear later
        are entered by `sync` by themselves.
        """
        self._is_speaking = True
        only = set(ifindexes)
        for spot in self._writer.spots.values():
            if not only or spot.attachment.ifindex in only:
                self._store.cells.enter(
                    spot.attachment.cell, now_ns=now_ns, lease_ns=LEASE_NS, keep_epoch=keep_epoch
                )

    def push_lease(self, *, now_ns: int, lease_ns: int = LEASE_NS) -> tuple[Lost, ...]:
        """
        Push the deadline of every owning cell to `now_ns + lease_ns`.

        A cell whose deadline had passed, or that the program suspended, is not pushed but returned
        (at every call until `enter`): its seats are lost.
        """
        self._posts.taps.look(now_ns)
        cells, lost = self._store.cells, []
        for spot in self._writer.spots.values() if self._is_speaking else ():
            index = spot.attachment.cell
            if not cells.push(index, now_ns=now_ns, lease_ns=lease_ns):
                lost.append(Lost(spot.attachment, cells.state(index) == CellState.SUSPENDED))
        return tuple(lost)

    def hold(self, *, now_ns: int, for_s: float = 30.0) -> None:
        """Stop with hold: answers go on for `for_s`, nothing is dropped, the next herald adopts."""
        self._is_speaking = False
        for spot in self._writer.spots.values():
            until_ns = now_ns + int(for_s * 1e9)
            self._store.cells.hold(spot.attachment.cell, now_ns=now_ns, until_ns=until_ns)

    def release(self) -> None:
        """Stop speaking: cells become released; attachments stay until cleanup."""
        self._is_speaking = False
        for spot in self._writer.spots.values():
            self._store.cells.release(spot.attachment.cell)

    def cells(self) -> tuple[CellView, ...]:
        """Every cell as it is now, for status."""
        return tuple(self._store.cells.used())

    # -- beats -----------------------------------------------------------------------------------

    def set_beat_keys(self, slots: bytes, *, is_open: bool) -> None:
        """
        Reflect beats signed with either key of `slots` (32 octets, `speaker.beats.Keys.slots`).

        Also on cells of interfaces that appear later. `is_open`: the ring has no key. Without
        this call adopted cells keep their keys and new ones reflect nothing.
        """
        self._store.cells.set_keys(slots, is_open=is_open)

    def hasher(self, instead: Callable[[bytes, bytes], bytes]) -> Callable[[bytes, bytes], bytes]:
        """SipHash-2-4 (key, message) by the kernel; `instead` itself where it will not do that."""
        try:
            self._hasher = Hasher.open(self._store.libbpf, instead)
        except ApplyError as exc:
            self._settings.warnings.append(f"{exc}: beats are signed in Python")
            return instead
        return self._hasher

    def heard_beat(self, sender: int, cell: int) -> HeardBeat | None:
        """The last verified request of instance `sender` on a cell; reads memory only."""
        return self._store.heard.of(sender, cell)

    def heard_beats(self) -> list[HeardBeat]:
        """Of every instance heard, on every cell; about a millisecond."""
        return self._store.heard.all()

    # -- the last rung ---------------------------------------------------------------------------

    @property
    def packets_fd(self) -> int:
        """A descriptor for add_reader: readable when `answer_packets` has something to do."""
        return self._posts.taps.fileno()

    def answer_packets(self) -> None:
        """Answer what waits on interfaces of Rung.PACKET: a millisecond's worth, beats first."""
        self._posts.taps.answer()

    def packet_counts(self) -> Mapping[str, int]:
        """What went wrong there: `packets_unsent`, `packets_failed`."""
        return self._posts.taps.counts

    # -- what it did -----------------------------------------------------------------------------

    def iter_counters(self) -> Iterator[tuple[Vip, VipCounters]]:
        """Counters of every VIP in the table, summed over CPUs, read as the caller goes along."""
        vips = self._writer.stats()
        for index, found in counters.sums(self._store.libbpf, self._store.program.maps["stats"]):
            if index in vips:
                yield vips[index], found

    def counters(self) -> dict[Vip, VipCounters]:
        """All of `iter_counters` at once: about 4 us for each VIP on two CPUs."""
        return dict(self.iter_counters())

    def exits(self) -> dict[str, int]:
        """Frames by the way they left the program: names of `enum exit_reason` in lower case."""
        return counters.exits(self._store.libbpf, self._store.program.maps["exits"])

    @property
    def events_fd(self) -> int:
        """A descriptor for add_reader: readable when `read_events` has something; -1 for none."""
        return self._events.fd

    def read_events(self) -> list[HeardVoice]:
        """Take what the ring buffer holds (at most 256 events; the descriptor stays readable)."""
        return self._events.read()

    def close(self) -> None:
        """Let go of descriptors and memory. Program, table and answers stay in the kernel."""
        self._events.close()
        if self._hasher is not None:
            self._hasher.close()
        self._posts.close()
        self._store.close()
