"""One exchange over one TCP connection: connect, write a message, read a message."""

import asyncio
import contextlib
import ipaddress
import os
import socket

from speaker.gossip.errors import DecodeError, Reason
from speaker.gossip.messages import StreamMessage
from speaker.gossip.outputs import Endpoint
from speaker.gossip.sockets import source_endpoint
from speaker.gossip.stream import StreamReader, encode_stream
from speaker.gossip.wire import Wire

READ_BYTES = 65536

# What a refusal of an answer means to the person who set the keys.
_KEY_TROUBLE = {
    Reason.WRONG_KEY: "it has another gossip key",
    Reason.BAD_ENCRYPTION: "it has another gossip key",
    Reason.NO_KEY: "it has a gossip key and we have none",
    Reason.NOT_ENCRYPTED: "we have a gossip key and it has none",
    Reason.BAD_LABEL: "it belongs to a ring with another label",
}


async def resolve(host: str, port: int) -> list[Endpoint]:
    """Give the addresses of a host, each once. Raises OSError when there are none."""
    with contextlib.suppress(ValueError):  # a name
        return [(str(ipaddress.ip_address(host)), port)]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(source_endpoint(address) for *_, address in found))


async def talk(wire: Wire, to: Endpoint, message: StreamMessage) -> StreamMessage | None:
    """
    Send `message` to `to` and give the answer, None when it hangs up without one.

    The caller sets the deadline. Raises OSError and DecodeError.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, to)
        await loop.sock_sendall(connection, encode_stream(wire, message, dialled=True))
        return await read_message(wire, connection, accepted=False)


async def read_message(
    wire: Wire, connection: socket.socket, *, accepted: bool
) -> StreamMessage | None:
    """Read one message; None when the other side hangs up first. Raises OSError, DecodeError."""
    loop = asyncio.get_running_loop()
    reader = StreamReader(wire, accepted=accepted)
    while True:
        data = await loop.sock_recv(connection, READ_BYTES)
        if not data:
            return reader.finish()
        if (message := reader.feed(data)) is not None:
            return message


def explain(exc: Exception) -> str:
    """Say why a dialogue failed, to a person."""
    match exc:
        case TimeoutError():
            return "no answer in time"
        case DecodeError():
            return _KEY_TROUBLE.get(exc.reason, f"its answer makes no sense ({exc})")
        case OSError():
            # asyncio's own text for a refused connection names the address again
            return os.strerror(exc.errno) if exc.errno else str(exc)
        case _:
            return str(exc)
