"""Carries out what the ownership core wants: in the table, on the wire, on lo, in the log."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

import attrs

from speaker.dataplane import DataPlane, VipRow, Voice
from speaker.herald.actions import (
    Accuse,
    Action,
    Announce,
    Broadcast,
    Defend,
    Exit,
    Note,
    Probe,
    Quiet,
    Rejoin,
    Send,
    SendAll,
    SendBeat,
    Speak,
    SpeakAll,
    Unlist,
)
from speaker.herald.alarm import Alarm
from speaker.herald.frames import Vip
from speaker.herald.link import PlannedVip
from speaker.herald.lo import LoBinder
from speaker.herald.ring import Ring
from speaker.herald.segments import Segments
from stentor.logging import Log

DEFAULT_REFRESH_S = 60.0
LOGGED_ALONE = 16  # VIPs announced at once; of more one line tells how many
LO_TURN_S = 0.002  # of rtnetlink at a time: among 10,000 addresses one change takes up to 1 ms


@attrs.define(eq=False)
class Performer:
    """
    The hands of the herald.

    `lo` None: VIPs are not bound. `give_way(message)` is called when this node must end.
    """

    plane: DataPlane
    segments: Segments
    ring: Ring
    lo: LoBinder | None
    release_grace_s: float
    give_way: Callable[[str], None]
    log: Log
    send_beat: Callable[[SendBeat], None] = lambda beat: None
    interfaces: dict[Vip, frozenset[str] | None] = attrs.field(factory=dict)
    _refresh_s: dict[Vip, float] = attrs.field(factory=dict)
    _lo_alarm: Alarm = attrs.field(init=False)
    _table_alarm: Alarm = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lo_alarm = Alarm(self._step_lo)
        self._table_alarm = Alarm(self._step_table)

    def take_plan(self, vips: Mapping[Vip, PlannedVip]) -> None:
        """Note where each VIP is advertised and how often refreshed; move rows that it moves."""
        self.interfaces = {vip: names(each.interfaces) for vip, each in vips.items()}
        self._refresh_s = {vip: each.refresh_s for vip, each in vips.items()}
        self.plane.put(
            [
                attrs.evolve(row, interfaces=self.interfaces[vip])
                for vip, row in self.plane.rows().items()
                if vip in self.interfaces and row.interfaces != self.interfaces[vip]
            ]
        )
        self.fill_table()

    def resume(self, row: VipRow) -> None:
        """Go on with a seat that the herald before us held; weak ones are not refreshed."""
        refresh_s = self._refresh_of(row.vip) if row.voice is Voice.HELD else 0.0
        self.segments.resume(row.vip, row.interfaces, refresh_s)
        self._hold_on_lo(row.vip)

    def perform(self, actions: list[Action]) -> None:
        """Carry out in order, but the table first: who announces or says TAKE answers already."""
        self._flip(actions)
        for action in actions:
            self._perform_one(action)
        self._log_announced(actions)

    def close(self) -> None:
        """Do nothing more; what was bound stays."""
        self._lo_alarm.cancel()
        self._table_alarm.cancel()
        self.segments.close()

    def _perform_one(self, action: Action) -> None:  # noqa: C901, PLR0912 - a case for each
        match action:
            case SendBeat():  # the most frequent by far
                self.send_beat(action)
            case Speak() | SpeakAll() | Unlist():
                pass  # `_flip` has done it
            case Announce(vip, _, refreshes):
                refresh_s = self._refresh_of(vip) if refreshes else 0.0
                self.segments.announce(vip, self.interfaces.get(vip), refresh_s)
            case Defend(vip):
                self.segments.remind(vip)
            case Quiet(vip):
                self.segments.quiet(vip)
            case Probe(vip):
                self.segments.probe(vip, self.interfaces.get(vip))
            case Send(node, payload):
                self.ring.send(node, payload)
            case SendAll(nodes, payload):
                for node in nodes:
                    self.ring.send(node, payload)
            case Broadcast(payload, key):
                self.ring.broadcast(payload, key)
            case Rejoin(node, sender):
                self.ring.rejoin(node, sender)
            case Accuse(node):
                self.ring.accuse(node)
            case Note(event, fields):
                self.log.info(event, **fields)
            case Exit(message):
                self.give_way(message)
            case _:
                assert_never(action)

    def _log_announced(self, actions: Iterable[Action]) -> None:
        """A line for each VIP, or for each reason one line where there are many."""
        by_reason: dict[str, list[Vip]] = {}
        for action in actions:
            if isinstance(action, Announce):
                by_reason.setdefault(action.why, []).append(action.vip)
        for reason, vips in by_reason.items():
            if len(vips) > LOGGED_ALONE:
                self.log.info("vips_announced", count=len(vips), reason=reason)
                continue
            for vip in vips:
                self.log.info("vip_announced", vip=vip, reason=reason)

    # --- the table

    def _flip(self, actions: Iterable[Action]) -> None:
        if not any(isinstance(action, Speak | SpeakAll | Unlist) for action in actions):
            return  # nearly always beats alone
        rows: Mapping[Vip, VipRow] = self.plane.rows()
        puts: dict[Vip, VipRow] = {}
        for action in actions:
            match action:
                case Speak(vip, said, lladdr):
                    voice = Voice(int(said))  # the same numbers, of bpf/include/layout.h
                    self._follow_on_lo(vip, voice, rows.get(vip))
                    if vip in rows and vip not in puts:
                        self.plane.speak(vip, voice, lladdr)
                    else:
                        puts[vip] = VipRow(vip, voice, self.interfaces.get(vip), lladdr)
                case SpeakAll(keys, vips, said):
                    self.plane.put(puts.values())  # what is only now listed may be among them
                    puts.clear()
                    self.plane.speak_all(keys, Voice(int(said)))
                    for vip in vips if self.lo is not None else ():
                        self._follow_on_lo(vip, Voice(int(said)), None)
                case Unlist(vip):
                    puts.pop(vip, None)
                    self.plane.remove([vip])
                    self._drop_from_lo(vip)
                case _:
                    pass
        self.plane.put(puts.values())
        self.fill_table()

    def fill_table(self) -> None:
        """Have the data plane do what it has put off, in slices."""
        if self.plane.pending and not self._table_alarm.is_set:
            self._table_alarm.set(self._now())

    def _step_table(self) -> None:
        self.plane.step(self._now())
        self.fill_table()

    # --- lo

    def _follow_on_lo(self, vip: Vip, voice: Voice, before: VipRow | None) -> None:
        if voice in {Voice.HELD, Voice.WEAK}:
            self._hold_on_lo(vip)
        elif voice is Voice.GIVEN and self.lo is not None:
            self.lo.release(vip, self._now(), self.release_grace_s)
            self._lo_alarm.hasten(self.lo.next_due())
        elif before is None or before.voice is not Voice.GIVEN:
            self._drop_from_lo(vip)

    def _hold_on_lo(self, vip: Vip) -> None:
        if self.lo is not None:
            self.lo.hold(vip, self._now())
            self._lo_alarm.hasten(self.lo.next_due())

    def _drop_from_lo(self, vip: Vip) -> None:
        if self.lo is not None:
            self.lo.drop(vip)
            self._lo_alarm.hasten(self.lo.next_due())

    def _step_lo(self) -> None:
        if self.lo is None:
            return
        until = self._now() + LO_TURN_S
        while (now := self._now()) < until and self.lo.is_due(now):
            self.lo.step(now)
        self.lo.keep_list()
        self._lo_alarm.set(self.lo.next_due())

    def _refresh_of(self, vip: Vip) -> float:
        return self._refresh_s.get(vip, DEFAULT_REFRESH_S)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def names(interfaces: Iterable[str] | None) -> frozenset[str] | None:
    """Interfaces of a plan as a row has them."""
    return None if interfaces is None else frozenset(interfaces)
