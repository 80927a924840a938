"""
The herald's household: the ownership core in the middle, and everything that carries out its word.

    agent --plan--> core <--members, messages-- ring
    kernel --interfaces, addresses, conflicts, lost leases--> core
    core --actions--> data plane, announcements, lo, ring, log

All of it runs in one event loop. Whatever the core is told, `settle` follows: it carries out the
actions, the table first, and sets the timer for the next thing that falls due.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import assert_never

import attrs

from speaker.config import Settings
from speaker.dataplane import DataPlane, VipRow, Voice
from speaker.dataplane.interfaces import HostAddress
from speaker.dataplane.watcher import Watcher
from speaker.herald import link, views
from speaker.herald.actions import (
    Action,
    Announce,
    Broadcast,
    Exit,
    Note,
    Probe,
    Quiet,
    Rejoin,
    Send,
    Speak,
    Unlist,
)
from speaker.herald.actions import Voice as CoreVoice
from speaker.herald.core import AdoptedRow, HeraldCore, PlannedSeat
from speaker.herald.core import Link as CoreLink
from speaker.herald.errors import DecodeError
from speaker.herald.frames import Vip
from speaker.herald.lo import LoBinder
from speaker.herald.ring import MARKER, Ring
from speaker.herald.segments import Segment, Segments
from speaker.herald.server import LinkServer
from speaker.state_dir import read_or_none, write_atomically
from stentor.logging import Log

PLAN_NAME = "plan.msgpack"
CORE_NAME = "core.bin"
SAVE_AFTER_S = 0.1  # many changes of one instant make one file
DEFAULT_REFRESH_S = 60.0


@attrs.define(eq=False)
class Herald:
    """Wires the parts; main.py makes and runs them. `fatal` is resolved when we must end."""

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
    lo: LoBinder | None = None
    counts: "Counter[str]" = attrs.field(factory=Counter)
    plan: link.Plan | None = None
    _interfaces: dict[Vip, frozenset[str] | None] = attrs.field(factory=dict)
    _refresh_s: dict[Vip, float] = attrs.field(factory=dict)
    _tick_at: asyncio.TimerHandle | None = None
    _lo_at: asyncio.TimerHandle | None = None
    _save_at: asyncio.TimerHandle | None = None
    _stepping: asyncio.Handle | None = None
    _version: int = -1
    _empty_handed: asyncio.Event = attrs.field(factory=asyncio.Event)
    _is_settling: bool = False
    _own: frozenset[Vip] = frozenset()
    _last_packets: dict[Vip, tuple[int, float]] = attrs.field(factory=dict)

    # --- start and stop

    def adopt(self) -> None:
        """Go on where the herald before us stopped, if its lease still holds; else from nothing."""
        now, now_ns = self._now(), time.monotonic_ns()
        state = self.settings.state_path
        if (saved := read_or_none(state / CORE_NAME)) is not None:
            self._restore(saved)
        rows = self.plane.adopted
        if self.plane.adopted_lease:
            self._take_plan(self._saved_plan())
            self.plane.push_lease(now_ns=now_ns)
            self.interfaces_changed()  # before: the core drops a seat that has no interface
            self.core.adopt((AdoptedRow(r.vip, _core(r.voice), r.lladdr) for r in rows), now)
            for row in rows:
                if row.voice is Voice.HELD:
                    self.segments.resume(row.vip, row.interfaces, self._refresh_of(row.vip))
                    self._hold_on_lo(row.vip)
            self.settle()
        else:
            self.plane.speak_all([row.vip for row in rows], Voice.ELSEWHERE)
            self.interfaces_changed()
            self.plane.enter(now_ns=now_ns)
        if self.plan is not None:
            self._tell_plan(self.plan, from_agent=False)

    def _restore(self, saved: bytes) -> None:
        try:
            self.core.restore(saved)
        except DecodeError as exc:
            self.log.warn("state_not_restored", message=str(exc))

    def _saved_plan(self) -> link.Plan | None:
        octets = read_or_none(self.settings.state_path / PLAN_NAME)
        try:
            return None if octets is None else link.decode_plan(octets)
        except DecodeError as exc:
            self.log.warn("plan_not_restored", message=str(exc))
            return None

    async def leave(self) -> None:
        """Hand every seat over and say goodbye, within the limit of the settings."""
        try:
            async with asyncio.timeout(self.settings.leave_timeout_s):
                self.core.leave(self._now())
                self.settle()
                await self._empty_handed.wait()
        except TimeoutError:
            self.log.warn("seats_not_handed_over", within_s=self.settings.leave_timeout_s)
        await self.ring.leave(within_s=1.0)

    def close(self) -> None:
        """Stop speaking: the program passes everything, nothing of ours is on lo."""
        for handle in (self._tick_at, self._lo_at, self._save_at, self._stepping):
            if handle is not None:
                handle.cancel()
        self.segments.close()
        if self.lo is not None:
            self.lo.close()
        self.plane.release()
        self.plane.close()
        self.save()

    # --- inputs

    def plan_arrived(self, plan: link.Plan) -> None:
        """Take over a whole new plan of the agent."""
        if self.plan == plan:
            return
        self._take_plan(plan)
        write_atomically(self.settings.state_path / PLAN_NAME, link.encode_plan(plan))
        stale = set(self.plane.rows()) - set(self._interfaces)
        held = {row.vip for row in self.plane.adopted if row.voice is not Voice.ELSEWHERE}
        self.plane.remove(stale - held)
        self._tell_plan(plan, from_agent=True)

    def _take_plan(self, plan: link.Plan | None) -> None:
        self.plan = plan
        planned = () if plan is None else plan.vips
        self._interfaces = {ip_address(v.vip): _names(v.interfaces) for v in planned}
        self._refresh_s = {ip_address(v.vip): v.refresh_s for v in planned}
        moved = [
            attrs.evolve(row, interfaces=self._interfaces[vip])
            for vip, row in self.plane.rows().items()
            if vip in self._interfaces and row.interfaces != self._interfaces[vip]
        ]
        self.plane.put(moved)

    def _tell_plan(self, plan: link.Plan, *, from_agent: bool) -> None:
        seats = [
            PlannedSeat(ip_address(v.vip), v.candidates, _names(v.interfaces), v.failback)
            for v in plan.vips
        ]
        self.core.set_plan(seats, self._now())
        self.ring.plan_known(plan.join, self._own)
        self.settle()
        self.log.info("plan_taken", vips=len(seats), plan=plan.generation, from_agent=from_agent)

    def agent_heard(self) -> None:
        """Note that the agent lives."""
        self.core.agent_heard(self._now())
        self.settle()

    def interfaces_changed(self) -> None:
        """Follow the kernel: attach, announce, and tell the core what must not be touched."""
        links = self.watcher.links()
        addresses = self.watcher.addresses()
        next_hops = self.watcher.next_hops()
        self.plane.sync(links, now_ns=time.monotonic_ns())
        self._own = self.watched_addresses()
        by_name = {each.name: each for each in links}
        served = [a for a in self.plane.attachments() if a.rung.value != "none" and not a.vlan]
        self.segments.sync(
            Segment(
                a.name,
                a.lladdr,
                by_name[a.name].carrier,
                _link_local(a.name, addresses) if a.ndp else None,
            )
            for a in served
            if a.name in by_name
        )
        core_links = [
            CoreLink(a.name, a.lladdr, by_name[a.name].carrier, self.core.epoch)
            for a in served
            if a.name in by_name
        ]
        self.core.set_interfaces(core_links, self._own, next_hops, self._now())
        self.settle()
        self.server.publish()

    def watched_addresses(self) -> frozenset[Vip]:
        """Addresses of this host but those of lo and kube-ipvs0, where VIPs are."""
        return frozenset(item.address for item in self.watcher.addresses())

    def read_watcher(self) -> None:
        """The kernel says that something changed."""
        if self.watcher.read():
            self.interfaces_changed()

    def claimed(self, vip: Vip, lladdr: bytes, interface: str) -> None:
        """Somebody else's LLADDR answered our probe."""
        self.log.info("probe_answered", vip=vip, lladdr=lladdr.hex(":"), interface=interface)
        self.core.probe_answered(vip, lladdr, self._now())
        self.settle()

    def read_conflicts(self) -> None:
        """Take what the program heard from foreign LLADDRs that speak for our VIPs."""
        for event in self.plane.read_events():
            self.counts["vip_voices_heard"] += 1
            row = self.plane.rows().get(event.vip)
            if row is not None and row.voice is Voice.HELD:
                self.counts["vip_conflicts"] += 1
                lladdr = event.lladdr.hex(":")
                self.log.warn("vip_conflicted", vip=event.vip, lladdr=lladdr)
            self.core.probe_answered(event.vip, event.lladdr, self._now())
        self.settle()

    def beat(self) -> None:
        """Push the lease; drop everything and begin anew where it had run out."""
        now_ns = time.monotonic_ns()
        lost = self.plane.push_lease(now_ns=now_ns)
        if not lost:
            return
        for each in lost:
            self.counts["leases_lost"] += 1
            name, suspended = each.attachment.name, each.suspended
            self.log.error("lease_lost", interface=name, suspended=suspended)
        self.core.lease_expired(self._now())
        self.settle()
        ifindexes = {each.attachment.ifindex for each in lost}
        self.plane.enter(now_ns=time.monotonic_ns(), ifindexes=ifindexes)

    # --- the core's word

    def settle(self) -> None:
        """Carry out what the core wants, and come back when it wants more."""
        if self._is_settling:  # the core was told something by an action: the loop below sees it
            return
        self._is_settling = True
        try:
            while actions := self.core.take_actions():
                self._flip(actions)
                for action in actions:
                    self._carry_out(action)
        finally:
            self._is_settling = False
        self._arm()
        if self.core.is_empty_handed:
            self._empty_handed.set()
        else:
            self._empty_handed.clear()
        if self.core.version != self._version:
            self._version = self.core.version
            self.server.publish()
            self._save_soon()

    def _flip(self, actions: Iterable[Action]) -> None:
        """The table goes first: who announces or says TAKE already answers."""
        rows = self.plane.rows()
        puts: dict[Vip, VipRow] = {}
        for action in actions:
            match action:
                case Speak(vip, voice, lladdr):
                    self._follow_on_lo(vip, _plane(voice), rows.get(vip))
                    if vip in rows and vip not in puts:
                        self.plane.speak(vip, _plane(voice), lladdr)
                    else:
                        puts[vip] = VipRow(vip, _plane(voice), self._interfaces.get(vip), lladdr)
                case Unlist(vip):
                    puts.pop(vip, None)
                    self.plane.remove([vip])
                    self._drop_from_lo(vip)
                case _:
                    pass
        self.plane.put(puts.values())
        self._step_soon()

    def _carry_out(self, action: Action) -> None:  # noqa: C901 - one case for each action
        match action:
            case Speak() | Unlist():
                pass  # `_flip` has done it
            case Announce(vip, why):
                self.log.info("vip_announced", vip=vip, reason=why)
                self.segments.announce(vip, self._interfaces.get(vip), self._refresh_of(vip))
            case Quiet(vip):
                self.segments.quiet(vip)
            case Probe(vip):
                self.segments.probe(vip, self._interfaces.get(vip))
            case Send(node, payload):
                self.ring.send(node, payload)
            case Broadcast(payload, key):
                self.ring.broadcast(payload, key)
            case Rejoin(node):
                self.ring.rejoin(node)
            case Note(event, fields):
                self.log.info(event, **fields)
            case Exit(message):
                if not self.fatal.done():
                    self.fatal.set_result(message)
            case _:
                assert_never(action)

    def _arm(self) -> None:
        if self._tick_at is not None:
            self._tick_at.cancel()
        due = max(self.core.next_wakeup(), self._now())
        self._tick_at = asyncio.get_running_loop().call_at(due, self._tick)

    def _tick(self) -> None:
        self.core.tick(self._now())
        self.settle()

    def _step_soon(self) -> None:
        if self._stepping is None and self.plane.pending:
            self._stepping = asyncio.get_running_loop().call_soon(self._step)

    def _step(self) -> None:
        self._stepping = None
        self.plane.step(self._now())
        self._step_soon()

    # --- lo

    def _follow_on_lo(self, vip: Vip, voice: Voice, before: VipRow | None) -> None:
        if self.lo is None:
            return
        if voice is Voice.HELD:
            self._hold_on_lo(vip)
        elif voice is Voice.GIVEN:
            self.lo.release(vip, self._now(), self.settings.release_grace_s)
        elif before is None or before.voice is not Voice.GIVEN:
            self._drop_from_lo(vip)

    def _hold_on_lo(self, vip: Vip) -> None:
        if self.lo is not None:
            self.lo.hold(vip, self._now())
            self._serve_lo()

    def _drop_from_lo(self, vip: Vip) -> None:
        if self.lo is not None:
            self.lo.drop(vip)
            self._serve_lo()

    def _serve_lo(self) -> None:
        if self.lo is None:
            return
        if self._lo_at is not None:
            self._lo_at.cancel()
        due = self.lo.next_due()
        if due is not None:
            self._lo_at = asyncio.get_running_loop().call_at(due, self._step_lo)

    def _step_lo(self) -> None:
        assert self.lo is not None
        self.lo.step(self._now())
        self._lo_at = None
        self._serve_lo()

    # --- what is shown and kept

    def view(self) -> link.View:
        """Return all there is to see."""
        attached = self.plane.attachments()
        return link.View(
            node=self.settings.node,
            generation=self.generation,
            plan_generation=0 if self.plan is None else self.plan.generation,
            started=self.core.is_started,
            agent_silent=self.core.agent_is_silent,
            seats=views.seats(self.core.view(), self.plane.rows()),
            members=views.members(self.ring.members(), MARKER),
            attachments=views.attachments(attached),
            warnings=views.warnings(self._interfaces, attached, self.plane.refused()),
        )

    def counters(self) -> link.Counters:
        """Return all counters; also notes which VIPs see traffic."""
        table = self.plane.counters()
        now = self._now()
        for vip, seen in table.items():
            total = seen.packets + seen.requests
            if self._last_packets.get(vip, (0, 0.0))[0] != total:
                self._last_packets[vip] = (total, now)
        gossip = self.ring.gossip
        return views.counters(
            table,
            self.segments.announced,
            self.plane.exits(),
            self.counts,
            self.segments.counts,
            self.core.counters(),
            {} if gossip is None else gossip.counts,
        )

    def recency(self, vip: Vip) -> float:
        """When traffic for `vip` was last noticed."""
        return self._last_packets.get(vip, (0, 0.0))[1]

    def _save_soon(self) -> None:
        if self._save_at is None:
            loop = asyncio.get_running_loop()
            self._save_at = loop.call_later(SAVE_AFTER_S, self.save)

    def save(self) -> None:
        """Write what the next herald needs."""
        self._save_at = None
        write_atomically(self.settings.state_path / CORE_NAME, self.core.snapshot())

    def _refresh_of(self, vip: Vip) -> float:
        return self._refresh_s.get(vip, DEFAULT_REFRESH_S)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _names(interfaces: Iterable[str] | None) -> frozenset[str] | None:
    return None if interfaces is None else frozenset(interfaces)


def _link_local(interface: str, addresses: Iterable[HostAddress]) -> IPv6Address | None:
    """First link-local IPv6 address of the interface."""
    on_it = (item.address for item in addresses if item.ifname == interface)
    return next((a for a in on_it if isinstance(a, IPv6Address) and a.is_link_local), None)


def _plane(voice: CoreVoice) -> Voice:
    """The core's voice as the table spells it: the same numbers, of bpf/include/layout.h."""
    return Voice(int(voice))


def _core(voice: Voice) -> CoreVoice:
    """A row's voice as the core spells it; what it does not know is the kernel's to decide."""
    return CoreVoice(int(voice)) if voice <= Voice.ELSEWHERE else CoreVoice.PASS
