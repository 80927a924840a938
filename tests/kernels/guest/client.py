"""The client in the guest: asks, and hears every voice that answers."""

import socket
import struct
import time
from typing import Any, Final

from tests.kernels.guest import net

_ETH_P_ALL: Final = 0x0003
_ETH_P_ARP: Final = 0x0806
_ETH_P_8021Q: Final = 0x8100
_SOL_PACKET: Final = 263
_PACKET_AUXDATA: Final = 8
_PACKET_OUTGOING: Final = 4
_TP_STATUS_VLAN_VALID: Final = 1 << 4
_AUXDATA: Final = struct.Struct("=IIIHHHH")  # linux/if_packet.h struct tpacket_auxdata
_FIRST_S: Final = 3.0  # for the first answer: all is slow here
_QUIET_S: Final = 0.3  # without a further answer: everybody has spoken


def ask(
    vip: str,
    ifname: str = "cv",
    *,
    vlan: int = 0,
    namespace: str = net.CLIENT,
    patient: bool = True,
) -> list[list[Any]]:
    """
    Ask by ARP for `vip`; every answer in order, as [LLADDR, VLAN].

    `vlan`: the question carries that tag. Not `patient`: do not wait long where silence is due.
    """
    with net.inside(namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        lladdr = _lladdr(sock, ifname)
    with sock:
        sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.bind((ifname, _ETH_P_ALL))
        sock.send(_question(lladdr, vip, vlan))
        answers: list[list[Any]] = []
        deadline = time.monotonic() + (_FIRST_S if patient else _QUIET_S * 2)
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                frame, extra, _, address = sock.recvmsg(2048, 256)
            except TimeoutError:
                break
            answer = _answer(frame, extra, vip) if address[2] != _PACKET_OUTGOING else None
            if answer is not None:
                answers.append(answer)
                deadline = time.monotonic() + _QUIET_S
        return answers


def _lladdr(sock: socket.socket, ifname: str) -> bytes:
    sock.bind((ifname, _ETH_P_ARP))
    return bytes(sock.getsockname()[4])


def _question(lladdr: bytes, vip: str, vlan: int) -> bytes:
    tag = struct.pack("!HH", _ETH_P_8021Q, vlan) if vlan else b""
    head = b"\xff" * 6 + lladdr + tag + struct.pack("!HHHBBH", _ETH_P_ARP, 1, 0x0800, 6, 4, 1)
    sender = lladdr + socket.inet_aton("192.0.2.250")
    return (head + sender + bytes(6) + socket.inet_aton(vip)).ljust(60, b"\0")


def _answer(frame: bytes, extra: list[tuple[int, int, bytes]], vip: str) -> list[Any] | None:
    vlan = 0
    for level, kind, data in extra:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
            status, _, _, _, _, tci, _ = _AUXDATA.unpack_from(data)
            vlan = tci & 0xFFF if status & _TP_STATUS_VLAN_VALID else 0
    if frame[12:14] == b"\x81\x00":
        vlan, frame = int.from_bytes(frame[14:16], "big") & 0xFFF, frame[:12] + frame[16:]
    is_reply = frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2"
    if not is_reply or frame[28:32] != socket.inet_aton(vip):
        return None
    return [frame[22:28].hex(":"), vlan]
