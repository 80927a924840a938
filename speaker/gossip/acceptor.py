"""
The streams that other nodes open: one message each, one answer at most. Counted are

    gossip_streams_accepted     all but the next
    gossip_streams_turned_away  beyond 128 at a time
    gossip_streams_cut          that broke, ended before a message or took too long
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from speaker.gossip import dialogue
from speaker.gossip.config import GossipConfig
from speaker.gossip.errors import DecodeError, Reason
from speaker.gossip.messages import AckResp, Err, Ping, PushPull, StreamMessage, User
from speaker.gossip.outputs import Endpoint, Output
from speaker.gossip.sockets import source_endpoint
from speaker.gossip.state import Swim
from speaker.gossip.stream import encode_stream
from speaker.gossip.wire import Wire
from stentor.logging import Log

STREAMS_MAX = 128  # as memberlist
AGAIN_S = 0.1  # after the process ran out of file descriptors


@attrs.define(eq=False)
class Acceptor:
    """Hears the streams of a listening socket; `perform` and `refuse` are the transport's."""

    swim: Swim
    wire: Wire
    config: GossipConfig
    log: Log
    counts: "Counter[str]"
    perform: Callable[[Sequence[Output]], None]
    refuse: Callable[[Reason, Endpoint], None]
    _open: int = 0

    async def run(self, listener: socket.socket) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    connection, address = await loop.sock_accept(listener)
                except OSError as exc:  # no file descriptor left, or the other side is gone
                    self.log.warn("gossip_accept_failed", error=exc.strerror or str(exc))
                    await asyncio.sleep(AGAIN_S)
                    continue
                if self._open >= STREAMS_MAX:
                    self.counts["gossip_streams_turned_away"] += 1
                    connection.close()
                    continue
                self.counts["gossip_streams_accepted"] += 1
                self._open += 1
                group.create_task(self._serve(connection, source_endpoint(address)))

    async def _serve(self, connection: socket.socket, source: Endpoint) -> None:
        timeout_s = self.config.tcp_timeout_s
        try:
            with connection:
                connection.setblocking(False)
                async with asyncio.timeout(timeout_s):
                    answer = await self._hear(connection, source)
                if answer is not None:
                    data = encode_stream(self.wire, answer, dialled=False)
                    async with asyncio.timeout(timeout_s):
                        await asyncio.get_running_loop().sock_sendall(connection, data)
        except (OSError, TimeoutError):
            self.counts["gossip_streams_cut"] += 1
        finally:
            self._open -= 1

    async def _hear(self, connection: socket.socket, source: Endpoint) -> StreamMessage | None:
        """Read what the other side sends and give the answer to it, None to hang up."""
        try:
            message = await dialogue.read_message(self.wire, connection, accepted=True)
        except DecodeError as error:
            self.refuse(error.reason, source)
            # memberlist hangs up on the wrong label, and says what is wrong with anything else
            return None if error.reason == Reason.BAD_LABEL else Err(str(error))
        now = asyncio.get_running_loop().time()
        match message:
            case PushPull():
                reply, outputs = self.swim.push_pull_requested(message, source, now)
                self.perform(outputs)
                return reply
            case Ping():
                return self.swim.stream_pinged(message)
            case User():
                self.perform(self.swim.receive((message,), source, now))
            case AckResp() | Err():
                self.refuse(Reason.MISPLACED, source)
            case None:
                self.counts["gossip_streams_cut"] += 1
        return None
