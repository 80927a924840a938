"""AF_PACKET sockets: one to send whole frames on an interface, one to hear claims on it."""

import contextlib
import socket
from typing import Final

import attrs

from speaker.dataplane import filters
from speaker.dataplane.filters import JEQ, LDB, LDH, RET
from speaker.herald.batch import Batch
from speaker.herald.errors import LinkError
from speaker.herald.frames import Claim, read_claim

ETH_P_ALL: Final = 0x0003  # linux/if_ether.h
PACKET_OUTGOING: Final = 4  # linux/if_packet.h
FRAME_BYTES: Final = 2048
FRAMES_A_TURN: Final = 64

_CLAIMS: Final = (
    (LDH, 0, 0, 12),  # 0 EtherType
    (JEQ, 0, 2, 0x0806),  # 1 ARP, else 4
    (LDH, 0, 0, 20),  # 2 its operation
    (JEQ, 5, 6, 2),  # 3 a reply claims; a request of others is noise
    (JEQ, 0, 5, 0x86DD),  # 4 IPv6
    (LDB, 0, 0, 20),  # 5 next header
    (JEQ, 0, 3, 58),  # 6 ICMPv6
    (LDB, 0, 0, 54),  # 7 type
    (JEQ, 0, 1, 136),  # 8 neighbour advertisement
    (RET, 0, 0, FRAME_BYTES),  # 9 take it
    (RET, 0, 0, 0),  # 10 leave it
)


@attrs.define
class FrameSocket:
    """Sends frames on one interface; hears nothing."""

    _socket: socket.socket
    _batch: Batch | None = None

    @classmethod
    def open(cls, interface: str) -> "FrameSocket":
        """Raises LinkError without CAP_NET_RAW or when the interface is gone."""
        return cls(_open(interface, 0))

    def send(self, frame: bytes) -> bool:
        """Send one frame; False when the interface is down, gone or its queue full."""
        try:
            self._socket.send(frame)
        except OSError:
            return False
        return True

    def send_all(self, frames: bytes, frame_bytes: int) -> int:
        """
        Send `frames`, one behind the other and each of `frame_bytes`; returns how many were sent.

        It ends where the interface is down or gone or its queue is full.
        """
        if not frames:
            return 0
        if self._batch is None:
            self._batch = Batch()
        return self._batch.send(self._socket.fileno(), frames, frame_bytes)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@attrs.define
class ClaimSocket:
    """Hears who claims which address on one interface, by ARP reply or neighbour advertisement."""

    _socket: socket.socket

    @classmethod
    def open(cls, interface: str) -> "ClaimSocket":
        """Raises LinkError as FrameSocket.open does."""
        return cls(_open(interface, ETH_P_ALL))

    def fileno(self) -> int:
        """For add_reader."""
        return self._socket.fileno()

    def read(self) -> list[Claim]:
        """Take the claims that wait, of at most FRAMES_A_TURN frames."""
        claims: list[Claim] = []
        with contextlib.suppress(OSError):  # drained, or the interface went down
            for _ in range(FRAMES_A_TURN):
                frame, address = self._socket.recvfrom(FRAME_BYTES)
                claim = read_claim(frame)
                if claim is not None and address[2] != PACKET_OUTGOING:
                    claims.append(claim)
        return claims

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _open(interface: str, protocol: int) -> socket.socket:
    """Open a raw socket; one that hears has its filter before it is bound, so nothing slips in."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except OSError as exc:
        raise LinkError(f"raw socket: {exc.strerror}; need CAP_NET_RAW") from exc
    try:
        if protocol:
            filters.attach(sock, _CLAIMS)
        sock.bind((interface, protocol))
    except OSError as exc:
        sock.close()
        raise LinkError(f"raw socket on {interface}: {exc.strerror}") from exc
    return sock
