"""
How many bytes a message takes on the wire, without encoding it.

The budget of a datagram is kept by these sizes, so that the state machine deals in values only.
A property test holds them against the codec.
"""

from typing import assert_never

from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    IndirectPing,
    NackResp,
    PacketMessage,
    Ping,
    Suspect,
    User,
)

COMPOUND_HEADER_BYTES = 2  # type and count
COMPOUND_PART_BYTES = 2  # the length of a part
# Type byte, map header, and the keys with one byte of header each, of each message.
_PING = 2 + 5 + 6
_PING_SOURCE_ADDR, _PING_SOURCE_PORT, _PING_SOURCE_NODE = 11, 11, 11
_INDIRECT_PING = 2 + 5 + 5 + 5 + 6 + 7 + 1  # and the boolean
_ACK = 2 + 8 + 6
_NACK = 2 + 6
_ACCUSATION = 2 + 5 + 12 + 5
_ALIVE = 2 + 5 + 12 + 5 + 5 + 5 + 4


def _raw(length: int) -> int:
    if length < 32:  # fixraw
        return 1 + length
    return (3 if length <= 0xFFFF else 5) + length


def _octets(value: bytes | None) -> int:
    return _raw(len(value)) if value else 1


def _text(value: str) -> int:
    return _raw(len(value) if value.isascii() else len(value.encode()))


def _uint(value: int) -> int:
    if value <= 0x7F:
        return 1
    if value <= 0xFF:
        return 2
    return 3 if value <= 0xFFFF else 5


def _source(message: Ping | IndirectPing) -> int:
    size = 0
    if message.source_addr:
        size += _PING_SOURCE_ADDR + _octets(message.source_addr)
    if message.source_port:
        size += _PING_SOURCE_PORT + _uint(message.source_port)
    if message.source_node:
        size += _PING_SOURCE_NODE + _text(message.source_node)
    return size


def size_bytes(message: PacketMessage) -> int:
    """Give the size of the encoded message, its type byte included."""
    match message:
        case Ping():
            size = _PING + _text(message.node) + _uint(message.seq_no) + _source(message)
        case IndirectPing():
            size = _INDIRECT_PING + _text(message.node) + _uint(message.port)
            size += _uint(message.seq_no) + _octets(message.target) + _source(message)
        case AckResp():
            size = _ACK + _octets(message.payload) + _uint(message.seq_no)
        case NackResp():
            size = _NACK + _uint(message.seq_no)
        case Suspect() | Dead():
            size = _ACCUSATION + _text(message.node) + _text(message.sender)
            size += _uint(message.incarnation)
        case Alive():
            size = _ALIVE + _text(message.node) + _octets(message.addr) + _uint(message.port)
            size += _octets(message.meta) + _octets(message.vsn) + _uint(message.incarnation)
        case User():
            size = 1 + len(message.payload)
        case _:
            assert_never(message)
    return size
