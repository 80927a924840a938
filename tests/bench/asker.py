"""
`python -m tests.bench.asker IFACE OWN_IP TARGET...`: ask at 1,000 requests/s, print microseconds.

Runs inside the client's namespace. A request goes to each target in turn; what is measured is from
before the send call to the kernel's receive stamp (SO_TIMESTAMPNS) of the answer. Prints one JSON
object, target -> list of microseconds; an unanswered request is null.
"""

import gc
import json
import select
import socket
import struct
import sys
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.utils6 import in6_getnsma, in6_getnsmac

COUNT = 2_000  # requests per target
INTERVAL_S = 0.001
TIMEOUT_S = 0.05
SO_TIMESTAMPNS = 35  # asm-generic/socket.h, SO_TIMESTAMPNS_OLD
ETH_P_ALL = 3


def question(target: IPv4Address | IPv6Address, lladdr: str, own: str) -> bytes:
    """An ARP request or a neighbour solicitation with its SLLAO."""
    if isinstance(target, IPv4Address):
        frame = Ether(src=lladdr, dst="ff:ff:ff:ff:ff:ff") / ARP(
            op=1, hwsrc=lladdr, psrc=own, pdst=str(target)
        )
        return bytes(frame)
    group = in6_getnsma(target.packed)
    frame = (
        Ether(src=lladdr, dst=in6_getnsmac(group))
        / IPv6(src=own, dst=socket.inet_ntop(socket.AF_INET6, group), hlim=255)
        / ICMPv6ND_NS(tgt=str(target))
        / ICMPv6NDOptSrcLLAddr(lladdr=lladdr)
    )
    return bytes(frame)


def is_answer(frame: bytes, target: IPv4Address | IPv6Address) -> bool:
    """Whether `frame` is an ARP reply or an advertisement for `target`."""
    if isinstance(target, IPv4Address):
        return (
            frame[12:14] == b"\x08\x06"
            and frame[20:22] == b"\0\2"
            and frame[28:32] == target.packed
        )
    return frame[12:14] == b"\x86\xdd" and frame[54:55] == b"\x88" and frame[62:78] == target.packed


def ask(sock: socket.socket, frame: bytes, target: IPv4Address | IPv6Address) -> float | None:
    """Send one question; microseconds to its answer, None after TIMEOUT_S."""
    sent_ns = time.clock_gettime_ns(time.CLOCK_REALTIME)
    sock.send(frame)
    deadline = time.monotonic() + TIMEOUT_S
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            break
        received, ancillary, _flags, address = sock.recvmsg(2048, 64)
        if address[2] == socket.PACKET_OUTGOING or not is_answer(received, target):
            continue
        seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
        received_ns: int = seconds * 1_000_000_000 + nanoseconds
        return (received_ns - sent_ns) / 1000
    return None


def main(interface: str, own: list[str], targets: list[str]) -> None:
    """Ask for every target COUNT times, in turn, so that noise hits all alike."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.bind((interface, ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    lladdr = sock.getsockname()[4].hex(":")
    addresses = [ip_address(target) for target in targets]
    sources = {ip_address(text).version: text for text in own}
    frames = {vip: question(vip, lladdr, sources[vip.version]) for vip in addresses}
    taken: dict[str, list[float | None]] = {str(vip): [] for vip in addresses}
    gc.disable()
    due = time.monotonic()
    for _ in range(COUNT):
        for vip in addresses:
            due += INTERVAL_S
            while (left := due - time.monotonic()) > 0:
                select.select([], [], [], left)
            taken[str(vip)].append(ask(sock, frames[vip], vip))
    json.dump(taken, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].split(","), sys.argv[3:])
