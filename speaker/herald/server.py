"""The herald's end of the link: many readers, one agent (the newest), and nobody can harm it."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Protocol

import attrs

from speaker.herald import link
from speaker.herald.errors import DecodeError
from speaker.herald.link import AskCounters, Counters, Heartbeat, Hello, Plan, Refused, View
from stentor.logging import Log

HELLO_WITHIN_S = 5.0
MAX_HELLO_BYTES = 256
MAX_CLIENTS = 32
PUBLISH_EVERY_S = 0.05  # many changes of one instant make one view
PUBLISH_SHARE = 0.1  # of the time at most: a view of 10,000 seats takes 40 ms to make
MAX_UNREAD_BYTES = 32 << 20  # a client that does not read its views loses its connection


class Household(Protocol):
    """What the server serves: the herald."""

    def plan_arrived(self, plan: Plan) -> None:
        """Take over a whole new plan."""

    def agent_heard(self) -> None:
        """Note that the agent lives."""

    def view(self) -> View:
        """Return all there is to see."""

    def counters(self) -> Counters:
        """Return all counters."""


@attrs.define(eq=False)
class _Client:
    writer: asyncio.StreamWriter
    role: link.Role = "reader"

    def send(self, message: link.FromHerald) -> None:
        transport = self.writer.transport
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            transport.abort()
        elif not transport.is_closing():
            self.writer.write(link.encode(message))


@attrs.define
class LinkServer:
    """
    Serves STATE_DIR/herald.sock. `counts` gets `link_*` entries.

    `publish` may be called as often as one likes; views go out at most every PUBLISH_EVERY_S,
    and less often where they are large.
    """

    path: Path
    household: Household
    log: Log
    counts: "Counter[str]"
    _clients: set[_Client] = attrs.field(factory=set)
    _server: asyncio.Server | None = None
    _publishing: asyncio.TimerHandle | None = None
    _publish_pause_s: float = PUBLISH_EVERY_S

    async def open(self) -> None:
        """Listen. The state directory's lock says that a socket found there is a dead one's."""
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        self.path.chmod(0o600)

    def close(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        if self._publishing is not None:
            self._publishing.cancel()
        for client in self._clients:
            client.writer.close()
        self.path.unlink(missing_ok=True)

    def publish(self) -> None:
        """Send the view to all clients, soon."""
        if self._publishing is None and self._clients:
            loop = asyncio.get_running_loop()
            self._publishing = loop.call_later(self._publish_pause_s, self._publish_now)

    def _publish_now(self) -> None:
        loop = asyncio.get_running_loop()
        self._publishing = None
        began = loop.time()
        view = self.household.view()
        for client in list(self._clients):
            client.send(view)
        cost_s = loop.time() - began
        self._publish_pause_s = max(PUBLISH_EVERY_S, cost_s / PUBLISH_SHARE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        try:
            await self._greet(client, reader)
            while True:
                body = await _read_body(reader, link.MAX_BODY_BYTES)
                self._handle(client, link.decode_from_client(body))
        except (DecodeError, TimeoutError) as exc:
            self.counts["link_garbage"] += 1
            reason = str(exc) or f"no hello within {HELLO_WITHIN_S} s"
            self.log.warn("link_refused", reason=reason)
            client.send(Refused(reason))
        except (OSError, asyncio.IncompleteReadError):
            pass  # it hung up, which is its right
        finally:
            self._clients.discard(client)
            writer.close()

    async def _greet(self, client: _Client, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(HELLO_WITHIN_S):
            hello = link.decode_from_client(await _read_body(reader, MAX_HELLO_BYTES))
        if not isinstance(hello, Hello):
            raise DecodeError(f"{type(hello).__name__} before Hello")
        if hello.version != link.LINK_VERSION:
            raise DecodeError(f"link version {hello.version}, need {link.LINK_VERSION}")
        if len(self._clients) >= MAX_CLIENTS:
            raise DecodeError(f"{MAX_CLIENTS} clients are connected already")
        if hello.role == "agent":
            self._dismiss_agent()
            self.log.info("agent_connected", pid=hello.pid)
        client.role = hello.role
        self._clients.add(client)
        client.send(self.household.view())

    def _dismiss_agent(self) -> None:
        for client in [c for c in self._clients if c.role == "agent"]:
            client.send(Refused("a newer agent has connected"))
            client.writer.close()
            self._clients.discard(client)

    def _handle(self, client: _Client, message: link.FromClient) -> None:
        if isinstance(message, AskCounters):
            client.send(self.household.counters())
            return
        if isinstance(message, Hello) or client.role != "agent":
            raise DecodeError(f"{type(message).__name__} from a {client.role}")
        if isinstance(message, Plan):
            self.counts["link_plans"] += 1
            self.household.plan_arrived(message)
        if isinstance(message, Heartbeat | Plan):
            self.household.agent_heard()


async def _read_body(reader: asyncio.StreamReader, at_most: int) -> bytes:
    size = link.body_size(await reader.readexactly(link.HEADER.size))
    if size > at_most:
        raise DecodeError(f"frame of {size} octets, need at most {at_most} here")
    return await reader.readexactly(size)
