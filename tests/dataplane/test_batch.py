"""Many frames with one system call, on a real cable."""

import socket
import subprocess
from collections.abc import Iterator

import pytest

from speaker.herald.batch import AT_ONCE, MAX_BYTES
from speaker.herald.packet import FrameSocket
from tests.bpf.netns import Pair, pair, standing_in

pytestmark = pytest.mark.root

ETHERTYPE = 0x88B6  # IEEE 802 local experimental 2
FRAME_BYTES = 60
MANY = 2 * AT_ONCE + 10


@pytest.fixture(scope="module")
def cable() -> Iterator[Pair]:
    with pair() as made:
        yield made


def frame(number: int, size: int = FRAME_BYTES) -> bytes:
    header = b"\xff" * 6 + bytes(6) + ETHERTYPE.to_bytes(2, "big")
    return (header + number.to_bytes(4, "big")).ljust(size, b"\0")


@pytest.mark.parametrize("size", [FRAME_BYTES, MAX_BYTES])
def test_all_frames_arrive_in_their_order(cable: Pair, size: int) -> None:
    sent = [frame(number, size) for number in range(MANY)]
    with standing_in(cable.far):
        far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        far.bind(("eth0", ETHERTYPE))
    with standing_in(cable.near):
        near = FrameSocket.open("eth0")

    with far:
        far.settimeout(5)
        count = near.send_all(b"".join(sent), size)
        heard = [far.recv(2048) for _ in range(count)]
    near.close()

    assert count == MANY
    assert heard == sent


def test_an_interface_that_is_down_takes_nothing() -> None:
    with pair() as made:
        with standing_in(made.near):
            near = FrameSocket.open("eth0")
        subprocess.run(["ip", "-n", made.near, "link", "set", "eth0", "down"], check=True)

        count = near.send_all(b"".join(map(frame, range(3))), FRAME_BYTES)
        near.close()

    assert count == 0
