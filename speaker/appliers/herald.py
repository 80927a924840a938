"""
The agent's end of the link: brings the plan to the herald, and its view back.

It reconnects for ever, and each connection begins with the whole plan, so that neither process
needs to know what the other has forgotten.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar

import attrs

from speaker.herald import link
from speaker.herald.errors import DecodeError
from speaker.herald.link import Counters, FromClient, FromHerald, Plan, Refused, View
from stentor.logging import Log

HEARTBEAT_S = 1.0
ANSWER_WITHIN_S = 5.0
RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)
Answer = TypeVar("Answer", View, Counters)


class LinkDown(Exception):  # noqa: N818 - a state of the world
    """There is no herald at the socket, or it hung up; the text says which and why."""


async def ask_view(path: Path) -> View:
    """Return the whole view of the herald at `path`; raises LinkDown."""
    return await _ask(path, View)


async def ask_counters(path: Path) -> Counters:
    """Return the counters of the herald at `path`; raises LinkDown."""
    return await _ask(path, Counters, link.AskCounters())


async def _ask(path: Path, kind: type[Answer], *questions: FromClient) -> Answer:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            connection = await Connection.open(path, "reader")
            try:
                connection.send(*questions)
                while not isinstance(message := await connection.receive(), kind):
                    pass
                return message
            finally:
                connection.close()
    except TimeoutError as exc:
        raise LinkDown(f"the herald at {path} does not answer") from exc


@attrs.define
class Connection:
    """One connection to the herald, as a client."""

    path: Path
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, path: Path, role: link.Role) -> "Connection":
        """Connect and say hello; raises LinkDown."""
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError as exc:
            raise LinkDown(f"no herald at {path}: {exc.strerror or exc}") from exc
        connection = cls(path, reader, writer)
        connection.send(link.Hello(role, pid=os.getpid()))
        return connection

    def send(self, *messages: FromClient) -> None:
        """Queue messages; a dead connection shows at the next `receive` or `flush`."""
        for message in messages:
            self._writer.write(link.encode(message))

    async def flush(self) -> None:
        """Wait until the queue is short; raises LinkDown."""
        try:
            await self._writer.drain()
        except OSError as exc:
            raise LinkDown(f"the herald at {self.path} hung up: {exc}") from exc

    async def receive(self) -> FromHerald:
        """Return the next message; raises LinkDown, also when the herald refuses us."""
        try:
            size = link.body_size(await self._reader.readexactly(link.HEADER.size))
            message = link.decode_from_herald(await self._reader.readexactly(size))
        except (OSError, asyncio.IncompleteReadError, DecodeError) as exc:
            raise LinkDown(f"the herald at {self.path} hung up: {exc}") from exc
        if isinstance(message, Refused):
            raise LinkDown(f"the herald at {self.path} refused: {message.reason}")
        return message

    def close(self) -> None:
        """Close at once."""
        self._writer.close()


@attrs.define
class HeraldLink:
    """Keeps one connection as the agent. `on_view` is called for every view that comes."""

    path: Path
    log: Log
    rng: Random
    on_view: Callable[[View], None]
    plan: Plan | None = None
    connected: bool = False
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def set_plan(self, plan: Plan) -> None:
        """Replace the plan; it goes out now, or with the next connection."""
        self.plan = plan
        self._changed.set()

    async def run(self) -> None:
        """Connect, serve, reconnect; never returns."""
        failures = 0
        while True:
            try:
                connection = await Connection.open(self.path, "agent")
                try:
                    self.connected, failures = True, 0
                    self.log.info("herald_connected")
                    await self._serve(connection)
                finally:
                    self.connected = False
                    connection.close()
            except LinkDown as exc:
                if failures == 0:
                    self.log.warn("herald_lost", message=str(exc))
            pause = RETRY_S[min(failures, len(RETRY_S) - 1)]
            failures += 1
            await asyncio.sleep(pause * self.rng.uniform(0.8, 1.2))

    async def _serve(self, connection: Connection) -> None:
        speaking = asyncio.ensure_future(self._speak(connection))
        listening = asyncio.ensure_future(self._listen(connection))
        try:
            done, _ = await asyncio.wait((speaking, listening), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            speaking.cancel()
            listening.cancel()
            await asyncio.gather(speaking, listening, return_exceptions=True)

    async def _speak(self, connection: Connection) -> None:
        self._changed.set()
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), HEARTBEAT_S)
            except TimeoutError:
                connection.send(link.Heartbeat())
            else:
                self._changed.clear()
                connection.send(link.Heartbeat() if self.plan is None else self.plan)
            await connection.flush()

    async def _listen(self, connection: Connection) -> None:
        while True:
            message = await connection.receive()
            if isinstance(message, View):
                self.on_view(message)
