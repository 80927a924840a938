"""A small HTTP server for /metrics, /healthz and /readyz, on asyncio alone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

REQUEST_WITHIN_S = 5.0
MAX_REQUEST_BYTES = 8192
MAX_CONNECTIONS = 64
TEXT = "text/plain; charset=utf-8"


@attrs.frozen
class Reply:
    """What a page says."""

    status: int
    body: bytes
    content_type: str = TEXT


Page = Callable[[], Awaitable[Reply]]
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@attrs.define
class Endpoint:
    """Serves `pages` by path to GET and HEAD; one request a connection."""

    host: str
    port: int
    pages: Mapping[str, Page]
    _open: int = 0

    async def start(self) -> asyncio.Server:
        """Listen; raises OSError when the port is taken. The caller closes the server."""
        return await asyncio.start_server(
            self._serve, self.host, self.port, limit=MAX_REQUEST_BYTES
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MAX_CONNECTIONS:
                async with asyncio.timeout(REQUEST_WITHIN_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    method, reply = await self._answer(head)
                    writer.write(_encode(reply, with_body=method != "HEAD"))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that is gone, too slow or too long-winded gets nothing
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, head: bytes) -> tuple[str, Reply]:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split()
        if len(words) != 3:
            return "GET", Reply(400, b"bad request\n")
        method, target, _ = words
        page = self.pages.get(target.partition("?")[0])
        if page is None:
            return method, Reply(404, b"not found\n")
        if method not in {"GET", "HEAD"}:
            return method, Reply(405, b"GET or HEAD\n")
        return method, await page()


def _encode(reply: Reply, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {reply.status} {_PHRASES[reply.status]}\r\n"
        f"Content-Type: {reply.content_type}\r\n"
        f"Content-Length: {len(reply.body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (reply.body if with_body else b"")


def exposition(registry: CollectorRegistry, exact_counters: frozenset[str]) -> Reply:
    """
    Return all metrics of `registry` in Prometheus' text format.

    prometheus_client ends the name of every counter with _total. MetalLB has counters without:
    those in `exact_counters` keep their name.
    """
    text = generate_latest(registry)
    for name in exact_counters:
        for word in (b"HELP", b"TYPE"):
            text = text.replace(
                b"# %s %s_total " % (word, name.encode()), b"# %s %s " % (word, name.encode())
            )
    return Reply(200, text, CONTENT_TYPE_LATEST)
