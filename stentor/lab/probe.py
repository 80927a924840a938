"""
`python -m stentor.lab.probe http|arp|nd VIP`: ask for a VIP over and over, one line a question.

Runs in the client's namespace until it is killed. Each line is a Sample as JSON, in the order the
questions were asked; `asked_at` is CLOCK_MONOTONIC, which all namespaces share.
"""

import asyncio
import enum
import socket
import sys
import time
from collections import deque
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import msgspec

from speaker.herald.frames import Vip, read_claim
from stentor.lab.questions import arp_request, neighbour_solicitation
from stentor.lab.topology import INTERFACE
from stentor.lab.workload import PORT

INTERVAL_S = 0.02
# Below 1 s, so that no SYN is sent twice: a request that needed that would hide a silence.
HTTP_WITHIN_S = 0.9
ANSWER_WITHIN_S = 0.25
_ETH_P_ALL = 3  # linux/if_ether.h


class Kind(enum.StrEnum):
    """What is asked."""

    HTTP = "http"
    ARP = "arp"
    ND = "nd"


class Sample(msgspec.Struct, frozen=True):
    """One question: when it was asked, who answered ("" = nobody) and how long that took."""

    asked_at: float
    by: str
    took_s: float


async def http(vip: Vip) -> None:
    """Start a request every INTERVAL_S, whatever became of the ones before."""
    pending: deque[asyncio.Task[Sample]] = deque()
    due = time.monotonic()
    async with asyncio.TaskGroup() as group:
        while True:
            pending.append(group.create_task(_get(str(vip))))
            while pending and pending[0].done():
                _say(pending.popleft().result())
            due += INTERVAL_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _get(vip: str) -> Sample:
    asked_at = time.monotonic()
    by = ""
    try:
        async with asyncio.timeout(HTTP_WITHIN_S):
            by = await _read_body(vip)
    except (OSError, TimeoutError):
        by = ""
    return Sample(asked_at, by, time.monotonic() - asked_at)


async def _read_body(vip: str) -> str:
    reader, writer = await asyncio.open_connection(vip, PORT)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return body.decode().strip() if b" 200 " in head.split(b"\r\n")[0] else ""
    finally:
        writer.close()


async def neighbour(vip: Vip, question: bytes) -> None:
    """Ask on the wire with `question`, wait for the answer, and ask again at the next beat."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as wire:
        wire.bind((INTERFACE, _ETH_P_ALL))
        wire.setblocking(False)
        due = time.monotonic()
        while True:
            asked_at = time.monotonic()
            wire.send(question)
            by = ""
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    by = await _answer(loop, wire, vip, question[6:12])
            except TimeoutError:
                by = ""
            _say(Sample(asked_at, by, time.monotonic() - asked_at))
            due = max(due + INTERVAL_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())


async def _answer(
    loop: asyncio.AbstractEventLoop, wire: socket.socket, vip: Vip, own: bytes
) -> str:
    """The LLADDR in the first answer that is addressed to us, unlike an announcement."""
    while True:
        frame = await loop.sock_recv(wire, 2048)
        claim = read_claim(frame) if frame[:6] == own else None
        if claim is not None and claim.vip == vip:
            return claim.lladdr.hex(":")


def _say(sample: Sample) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(sample) + b"\n")
    sys.stdout.buffer.flush()


def _question(vip: Vip) -> bytes:
    """What the client's kernel would ask, from the client's own addresses."""
    own = bytes.fromhex(
        Path(f"/sys/class/net/{INTERFACE}/address").read_text().strip().replace(":", "")
    )
    with socket.socket(
        socket.AF_INET if vip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM
    ) as probe:
        probe.connect((str(vip), PORT))
        source = ip_address(probe.getsockname()[0])
    if isinstance(vip, IPv4Address) and isinstance(source, IPv4Address):
        return arp_request(vip, own, source)
    assert isinstance(vip, IPv6Address)
    assert isinstance(source, IPv6Address)
    return neighbour_solicitation(vip, own, source)


def main(kind: Kind, vip: Vip) -> None:
    """Ask until killed."""
    asyncio.run(http(vip) if kind is Kind.HTTP else neighbour(vip, _question(vip)))


if __name__ == "__main__":
    main(Kind(sys.argv[1]), ip_address(sys.argv[2]))
