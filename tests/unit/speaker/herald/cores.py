"""A few ownership cores on one wire, without gossip: who is a member is what the test says."""

import hashlib
import heapq
import random
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

import attrs

from speaker.herald.actions import (
    Action,
    Announce,
    Broadcast,
    Exit,
    Note,
    Probe,
    Rejoin,
    Send,
    SendAll,
    Speak,
    SpeakAll,
    Unlist,
    Vip,
    Voice,
)
from speaker.herald.core import AdoptedRow, CoreConfig, HeraldCore, Link, PlannedSeat

VIP = ip_address("192.0.2.135")
VIP6 = ip_address("2001:db8::87")
FLIGHT_S = 0.0002
GATEWAY = ip_address("198.51.100.254")


def lladdr_of(name: str) -> bytes:
    """The LLADDR of node n1, n2 ..."""
    return bytes((2, 0, 0, 0, 0, int(name[1:])))


def address_of(name: str) -> IPv4Address:
    """The address of node n1, n2 ..."""
    return IPv4Address(f"198.51.100.{name[1:]}")


def seat(vip: Vip, *candidates: str, failback: bool = True) -> PlannedSeat:
    """A planned seat."""
    return PlannedSeat(vip, candidates, failback=failback)


@attrs.define
class Cores:
    """Nodes by name; `now` moves by `run`. Frames are lost where `is_lost(source, target)`."""

    names: tuple[str, ...]
    now: float = 0.0
    cores: dict[str, HeraldCore] = attrs.field(factory=dict)
    tables: dict[str, dict[Vip, Speak]] = attrs.field(factory=dict)
    done: dict[str, list[tuple[float, Action]]] = attrs.field(factory=dict)
    is_lost: Callable[[str, str], bool] = lambda source, target: False
    foreign: dict[Vip, bytes] = attrs.field(factory=dict)  # strangers that answer probes
    agents: set[str] = attrs.field(factory=set)  # whose agents speak
    _wire: list[tuple[float, int, str, str, bytes]] = attrs.field(factory=list)
    _frames: int = 0
    _instances: int = 0

    def begin(self, name: str, *plan: PlannedSeat, saved: bytes | None = None) -> HeraldCore:
        """Start a herald: alone, settled, with its agent; adopts what is in its table."""
        self._instances += 1
        text = f"{name}/{self._instances}".encode()
        instance = hashlib.md5(text, usedforsecurity=False).digest()
        core = HeraldCore(CoreConfig(name, instance), random.Random(self._instances), self.now)
        self.cores[name] = core
        table = self.tables.setdefault(name, {})
        self.done.setdefault(name, [])
        if saved is not None:
            core.restore(saved)
            core.adopt([AdoptedRow(r.vip, r.voice, r.lladdr) for r in table.values()], self.now)
        core.set_interfaces(
            [Link("eth0", lladdr_of(name))], [address_of(name)], [GATEWAY], self.now
        )
        core.join_settled(self.now)
        if plan:
            self.agents.add(name)
            core.set_plan(plan, self.now)
        self._carry_out(name)
        return core

    def meet(self, *names: str) -> None:
        """Make these nodes members of one ring."""
        for one in names:
            for other in names:
                if one != other:
                    self.cores[one].member_joined(other, address_of(other), self.now, stentor=True)
                    self._carry_out(one)

    def start(self, *plan: PlannedSeat, within_s: float = 3.0) -> None:
        """Start all with one plan, and let them settle."""
        for name in self.names:
            self.begin(name, *plan)
        self.meet(*self.names)
        self.run(within_s)

    def plan(self, name: str, *plan: PlannedSeat) -> None:
        """Give one node another plan."""
        self.cores[name].set_plan(plan, self.now)
        self._carry_out(name)

    def die(self, name: str, *, told: bool = True) -> None:
        """Let a node vanish; `told`: the others' memberlist says so once they cannot hear it."""
        del self.cores[name]
        self.tables[name] = {}
        if told:
            self.run(2.7)
            self.gone(name, dead=True)

    def gone(self, name: str, *, dead: bool) -> None:
        """Memberlist declares a node dead, or it has left."""
        for other, core in self.cores.items():
            if other != name:
                core.member_left(name, self.now, dead=dead)
                self._carry_out(other)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        beat = self.now
        while True:
            wire_at = self._wire[0][0] if self._wire else end + 1
            wake_at = min((core.next_wakeup() for core in self.cores.values()), default=end + 1)
            at = max(self.now, min(wire_at, wake_at, beat))
            if at > end:
                break
            self.now = at
            if beat <= at:
                beat = at + 1.0
                for name in sorted(self.agents & self.cores.keys()):
                    self.cores[name].agent_heard(at)
                    self._carry_out(name)
            while self._wire and self._wire[0][0] <= at:
                _, _, source, target, payload = heapq.heappop(self._wire)
                if target in self.cores:
                    self.cores[target].received(str(address_of(source)), payload, at)
                    self._carry_out(target)
            for name, core in list(self.cores.items()):
                core.tick(at)
                self._carry_out(name)
        self.now = end

    def answers(self, vip: Vip = VIP) -> dict[str, bytes]:
        """Which nodes answer for the VIP, and with whose LLADDR."""
        answers = {}
        for name, table in self.tables.items():
            row = table.get(vip)
            if row is not None and row.voice in {Voice.HELD, Voice.WEAK}:
                answers[name] = lladdr_of(name)
            elif row is not None and row.voice is Voice.GIVEN and row.lladdr is not None:
                answers[name] = row.lladdr
        return answers

    def holders(self, vip: Vip = VIP) -> list[str]:
        """Nodes that answer with their own LLADDR."""
        return sorted(n for n, lladdr in self.answers(vip).items() if lladdr == lladdr_of(n))

    def reason(self, name: str, vip: Vip = VIP) -> str:
        """What the view of a node says of the VIP."""
        return next(str(row.reason) for row in self.cores[name].view() if row.vip == vip)

    def happened(self, name: str, kind: type[Action]) -> list[Action]:
        """Actions of one kind that a node has asked for."""
        return [action for _, action in self.done[name] if isinstance(action, kind)]

    def when(self, name: str, vip: Vip, voice: Voice) -> list[float]:
        """At which times the slot of a VIP was flipped to a voice."""
        return [
            at
            for at, action in self.done[name]
            if (isinstance(action, Speak) and (action.vip, action.voice) == (vip, voice))
            or (isinstance(action, SpeakAll) and vip in action.vips and action.voice is voice)
        ]

    def notes(self, name: str) -> list[str]:
        """Events of a node in order."""
        return [n.event for n in self.happened(name, Note) if isinstance(n, Note)]

    def _carry_out(self, name: str) -> None:
        core, table = self.cores[name], self.tables[name]
        while actions := core.take_actions():
            for action in actions:
                if isinstance(action, SendAll):  # recorded as the Sends that it stands for
                    for node in action.nodes:
                        self.done[name].append((self.now, Send(node, action.payload)))
                        self._send(name, node, action.payload)
                    continue
                self.done[name].append((self.now, action))
                match action:
                    case Speak():
                        table[action.vip] = action
                    case SpeakAll(_, vips, voice):
                        table.update({vip: Speak(vip, voice) for vip in vips})
                    case Unlist():
                        table.pop(action.vip, None)
                    case Send():
                        self._send(name, action.node, action.payload)
                    case Probe():
                        self._probe(name, action.vip)
                    case _:
                        pass

    def _send(self, source: str, target: str, payload: bytes) -> None:
        if not self.is_lost(source, target):
            self._frames += 1
            at = self.now + FLIGHT_S
            heapq.heappush(self._wire, (at, self._frames, source, target, payload))

    def _probe(self, name: str, vip: Vip) -> None:
        answers = [
            a for n, a in self.answers(vip).items() if n != name and not self.is_lost(name, n)
        ]
        answers += [self.foreign[vip]] if vip in self.foreign else []
        for lladdr in answers:
            if lladdr != lladdr_of(name):
                self.cores[name].probe_answered(vip, lladdr, self.now)


__all__ = [
    "VIP", "VIP6", "Announce", "Broadcast", "Cores", "Exit", "Rejoin", "lladdr_of", "seat",
]  # fmt: skip
