"""
`python -m stentor.lab.workload NAME [PORT]`: answers every HTTP request with NAME.

It stands in for the pods behind a Service: what the client reads is the node it reached. A thread
for each request was too much on a crowded machine: once answers took longer than the client waits,
it answered none but those given up.
"""

import asyncio
import socket
import sys

PORT = 80
_BACKLOG = 128
_MAX_REQUEST_BYTES = 4096
_END_OF_REQUEST = b"\r\n\r\n"


class Answer(asyncio.Protocol):
    """One connection: one request, one answer, the end."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._asked = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the head of the request is whole."""
        assert self._transport is not None
        self._asked += data
        if _END_OF_REQUEST in self._asked:
            self._transport.write(self._answer)
        if _END_OF_REQUEST in self._asked or len(self._asked) > _MAX_REQUEST_BYTES:
            self._transport.close()


def answer(name: str) -> bytes:
    """The whole answer that names a node."""
    body = f"{name}\n"
    head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


def listener(port: int) -> socket.socket:
    """Hears IPv6 and IPv4 alike, on all addresses: a VIP comes and goes on lo."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("::", port))
    return server


async def serve(name: str, port: int) -> None:
    """Answer until cancelled."""
    whole = answer(name)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answer(whole), sock=listener(port), backlog=_BACKLOG)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else PORT))
