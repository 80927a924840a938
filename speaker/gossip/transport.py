"""
The ring on real sockets and real time: UDP and TCP on one port, driving a Swim.

Bytes from the network never raise here: what is refused is counted, in `counts`:

    gossip_rx_datagrams, gossip_tx_datagrams  one each
    gossip_refused_<reason>                   datagrams, parts of them, streams: errors.Reason
    gossip_tx_failed                          datagrams that the kernel did not take
    gossip_streams_accepted, ...              see speaker/gossip/acceptor.py
    gossip_streams_opened, _broken            streams that we opened, and those without an answer
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs

from speaker.gossip import dialogue
from speaker.gossip.acceptor import Acceptor
from speaker.gossip.complaints import Complaints
from speaker.gossip.config import GossipConfig
from speaker.gossip.errors import DecodeError, Reason
from speaker.gossip.messages import AckResp, Err, PushPull, StreamMessage
from speaker.gossip.outputs import (
    Endpoint,
    Event,
    ExchangeState,
    LeaveFinished,
    MergeFailed,
    Output,
    PingOverStream,
    SendPacket,
)
from speaker.gossip.sizes import COMPOUND_HEADER_BYTES
from speaker.gossip.sockets import Sockets, open_sockets, source_endpoint
from speaker.gossip.state import Swim
from speaker.gossip.wire import Wire
from stentor.logging import Log

DATAGRAM_MAX_BYTES = 65536
BATCH = 256  # datagrams read before timers get their turn
_UNDECRYPTABLE = {Reason.WRONG_KEY, Reason.BAD_ENCRYPTION, Reason.NO_KEY, Reason.NOT_ENCRYPTED}
_ENCRYPTION_VERSIONS = {0, 1}  # first byte of an encrypted datagram


def overhead_bytes(wire: Wire) -> int:
    """Give what label and encryption add to a datagram: the argument of that name of Swim."""
    return wire.datagram_bytes - wire.room(0) - COMPOUND_HEADER_BYTES


@attrs.define(eq=False)
class Gossip:
    """
    One node of a ring; `run` serves until it is cancelled.

    `on_event` is told each event, in order, from within the loop; it may call back. An exception
    that it raises is a bug and ends `run`.
    """

    swim: Swim
    wire: Wire
    config: GossipConfig
    bind: str
    port: int
    on_event: Callable[[Event], None]
    log: Log
    counts: "Counter[str]" = attrs.field(factory=Counter)
    _sockets: Sockets | None = None
    _group: asyncio.TaskGroup | None = None
    _timer: asyncio.TimerHandle | None = None
    _bug: "asyncio.Future[None] | None" = None
    _complaints: Complaints = attrs.field(factory=Complaints)
    _buffer: bytearray = attrs.field(factory=lambda: bytearray(DATAGRAM_MAX_BYTES))
    _started: asyncio.Event = attrs.field(factory=asyncio.Event)
    _left: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def run(self) -> None:
        """Open the sockets and serve. Raises BindError when that fails; else only for a bug."""
        loop = asyncio.get_running_loop()
        with open_sockets(self.bind, self.port) as sockets:
            self._sockets = sockets
            self._bug = loop.create_future()
            try:
                async with asyncio.TaskGroup() as self._group:
                    loop.add_reader(sockets.udp, self._guarded, self._read_datagrams)
                    self._perform(self.swim.start(loop.time()))
                    self._started.set()
                    acceptor = Acceptor(
                        self.swim,
                        self.wire,
                        self.config,
                        self.log,
                        self.counts,
                        self._perform,
                        self._refuse,
                    )
                    self._spawn(acceptor.run(sockets.tcp))
                    await self._bug
            finally:
                loop.remove_reader(sockets.udp)
                if self._timer is not None:
                    self._timer.cancel()
                self._sockets = self._group = self._timer = None

    # --- the layer above

    async def started(self) -> None:
        """Return once the sockets are open."""
        await self._started.wait()

    def send_user(self, node: str, payload: bytes) -> None:
        """Send a user message to a member, best effort. Raises MessageTooLargeError."""
        self._perform(self.swim.send_user(node, payload))

    def broadcast_user(self, payload: bytes, key: str) -> None:
        """Gossip a user message, see Swim.broadcast_user. Raises MessageTooLargeError."""
        self.swim.broadcast_user(payload, key, self._now())
        self._arm()

    def accuse(self, node: str) -> None:
        """Tell the ring that a member is dead, see Swim.accuse."""
        self._perform(self.swim.accuse(node, self._now()))

    async def join(self, host: str, port: int) -> str | None:
        """
        Exchange state with a host: None when one of its addresses took part, else why not.

        The host is an address or a name; a name may stand for several addresses. Nothing is
        retried here. Joining ourselves works at once.
        """
        try:
            targets = await dialogue.resolve(host, port)
        except OSError as exc:
            return f"{host} cannot be resolved: {exc.strerror or exc}"
        why = ""
        for target in targets:
            if target == self.swim.endpoint:
                return None
            for action in self.swim.join([target], self._now()):
                assert isinstance(action, ExchangeState)
                failure = await self._exchange(action)
                if failure is None:
                    return None
                why = failure
        return why

    async def leave(self, within_s: float) -> bool:
        """Say goodbye; True when it was sent often enough before `within_s` were over."""
        self._perform(self.swim.leave(self._now()))
        try:
            async with asyncio.timeout(within_s):
                await self._left.wait()
        except TimeoutError:
            return False
        return True

    # --- outputs and time

    def _perform(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case SendPacket():
                    self._send(output)
                case ExchangeState():
                    self._spawn(self._exchange(output))
                case PingOverStream():
                    self._spawn(self._ping(output))
                case LeaveFinished():
                    self._left.set()
                    self.on_event(output)
                case _:
                    self.on_event(output)
        self._arm()

    def _send(self, packet: SendPacket) -> None:
        if self._sockets is None:
            return
        to = self._sockets.destination(packet.to)
        for datagram in self.wire.encode_packet(packet.messages, with_crc=packet.with_crc):
            try:
                self._sockets.udp.sendto(datagram, to)
            except OSError:  # no route, or no room in the socket: as good as lost on the way
                self.counts["gossip_tx_failed"] += 1
            else:
                self.counts["gossip_tx_datagrams"] += 1

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        if self._group is None:
            work.close()
            return
        self._group.create_task(work)

    def _arm(self) -> None:
        """Set the timer to when the state machine wants to be called."""
        if self._sockets is None:
            return
        due = self.swim.next_wakeup()
        if self._timer is not None:
            if self._timer.when() == due:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(due, self._guarded, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._read_datagrams()  # what came while we were late may clear whom we are about to blame
        self._perform(self.swim.tick(self._now()))

    def _guarded(self, callback: Callable[[], None]) -> None:
        """Call back; an exception, which is a bug, ends `run`."""
        try:
            callback()
        except Exception as exc:  # handed on to whoever awaits `run`
            if self._bug is not None and not self._bug.done():
                self._bug.set_exception(exc)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # --- datagrams

    def _read_datagrams(self) -> None:
        if self._sockets is None:
            return
        udp, view = self._sockets.udp, memoryview(self._buffer)
        for _ in range(BATCH):
            try:
                size, address = udp.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about an earlier datagram
                continue
            self.counts["gossip_rx_datagrams"] += 1
            self._take_datagram(bytes(view[:size]), source_endpoint(address))

    def _take_datagram(self, datagram: bytes, source: Endpoint) -> None:
        try:
            packet = self.wire.decode_packet(datagram)
        except DecodeError as error:
            reason = error.reason
            if self.wire.keyring is None and datagram[:1] and datagram[0] in _ENCRYPTION_VERSIONS:
                reason = Reason.NO_KEY  # it does not say so, but most likely it is encrypted
            self._refuse(reason, source)
            return
        for reason in packet.refused:
            self._refuse(reason, source)
        self._perform(self.swim.receive(packet.messages, source, self._now()))

    def _refuse(self, reason: Reason, source: Endpoint) -> None:
        self.counts[f"gossip_refused_{reason}"] += 1
        if reason in _UNDECRYPTABLE and self._complaints.admit(source[0], self._now()):
            self.log.warn("gossip_undecryptable", source=source[0], reason=reason)

    # --- streams we open

    async def _talk(
        self, to: Endpoint, message: StreamMessage, timeout_s: float
    ) -> StreamMessage | str:
        """Give the answer, or why there is none."""
        self.counts["gossip_streams_opened"] += 1
        try:
            async with asyncio.timeout(timeout_s):
                answer = await dialogue.talk(self.wire, to, message)
        except (OSError, TimeoutError, DecodeError) as exc:
            if isinstance(exc, DecodeError):
                self._refuse(exc.reason, to)
            self.counts["gossip_streams_broken"] += 1
            return dialogue.explain(exc)
        match answer:
            case None:
                return "it hung up without an answer; its log may say why"
            case Err():
                return f"it says: {answer.error}"
            case _:
                return answer

    async def _exchange(self, action: ExchangeState) -> str | None:
        answer = await self._talk(action.to, action.request, action.timeout_s)
        if isinstance(answer, PushPull):
            outputs = self.swim.push_pull_answered(action.exchange, answer, self._now())
            why = next((each.why for each in outputs if isinstance(each, MergeFailed)), None)
        else:
            why = answer if isinstance(answer, str) else "it answers with another message"
            outputs = self.swim.push_pull_failed(action.exchange, why, self._now())
        self._perform(outputs)
        return why

    async def _ping(self, action: PingOverStream) -> None:
        answer = await self._talk(action.to, action.ping, action.timeout_s)
        if isinstance(answer, AckResp):
            self._perform(self.swim.stream_acked(answer.seq_no, self._now()))
