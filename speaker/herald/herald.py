"""
The herald's household: the ownership core in the middle, and everything it hears from.

    agent --plan--> core <--members, messages-- ring
    kernel --interfaces, addresses, conflicts, lost leases--> core
    core --actions--> performer: data plane, announcements, lo, ring, log

All of it runs in one event loop. Whatever the core is told, `settle` follows: it has the actions
carried out and sets the alarm for the next thing that falls due.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

import attrs

from speaker.config import Settings
from speaker.dataplane import Attachment, DataPlane, EventKind, Rung, Voice
from speaker.dataplane.interfaces import HostAddress
from speaker.dataplane.interfaces import Link as KernelLink
from speaker.dataplane.watcher import Watcher
from speaker.herald import link, realtime, views
from speaker.herald.actions import Voice as CoreVoice
from speaker.herald.alarm import Alarm
from speaker.herald.beater import Beater
from speaker.herald.core import AdoptedRow, HeraldCore, PlannedSeat
from speaker.herald.core import Link as CoreLink
from speaker.herald.frames import Vip
from speaker.herald.holding import HOLD_S, Ending, HoldRefusal
from speaker.herald.memory import Memory
from speaker.herald.performer import Performer, names
from speaker.herald.prover import Prover
from speaker.herald.reentry import Entry
from speaker.herald.ring import MARKER, Ring
from speaker.herald.segments import Segment, Segments
from speaker.herald.server import LinkServer
from speaker.herald.trial import Trial
from speaker.herald.vips import read_vip
from stentor.logging import Log

Network = IPv4Network | IPv6Network
CLEARING_NS = 75_000_000_000  # longer than any address on lo lives by itself
# Rtnetlink does not tell when somebody detaches our link; MetalLB looks as often.
SCAN_S = 10.0
GOODBYE_S = 1.0  # for the ring's leave, after the seats are handed over


@attrs.define(eq=False)
class Herald:
    """
    Wires the parts, which process.py makes and runs.

    `fatal` is resolved with a message when this node must end, or with a bug's exception.
    """

    settings: Settings
    generation: int
    core: HeraldCore
    plane: DataPlane
    watcher: Watcher
    log: Log
    fatal: "asyncio.Future[str]"
    segments: Segments = attrs.field(init=False)
    ring: Ring = attrs.field(init=False)
    server: LinkServer = attrs.field(init=False)
    performer: Performer = attrs.field(init=False)
    memory: Memory = attrs.field(init=False)
    prover: Prover = attrs.field(init=False)
    beater: Beater | None = None  # with --failover=beats
    counts: "Counter[str]" = attrs.field(factory=Counter)
    plan: link.Plan | None = None
    _tick_alarm: Alarm = attrs.field(init=False)
    _scan_alarm: Alarm = attrs.field(init=False)
    _version: int = -1
    _lost: frozenset[int] = frozenset()  # ifindexes of cells that may not speak
    _empty_handed: asyncio.Event = attrs.field(factory=asyncio.Event)
    _is_settling: bool = False
    _own: frozenset[Vip] = frozenset()
    _planned_vips: dict[str, Vip] = attrs.field(factory=dict)
    _traffic: dict[Vip, tuple[int, float]] = attrs.field(factory=dict)  # count, when it last grew

    def __attrs_post_init__(self) -> None:
        self._tick_alarm = Alarm(self._tick)
        self._scan_alarm = Alarm(self.interfaces_changed)
        self.prover = Prover(
            Trial(self.settings.node), self.core, self.plane, self.interfaces_changed, self.log,
            self.counts,
        )  # fmt: skip

    # --- start and stop

    def adopt(self) -> None:
        """Go on where the herald before us stopped, if its lease still holds; else from nothing."""
        now, now_ns = self._now(), time.monotonic_ns()
        self.memory.restore(self.core.restore)
        rows = self.plane.adopted
        has_lease = self.plane.adopted_lease
        if self.plane.migrated_from:
            self.log.info("maps_migrated", version=self.plane.migrated_from, vips=len(rows))
        if has_lease:
            self._take_plan(self.memory.plan())
            self.plane.push_lease(now_ns=now_ns)
            self.core.adopt((AdoptedRow(r.vip, _core(r.voice), r.lladdr) for r in rows), now)
        else:
            self.plane.speak_all([row.vip.packed for row in rows], Voice.ELSEWHERE)
        self.interfaces_changed()
        for row in rows if has_lease else ():  # on interfaces known by now: nothing is announced
            if row.voice in {Voice.HELD, Voice.WEAK}:
                self.performer.resume(row)
        if not has_lease:
            self.plane.enter(now_ns=now_ns)
        if self.plan is not None:
            self._tell_plan(self.plan, from_agent=False)

    async def stop(self) -> Ending:
        """Do what SIGTERM means by the settings; what is left to do then is `close`."""
        if self._asks_for_hold:
            refusal = self._hold_refusal()
            if refusal is None:
                self.core.hold(self._now())
                self.settle()
                return Ending.HOLD
            self.log.warn("hold_refused", reason=refusal)
        await self._leave()
        return Ending.LEAVE

    @property
    def _asks_for_hold(self) -> bool:
        return self.settings.on_stop == "hold"

    def _hold_refusal(self) -> HoldRefusal | None:
        if any(item.rung is Rung.PACKET for item in self.plane.attachments()):
            return HoldRefusal.USERSPACE
        return self.core.hold_refusal()

    async def _leave(self) -> None:
        """Hand every seat over and say goodbye, within the limit of the settings."""
        try:
            async with asyncio.timeout(self.settings.leave_timeout_s):
                self.core.leave(self._now())
                self.settle()
                await self._empty_handed.wait()
        except TimeoutError:
            self.log.warn("seats_not_handed_over", within_s=self.settings.leave_timeout_s)
        await self.ring.leave(GOODBYE_S)

    def close(self, ending: Ending) -> None:
        """Do nothing more; what the program does from now on is for `ending` to say."""
        self._tick_alarm.cancel()
        self._scan_alarm.cancel()
        self.performer.close()
        if self.beater is not None:
            self.beater.close()
        if ending is Ending.HOLD:
            # VIPs stay on lo for longer: each was refreshed less than 15 s ago, to live for 60 s.
            self.plane.hold(now_ns=time.monotonic_ns(), for_s=HOLD_S)
            self.log.info("seats_held_on", for_s=HOLD_S)
        elif ending is Ending.LEAVE:
            if self.performer.lo is not None:
                # Until the last address is gone from lo, the kernel's own answers are dropped.
                self.plane.push_lease(now_ns=time.monotonic_ns(), lease_ns=CLEARING_NS)
                self.performer.lo.close()
            self.plane.release()
        self.memory.save()
        self.plane.close()
        self.watcher.close()

    def give_way(self, message: str) -> None:
        """End, since another live instance has this node's name."""
        if not self.fatal.done():
            self.fatal.set_result(message)

    # --- inputs: the agent

    def plan_arrived(self, plan: link.Plan) -> None:
        """Take over a whole new plan of the agent."""
        if self.plan == plan:
            return
        self._take_plan(plan)
        self.memory.keep_plan(plan)
        planned = self.performer.interfaces.keys()
        held = {row.vip for row in self.plane.adopted if row.voice is not Voice.ELSEWHERE}
        self.plane.remove(self.plane.rows().keys() - planned - held)
        self.performer.fill_table()
        self._tell_plan(plan, from_agent=True)

    def _take_plan(self, plan: link.Plan | None) -> None:
        self.plan = plan
        known, planned = self._planned_vips, () if plan is None else plan.vips
        # Reading 10,000 addresses takes 25 ms: only those that are new are read.
        self._planned_vips = {v.vip: known.get(v.vip) or read_vip(v.vip) for v in planned}
        self.performer.take_plan({self._planned_vips[v.vip]: v for v in planned})

    def _tell_plan(self, plan: link.Plan, *, from_agent: bool) -> None:
        seats = [
            PlannedSeat(self._planned_vips[v.vip], v.candidates, names(v.interfaces), v.failback)
            for v in plan.vips
        ]
        self.core.set_plan(seats, self._now())
        self.ring.plan_known(plan.join, self._own)
        self.settle()
        self.server.publish()
        realtime.spare()
        self.log.info("plan_taken", vips=len(seats), plan=plan.generation, from_agent=from_agent)

    def agent_heard(self) -> None:
        """Note that the agent lives."""
        self.core.agent_heard(self._now())
        self.settle()

    # --- inputs: the kernel

    def own_addresses(self) -> frozenset[Vip]:
        """Addresses of this host but those of lo and kube-ipvs0, where VIPs are."""
        return frozenset(item.address for item in self.watcher.addresses())

    def read_watcher(self) -> None:
        """Take what rtnetlink says."""
        if self.watcher.read():
            self.interfaces_changed()

    def interfaces_changed(self) -> None:
        """Follow the kernel: attach, announce, and tell the core what must not be touched."""
        links = {each.name: each for each in self.watcher.links()}
        addresses = self.watcher.addresses()
        before = self.plane.attachments()
        if self.plane.sync(tuple(links.values()), now_ns=time.monotonic_ns()):
            self._tell_rungs(before)
        self.performer.fill_table()
        for warning in self.plane.take_warnings():
            self.log.warn("data_plane_warned", message=warning)
        self._scan_alarm.set(self._now() + SCAN_S)
        self._own = self.own_addresses()
        served = [
            (item, links[item.name])
            for item in self.plane.attachments()
            if item.rung is not Rung.NONE and not item.vlan and item.name in links
        ]
        if self.beater is not None:
            self.beater.sync({item.name: item for item, kernel in served if kernel.carrier})
        epochs = {cell.index: cell.epoch for cell in self.plane.cells()}
        self.segments.sync(_segment(item, kernel, addresses) for item, kernel in served)
        self.core.set_interfaces(
            [
                CoreLink(
                    i.name, i.lladdr, k.carrier, epochs.get(i.cell, 0), _networks(i.name, addresses)
                )
                for i, k in served
            ],
            self._own,
            self.watcher.next_hops(),
            self._now(),
        )
        self.settle()
        self.server.publish()

    def _tell_rungs(self, before: tuple[Attachment, ...]) -> None:
        known = {item.name: (item.rung, item.reason) for item in before}
        for item in self.plane.attachments():
            if known.get(item.name) != (item.rung, item.reason):
                tell = self.log.warn if item.rung is Rung.NONE else self.log.info
                tell(
                    "rung_changed", interface=item.name, rung=item.rung.value,
                    reason=item.reason.value, detail=item.detail,
                )  # fmt: skip

    def claimed(self, vip: Vip, lladdr: bytes, interface: str) -> None:
        """Hear that another LLADDR answered our probe."""
        self.log.info("probe_answered", vip=vip, lladdr=lladdr.hex(":"), interface=interface)
        self.core.probe_answered(vip, lladdr, self._now(), interface)
        self.settle()

    def read_voices(self) -> None:
        """Take what the program heard from foreign LLADDRs that speak for our VIPs."""
        spots = {(item.ifindex, item.vlan): item for item in self.plane.attachments()}
        for event in self.plane.read_events():
            self.counts["vip_voices_heard"] += 1
            spot = spots.get((event.ifindex, event.vlan))
            if event.kind is EventKind.CONFLICT and spot is not None:
                self.counts["vip_conflicts"] += 1
                ours, lladdr = spot.lladdr.hex(":"), event.lladdr.hex(":")
                self.log.warn(
                    "vip_conflicted", vip=event.vip, lladdr=lladdr, ours=ours, interface=spot.name
                )
            interface = "" if spot is None else spot.name
            self.core.probe_answered(event.vip, event.lladdr, self._now(), interface)
        self.settle()

    def beat(self) -> None:
        """Push the lease; where it had run out drop the seats served there, enter when we may."""
        lost = self.plane.push_lease(now_ns=time.monotonic_ns())
        ifindexes = frozenset(each.attachment.ifindex for each in lost)
        news = ifindexes - self._lost
        self._lost = ifindexes
        for each in lost:
            if each.attachment.ifindex in news:
                self.counts["leases_lost"] += 1
                name, suspended = each.attachment.name, each.suspended
                self.log.error("lease_lost", interface=name, suspended=suspended)
        if news:
            names = {e.attachment.name for e in lost if e.attachment.ifindex in news}
            self.core.lease_expired(self._now(), names)
            self.settle()
        for each in lost:
            self._enter_again(each.attachment)
        if not lost:
            self.prover.look(self._now())

    def _enter_again(self, attachment: Attachment) -> None:
        entry = self.core.may_enter(self._now(), attachment.name)
        if entry is not None:
            keep_epoch, ifindexes = entry is Entry.KEPT, {attachment.ifindex}
            self.plane.enter(now_ns=time.monotonic_ns(), keep_epoch=keep_epoch, ifindexes=ifindexes)
            self._lost -= ifindexes
            self.log.info("lease_entered_again", interface=attachment.name, epoch=entry)
            self.core.entered(self._now(), attachment.name)
        self.settle()

    # --- the core's word

    def settle(self) -> None:
        """Carry out what the core wants, and come back when it wants more."""
        if self._is_settling:  # told something by an action of its own: the loop below sees it
            return
        self._is_settling = True
        try:
            while actions := self.core.take_actions():
                self.performer.perform(actions)
        finally:
            self._is_settling = False
        self._tick_alarm.set(max(self.core.next_wakeup(), self._now()))
        if self.beater is not None:
            self.beater.plan()
        if self.core.is_empty_handed:
            self._empty_handed.set()
        else:
            self._empty_handed.clear()
        if self.core.version != self._version:
            self._version = self.core.version
            self.server.publish()
            self.memory.save_soon(self._now())

    def _tick(self) -> None:
        self.core.tick(self._now())
        self.settle()

    # --- what is shown

    def view(self) -> link.View:
        """Return all there is to see."""
        attached = self.plane.attachments()
        refused = self.plane.refused()
        return link.View(
            node=self.settings.node,
            generation=self.generation,
            plan_generation=0 if self.plan is None else self.plan.generation,
            started=self.core.is_started,
            agent_silent=self.core.agent_is_silent,
            seats=views.seats(self.core.view(), self.plane.rows()),
            members=views.members(self.ring.members(), MARKER),
            attachments=views.attachments(attached),
            warnings=views.warnings(self.performer.interfaces, attached, refused),
            hold_refusal=str((self._asks_for_hold and self._hold_refusal()) or ""),
        )

    def counters(self) -> link.Counters:
        """Return all counters; also notes which VIPs see traffic."""
        table = self.plane.counters()
        now = self._now()
        for vip, seen in table.items():
            total = seen.packets + seen.requests
            if self._traffic.get(vip, (0, 0.0))[0] != total:
                self._traffic[vip] = (total, now)
        gossip = self.ring.gossip
        return views.counters(
            table,
            self.segments.announced,
            self.plane.exits(),
            self.counts,
            self.plane.packet_counts(),
            self.segments.counts,
            self.core.counters(),
            {} if gossip is None else gossip.counts,
        )

    def recency(self, vip: Vip) -> float:
        """When traffic for `vip` was last noticed."""
        return self._traffic.get(vip, (0, 0.0))[1]

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _segment(item: Attachment, kernel: KernelLink, addresses: Iterable[HostAddress]) -> Segment:
    on_it = (each.address for each in addresses if each.ifname == item.name)
    local = next((a for a in on_it if isinstance(a, IPv6Address) and a.is_link_local), None)
    return Segment(item.name, item.lladdr, kernel.carrier, local if item.ndp else None)


def _networks(name: str, addresses: Iterable[HostAddress]) -> tuple[Network, ...]:
    """What is on-link on an interface: where peers are that datagrams reach without a router."""
    return tuple(
        ip_network((each.address, each.prefix_length), strict=False)
        for each in addresses
        if each.ifname == name and not each.address.is_link_local
    )


def _core(voice: Voice) -> CoreVoice:
    """A row's voice as the core spells it; what it does not know is the kernel's to decide."""
    return CoreVoice(int(voice)) if int(voice) in set(CoreVoice) else CoreVoice.PASS
