"""
Beats on the wire: sent by AF_PACKET on each attached interface, reflected by the peers' programs.

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
from speaker.beats.silence import HEARD_S
from speaker.dataplane import Attachment, DataPlane
from speaker.herald.actions import SendBeat
from speaker.herald.alarm import Alarm
from speaker.herald.core import HeraldCore
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

    def serves(self, attachment: Attachment) -> bool:
        """Whether that is the same but for its rung: a change of rung costs no reflection."""
        mine = self.attachment
        return (mine.ifindex, mine.lladdr, mine.cell) == (
            attachment.ifindex, attachment.lladdr, attachment.cell
        )  # fmt: skip


@attrs.define(eq=False)
class Beater:
    """
    Drives the core's sentry. `settle` is called after whatever the core was told.

    `counts` gets `beats_sent`, `beats_reflected`, `beats_unsent` and `beats_refused`.
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
    _nodes: dict[bytes, str] = attrs.field(factory=dict)  # by LLADDR that was sent a beat
    _alarm: Alarm = attrs.field(init=False)
    _due: float = inf
    _is_heeding: bool = False  # whether a reflection wakes the loop
    _sent_ns: int = 0  # of the round of beats that is being sent; 0: none is
    _signed: tuple[BeatRequest, bytes] | None = None  # beats of a round are alike

    def __attrs_post_init__(self) -> None:
        self._alarm = Alarm(self._tick)
        self.core.sentry.look = self._look

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
        self._wires[attachment.name] = wire = _Wire(attachment, sock)
        if self._is_heeding:
            self._heed_one(wire)

    def _close(self, name: str) -> None:
        wire = self._wires.pop(name)
        asyncio.get_running_loop().remove_reader(wire.socket.fileno())
        wire.socket.close()

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
        due = self.core.sentry.next_wakeup()
        if due != self._due:
            self._due = due
            self._alarm.set(None if due == inf else due)

    def _tick(self) -> None:
        self._due = inf
        self._sent_ns = time.monotonic_ns()
        self._look()
        self._look_for_requests()
        self.core.watch(asyncio.get_running_loop().time())
        self.settle()
        self._sent_ns = 0
        self._heed(on=not self.core.sentry.is_calm)
        self.plan()
        self.beaten()

    def send(self, beat: SendBeat) -> None:
        """Send one beat; one that cannot be sent is missed."""
        wire = self._wires.get(beat.interface)
        if wire is None:
            self.counts["beats_unsent"] += 1
            return
        self._nodes[beat.lladdr] = beat.node
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
        header = beat.lladdr + wire.attachment.lladdr + ETHERTYPE.to_bytes(2, "big")
        try:
            wire.socket.send(header + self._signed[1])
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
                self.core.sentry.reflected(reflection, now)

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
        own, source = wire.attachment.lladdr, frame[6:12]
        node = self._nodes.get(source)
        if node is None or frame[:6] != own or frame[_TYPE_AT : _TYPE_AT + 1] == _REQUEST:
            return None  # its own beats are for the program, on every rung
        try:
            reply = decode(frame[_HEADER_BYTES:], self.keys)
        except DecodeError:
            self.counts["beats_refused"] += 1
            return None
        if not isinstance(reply, BeatReply) or reply.asked.sender != self.instance:
            return None
        if reply.lladdr != source:
            self.counts["beats_refused"] += 1
            return None
        self.counts["beats_reflected"] += 1
        return Reflection(
            node,
            reply.asked.seq,
            reply.state,
            reply.epoch,
            reply.remaining_ms,
            reply.beat_age_ms,
        )

    def _look_for_requests(self) -> None:
        """Tell the core whose beats reach us though ours do not reach it."""
        now_ns = time.monotonic_ns()
        for node in self.core.sentry.silence.accused():
            sender = self.core.instance_of(node)
            for wire in self._wires.values():
                heard = self.plane.heard_beat(sender, wire.attachment.cell) if sender else None
                if heard is not None and now_ns - heard.heard_ns < HEARD_S * 1e9:
                    now = asyncio.get_running_loop().time()
                    self.core.beat_heard(node, now, has_witness=heard.has_witness)
