"""
Beats on the wire: sent by AF_PACKET on each attached interface, or by UDP where the sentries found
that frames do not come back, and reflected by the peers' programs.

Reflections are read before the sentry judges, so that a late loop counts no beat as missed that
came back in time. While the sentry is calm they wait in their sockets until then: with three peers
a waking for each would be most of what beats cost. What the peers' own beats tell is read from the
program's memory.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Final

import attrs

from speaker.beats import (
    ETHERTYPE,
    BeatReply,
    BeatRequest,
    DecodeError,
    Keys,
    decode,
    encode_request,
)
from speaker.beats.cell import Cell
from speaker.beats.silence import HEARD_S
from speaker.dataplane import Attachment, DataPlane
from speaker.herald.actions import SendBeat, Vip
from speaker.herald.alarm import Alarm
from speaker.herald.core import HeraldCore
from speaker.herald.datagrams import Datagrams
from speaker.herald.sentry import Reflection
from stentor.logging import Log

FRAMES_A_TURN: Final = 256
FRAME_BYTES: Final = 256
_HEADER_BYTES: Final = 14
_TYPE_AT: Final = _HEADER_BYTES + 40  # speaker/beats/wire.py
_REQUEST: Final = b"\1"


@attrs.frozen
class _Wire:
    """One interface that carries beats."""

    attachment: Attachment
    socket: socket.socket
    datagrams: Datagrams

    def serves(self, attachment: Attachment) -> bool:
        """Whether that is the same but for its rung: a change of rung costs no reflection."""
        mine = self.attachment
        return (mine.ifindex, mine.lladdr, mine.cell) == (
            attachment.ifindex, attachment.lladdr, attachment.cell
        )  # fmt: skip


@attrs.define(eq=False)
class Beater:
    """
    Drives the core's sentries. `settle` is called after whatever the core was told.

    `counts` gets `beats_sent`, `beats_reflected`, `beats_unsent` and `beats_refused`, and with
    `_udp` those of the first two that were datagrams.
    """

    core: HeraldCore
    plane: DataPlane
    instance: int  # this herald's, 64 bits, as in the cells
    keys: Keys
    settle: Callable[[], None]
    log: Log
    counts: "Counter[str]"
    beaten: Callable[[], None] = lambda: None  # called after whatever woke us
    _wires: dict[str, _Wire] = attrs.field(factory=dict)
    # Who was sent beats out of an interface of ours, by LLADDR and by address.
    _cells: dict[tuple[str, bytes], Cell] = attrs.field(factory=dict)
    _addressed: dict[tuple[str, Vip], Cell] = attrs.field(factory=dict)
    _alarm: Alarm = attrs.field(init=False)
    _due: float = inf
    _is_heeding: bool = False  # whether a reflection wakes the loop
    _sent_ns: int = 0  # of the round of beats that is being sent; 0: none is
    _signed: tuple[BeatRequest, bytes] | None = None  # beats of a round are alike

    def __attrs_post_init__(self) -> None:
        self._alarm = Alarm(self._tick)
        self.core.sentries.look = self._look

    def sync(self, attachments: Mapping[str, Attachment]) -> None:
        """Follow the attached interfaces."""
        for name, wire in list(self._wires.items()):
            if name not in attachments or not wire.serves(attachments[name]):
                self._close(name)
        for name, attachment in attachments.items():
            if name not in self._wires:
                self._open(attachment)
        self.plan()

    def close(self) -> None:
        """Send and hear nothing more."""
        self._alarm.cancel()
        for name in list(self._wires):
            self._close(name)

    def _open(self, attachment: Attachment) -> None:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            sock.bind((attachment.name, ETHERTYPE))
        except OSError as exc:
            sock.close()
            self.log.warn("beats_unusable", interface=attachment.name, message=str(exc))
            return
        loop = asyncio.get_running_loop()
        name = attachment.name
        datagrams = Datagrams(
            name,
            watch=lambda fd: loop.add_reader(fd, self._read_datagrams, name),
            unwatch=lambda fd: bool(loop.remove_reader(fd)),
            heard=partial(self._hear_datagram, attachment),
            refused=partial(self._hear_refusal, name),
        )
        self._wires[name] = wire = _Wire(attachment, sock, datagrams)
        if self._is_heeding:
            self._heed_one(wire)

    def _close(self, name: str) -> None:
        wire = self._wires.pop(name)
        asyncio.get_running_loop().remove_reader(wire.socket.fileno())
        wire.socket.close()
        wire.datagrams.close()

    def _heed(self, *, on: bool) -> None:
        """Be woken by reflections, or not."""
        if on == self._is_heeding:
            return
        self._is_heeding = on
        for wire in self._wires.values():
            if on:
                self._heed_one(wire)
            else:
                asyncio.get_running_loop().remove_reader(wire.socket.fileno())

    def _heed_one(self, wire: _Wire) -> None:
        asyncio.get_running_loop().add_reader(wire.socket.fileno(), self._read, wire)

    # --- out

    def plan(self) -> None:
        """Set the alarm for when the sentry has something to do."""
        due = self.core.sentries.next_wakeup()
        if due != self._due:
            self._due = due
            self._alarm.set(None if due == inf else due)

    def _tick(self) -> None:
        self._due = inf
        self._sent_ns = time.monotonic_ns()
        for name in list(self._wires):
            self._read_datagrams(name)
        self._look()
        self._look_for_requests()
        self.core.watch(asyncio.get_running_loop().time())
        self.settle()
        self._sent_ns = 0
        self._heed(on=not self.core.sentries.is_calm)
        self.plan()
        self.beaten()

    def send(self, beat: SendBeat) -> None:
        """Send one beat; one that cannot be sent is missed."""
        wire = self._wires.get(beat.interface)
        if wire is None:
            self.counts["beats_unsent"] += 1
            return
        cell = Cell(beat.node, beat.segment)
        self._cells[beat.interface, beat.lladdr] = cell
        request = BeatRequest(
            sender=self.instance,
            target=0,
            seq=beat.seq,
            sent_ns=self._sent_ns or time.monotonic_ns(),
            has_witness=beat.has_witness,
            claimed=beat.claimed,
            hears=beat.hears,
        )
        if self._signed is None or self._signed[0] != request:
            self._signed = request, encode_request(request, self.keys)
        octets = self._signed[1]
        try:
            if beat.address is None:
                header = beat.lladdr + wire.attachment.lladdr + ETHERTYPE.to_bytes(2, "big")
                wire.socket.send(header + octets)
            else:
                self._addressed[beat.interface, beat.address] = cell
                wire.datagrams.send(octets, beat.address)
                self.counts["beats_sent_udp"] += 1
        except OSError:
            self.counts["beats_unsent"] += 1
        else:
            self.counts["beats_sent"] += 1

    # --- in

    def _read(self, wire: _Wire) -> None:
        now = asyncio.get_running_loop().time()
        for reflection in self._reflections(wire):
            self.core.reflected(reflection, now)
        self.settle()

    def _look(self) -> None:
        """Tell the sentry what has come back; judging seats for it is left to the caller."""
        now = asyncio.get_running_loop().time()
        for wire in list(self._wires.values()):
            for reflection in self._reflections(wire):
                self.core.sentries.reflected(reflection, now)

    def _reflections(self, wire: _Wire) -> list[Reflection]:
        """What waits in the socket of one interface."""
        found = []
        with contextlib.suppress(OSError):  # drained, or the interface is gone
            for _ in range(FRAMES_A_TURN):
                reflection = self._reflection(wire, wire.socket.recv(FRAME_BYTES))
                if reflection is not None:
                    found.append(reflection)
        return found

    def _reflection(self, wire: _Wire, frame: bytes) -> Reflection | None:
        """What one frame says; None when it is no reflection of a beat of ours."""
        own, source = wire.attachment, frame[6:12]
        if frame[:6] != own.lladdr or (own.name, source) not in self._cells:
            return None
        if frame[_TYPE_AT : _TYPE_AT + 1] == _REQUEST:
            return None  # its own beats are for the program, on every rung
        reply = self._decode(frame[_HEADER_BYTES:])
        if reply is not None and reply.lladdr != source:
            self.counts["beats_refused"] += 1
            return None
        return self._told(own, reply, by_udp=False)

    def _read_datagrams(self, interface: str) -> None:
        wire = self._wires.get(interface)
        if wire is not None and wire.datagrams.read():
            self.settle()

    def _hear_datagram(self, own: Attachment, octets: bytes) -> bool:
        reflection = self._told(own, self._decode(octets), by_udp=True)
        if reflection is not None:
            self.core.reflected(reflection, asyncio.get_running_loop().time())
        return reflection is not None

    def _decode(self, octets: bytes) -> BeatReply | None:
        """A reply to a beat of ours, None for anything else."""
        try:
            reply = decode(octets, self.keys)
        except DecodeError:
            self.counts["beats_refused"] += 1
            return None
        if not isinstance(reply, BeatReply) or reply.asked.sender != self.instance:
            return None
        return reply

    def _told(self, own: Attachment, reply: BeatReply | None, *, by_udp: bool) -> Reflection | None:
        cell = self._cells.get((own.name, reply.lladdr)) if reply is not None else None
        if reply is None or cell is None:
            return None
        self.counts["beats_reflected"] += 1
        self.counts["beats_reflected_udp"] += by_udp
        return Reflection(
            cell,
            own.name,
            reply.asked.seq,
            reply.state,
            reply.epoch,
            reply.remaining_ms,
            reply.beat_age_ms,
            by_udp=by_udp,
        )

    def _hear_refusal(self, interface: str, address: Vip) -> None:
        cell = self._addressed.get((interface, address))
        if cell is not None:
            self.core.beat_refused(cell, asyncio.get_running_loop().time())

    def _look_for_requests(self) -> None:
        """Tell the core whose beats reach us though ours do not reach it."""
        now_ns = time.monotonic_ns()
        for cell, path in self.core.sentries.accused():
            sender, wire = self.core.instance_of(cell.node), self._wires.get(path.interface)
            if not sender or wire is None:
                continue
            heard = self.plane.heard_beat(sender, wire.attachment.cell)
            is_late = heard is None or now_ns - heard.heard_ns >= HEARD_S * 1e9
            if heard is not None and heard.lladdr == path.lladdr and not is_late:
                now = asyncio.get_running_loop().time()
                self.core.beat_heard(cell, now, has_witness=heard.has_witness)
