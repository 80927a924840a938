"""Beats by UDP on the loopback interface: what is sent, heard and refused."""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import attrs
import pytest

from speaker.beats import HOP_LIMIT, PORT
from speaker.herald.actions import Vip
from speaker.herald.datagrams import Datagrams
from tests.eventually import DEADLINES, eventually

pytestmark = pytest.mark.root
HERE = ip_address("127.7.9.47")  # nobody else's on this machine
BEAT = bytes(range(96))
IP_RECVTTL = 12  # linux/in.h


@attrs.define
class Ear:
    """What a Datagrams tells."""

    heard: list[bytes] = attrs.field(factory=list)
    refused: list[Vip] = attrs.field(factory=list)
    watched: set[int] = attrs.field(factory=set)
    datagrams: Datagrams = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.datagrams = Datagrams(
            "lo", self.watched.add, self.unwatch, self.hear, self.refused.append
        )

    def unwatch(self, fd: int) -> bool:
        self.watched.discard(fd)
        return True

    def hear(self, octets: bytes) -> bool:
        self.heard.append(octets)
        return True


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.datagrams.close()
    assert made.watched == set()


def test_a_beat_leaves_with_a_hop_limit_that_no_router_forwards_unseen(ear: Ear) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((str(HERE), PORT))
        peer.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        peer.settimeout(DEADLINES.answered)

        ear.datagrams.send(BEAT, HERE)

        octets, [(_, _, ttl)], _, source = peer.recvmsg(200, 64)
        assert (octets, struct.unpack("=I", ttl)[0]) == (BEAT, HOP_LIMIT)
        peer.sendto(BEAT, source)
        eventually(ear.datagrams.read, within_s=DEADLINES.answered, what="reply")
    assert ear.heard == [BEAT]


def test_a_host_without_anything_at_the_port_refuses_by_its_address(ear: Ear) -> None:
    ear.datagrams.send(BEAT, HERE)

    eventually(
        lambda: ear.datagrams.read() or ear.refused, within_s=DEADLINES.answered, what="refused"
    )

    assert set(ear.refused) == {HERE}
    assert ear.heard == []


def test_an_interface_that_is_gone_is_an_error_for_the_sender(ear: Ear) -> None:
    ear.datagrams.interface = "st-none"

    with pytest.raises(OSError, match="No such device"):
        ear.datagrams.send(BEAT, HERE)
