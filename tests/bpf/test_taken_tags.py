"""Tags that the kernel has taken out of the frame, as a tc program finds them: on a real cable."""

import os
import socket
import struct
from collections.abc import Iterator

import attrs
import pytest

from speaker.dataplane.libbpf import ATTACH_TCX_INGRESS
from tests.bpf.frames import Arp, Nd
from tests.bpf.harness import OWN_LLADDR, Program, Responder
from tests.bpf.netns import pair, standing_in
from tests.eventually import DEADLINES, eventually

VIP4 = Arp().tpa
VIP6 = Nd().target
VLAN = 100
SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/socket.h, linux/if_packet.h
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata; the TCI is the sixth

pytestmark = pytest.mark.root


@attrs.frozen
class Cable:
    """A socket at the near end; the responder as a tc program at the far end."""

    wire: socket.socket

    def answer(self, frame: bytes) -> tuple[int, bytes]:
        """TCI and untagged octets of what comes back from our LLADDR."""
        self.wire.send(frame)
        answered = eventually(self._take, within_s=DEADLINES.answered, what="an answer")
        assert answered is not None
        return answered

    def _take(self) -> tuple[int, bytes] | None:
        try:
            octets, ancillary, _, _ = self.wire.recvmsg(2048, 256, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if octets[6:12] != OWN_LLADDR:
            return None
        [data] = [data for _, kind, data in ancillary if kind == PACKET_AUXDATA]
        return AUXDATA.unpack(data[: AUXDATA.size])[5], octets


@pytest.fixture
def cable(responder: Responder) -> Iterator[Cable]:
    with pair() as ends:
        for vlan in (0, VLAN):
            responder.put(VIP4, ifindex=ends.far_ifindex, vlan=vlan)
            responder.put(VIP6, ifindex=ends.far_ifindex, vlan=vlan)
        with standing_in(ends.far):
            link = responder.object.bpf.link_create(
                responder.object.program_fd(Program.TC), ends.far_ifindex, ATTACH_TCX_INGRESS
            )
        with standing_in(ends.near):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        with wire, os.fdopen(link):
            wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            wire.bind(("eth0", 3))
            yield Cable(wire)


@pytest.mark.parametrize("tci", [None, VLAN, VLAN | 3 << 13])
def test_an_answer_goes_back_in_the_vlan_of_the_question(cable: Cable, tci: int | None) -> None:
    arp = cable.answer(Arp(vlan=tci).build())
    nd = cable.answer(Nd(vlan=tci, options=b"").build())

    assert (arp[0], nd[0]) == (tci or 0, tci or 0)
    assert (arp[1][12:14], nd[1][12:14]) == (b"\x08\x06", b"\x86\xdd")


def test_a_second_tag_behind_a_taken_one_is_not_ours(cable: Cable, responder: Responder) -> None:
    inner = Arp(vlan=VLAN).build()
    twice = inner[:12] + b"\x81\x00\x00\x07" + inner[12:]
    cable.wire.send(twice)

    cable.answer(Arp().build())

    assert responder.stats()["requests"] == 1
