"""A TCP relay on loopback: what a Service is to the API server, and what a network is to us."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import cycle

import attrs

LOOPBACK = "127.0.0.1"


@attrs.define(eq=False)
class Relay:
    """Hands connections to its targets in turn; `cut` ends those there are and admits no other."""

    port: int = 0
    is_cut: bool = False
    connections: int = 0  # handed on so far
    _targets: list[int] = attrs.field(factory=list)
    _turn: "cycle[int]" = attrs.field(factory=lambda: cycle(()))
    _open: set[asyncio.StreamWriter] = attrs.field(factory=set)

    def aim(self, *ports: int) -> None:
        """Hand on to these from now on."""
        self._targets = list(ports)
        self._turn = cycle(self._targets)

    def cut(self) -> None:
        """As a cable that is pulled, but told to both ends."""
        self.is_cut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    def heal(self) -> None:
        """Admit connections again."""
        self.is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self._open.add(writer)
        try:
            if self.is_cut:
                return
            await self._carry(reader, writer)
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self._targets:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(LOOPBACK, next(self._turn))
                break
        else:
            return
        self.connections += 1
        self._open.add(far_writer)
        try:
            pumps = [
                asyncio.ensure_future(_pump(reader, far_writer)),
                asyncio.ensure_future(_pump(far_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._open.discard(far_writer)
            far_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def relay(*targets: int, port: int = 0) -> AsyncIterator[Relay]:
    """Run one while the context lasts."""
    made = Relay()
    made.aim(*targets)
    server = await asyncio.start_server(made.serve, LOOPBACK, port)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.cut()
