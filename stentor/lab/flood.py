"""
`python -m stentor.lab.flood KIND RATE SECONDS LLADDR IPV4`: garbage to one host of the segment.

It ends by itself, and earlier with its parent. RATE counts frames or datagrams a second; where the
machine cannot keep up, fewer are sent.
"""

import contextlib
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle

from speaker.beats import BEAT_BYTES, ETHERTYPE
from stentor.lab.topology import INTERFACE

KINDS = ("beats", "arp", "gossip")
GOSSIP_PORTS = (7946, 7947)
BURST_S = 0.005  # a sleep for each frame would be too many
_VARIETIES = 512
_SEED = 7
_LOCAL_LLADDR = bytes.fromhex("02005e010003")  # no host's
_BEAT_HEAD = b"STBT\x01"  # magic and version, so that the tag is looked at
_ETHERTYPE_ARP = b"\x08\x06"
_ARP_HEAD = bytes.fromhex("0001080006040002")  # RFC 826: a reply
_SIZES = (1, 2, 17, 60, 200, 1400)


def beats(lladdr: bytes, rng: random.Random) -> Iterator[bytes]:
    """Beats of the right length or another one, with a tag that no key makes."""
    header = lladdr + _LOCAL_LLADDR + ETHERTYPE.to_bytes(2, "big")
    for number in range(_VARIETIES):
        size = BEAT_BYTES if number % 2 else rng.choice(_SIZES)
        yield header + (_BEAT_HEAD + rng.randbytes(max(0, size - len(_BEAT_HEAD))))[:size]


def arp(rng: random.Random) -> Iterator[bytes]:
    """Broadcast replies for random addresses, every second one cut off or of another kind."""
    for number in range(_VARIETIES):
        head = _ARP_HEAD if number % 2 else rng.randbytes(len(_ARP_HEAD))
        body = head + rng.randbytes(20)
        frame = b"\xff" * 6 + _LOCAL_LLADDR + _ETHERTYPE_ARP + body
        yield frame if number % 4 else frame[: rng.randrange(14, len(frame))]


def datagrams(rng: random.Random) -> Iterator[bytes]:
    """What begins like a message of memberlist and goes on as noise."""
    for number in range(_VARIETIES):
        yield bytes([number % 16]) + rng.randbytes(rng.choice(_SIZES) - 1)


def senders(kind: str, lladdr: bytes, address: str) -> tuple[list[bytes], Callable[[bytes], int]]:
    """What is sent, and by what."""
    rng = random.Random(_SEED)
    if kind == "gossip":
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ports = cycle(GOSSIP_PORTS)
        return list(datagrams(rng)), lambda one: udp.sendto(one, (address, next(ports)))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.bind((INTERFACE, 0))
    return list(beats(lladdr, rng) if kind == "beats" else arp(rng)), wire.send


def main(kind: str, rate: int, seconds: float, lladdr: bytes, address: str) -> None:
    """Send until the time is over; prints how many were sent."""
    garbage, send = senders(kind, lladdr, address)
    parent = os.getppid()
    rounds = cycle(garbage)
    sent = 0
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds and os.getppid() == parent:
        for _ in range(min(int(rate * elapsed) - sent, rate)):
            with contextlib.suppress(OSError):  # refused, or the queue is full: it need not arrive
                send(next(rounds))
            sent += 1
        time.sleep(BURST_S)
    sys.stdout.write(f"{sent}\n")


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(sys.argv[2]),
        float(sys.argv[3]),
        bytes.fromhex(sys.argv[4].replace(":", "")),
        sys.argv[5],
    )
