"""
`python -m stentor.lab.chaos_prober VIP...`: ask for each VIP every 20 ms, by ARP or NS.

Runs in the client's namespace until it is killed or its parent ends. It only asks: what was asked
and answered, the listener on the segment writes down. Each question comes from another address, so
that an answer belongs to one question, and all from an LLADDR that is no host's.
"""

import os
import socket
import sys
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

from speaker.herald.frames import Vip
from stentor.lab.chaos_frames import PROBER_LLADDR
from stentor.lab.questions import arp_request, neighbour_solicitation
from stentor.lab.topology import INTERFACE

INTERVAL_S = 0.02
ASKERS = range(200, 250)  # one second until an address asks again; beyond every host and VIP
_V4 = IPv4Address("192.0.2.0")  # RFC 5737
_V6 = IPv6Address("2001:db8::ffff:0")  # RFC 3849


def question(vip: Vip, asker: int) -> bytes:
    """The frame that asks for `vip` from the address whose last octet is `asker`."""
    if isinstance(vip, IPv4Address):
        return arp_request(vip, PROBER_LLADDR, _V4 + asker)
    return neighbour_solicitation(vip, PROBER_LLADDR, _V6 + asker)


def main(vips: list[Vip]) -> None:
    """Ask, the VIPs spread over each interval, until the parent ends."""
    parent = os.getppid()
    rounds = [[question(vip, asker) for vip in vips] for asker in ASKERS]
    pause_s = INTERVAL_S / len(vips)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind((INTERFACE, 0))
        due = time.monotonic()
        while os.getppid() == parent:
            for questions in rounds:
                for frame in questions:
                    wire.send(frame)
                    # After a pause of the whole process go on from now: no burst to catch up.
                    due = max(due + pause_s, time.monotonic() - INTERVAL_S)
                    time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main([ip_address(text) for text in sys.argv[1:]])
