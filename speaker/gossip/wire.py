"""
Datagrams of a ring: bytes to messages and back.

    message -> [compound] -> [compress] -> [CRC] -> [AES-GCM] -> [label]

That is the sender's order; a receiver peels from the right. Compounds and compression may hold
one another; a CRC is accepted outside both only, the label and encryption outermost only. On
UDP an encrypted datagram has no type byte: it begins with the version of the encryption.
"""

import os
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from speaker.gossip import compound, crypto
from speaker.gossip.codec import (
    COMPRESSED,
    compress,
    decode_message,
    decode_struct,
    decompress,
    encode_message,
)
from speaker.gossip.errors import DecodeError, Reason, TruncatedError
from speaker.gossip.keyring import Keyring
from speaker.gossip.label import MAX_LABEL_BYTES, check_label, label_header, read_label
from speaker.gossip.messages import Err, MessageType, PacketMessage

MEBIBYTE: Final = 1024 * 1024
CRC_BYTES: Final = 5  # type byte and CRC-32
UDP_BUFFER_BYTES: Final = 1400  # what memberlist fills of a datagram, its UDPBufferSize


@attrs.frozen
class Limits:
    """What decoding may cost at most. Streams: memberlist's own bounds; packets: ours."""

    frame_bytes: int = 20 * MEBIBYTE  # an encrypted frame
    user_bytes: int = 20 * MEBIBYTE  # a user message or the user state of a push/pull
    stream_bytes: int = 40 * MEBIBYTE  # a whole exchange, plain or once decompressed
    nodes: int = 16_384  # of a push/pull: 8 MB of values; memberlist's bound is 2^20
    struct_bytes: int = 65_536  # one msgpack struct of a stream
    packet_bytes: int = 65_536  # all that a datagram decompresses to: what could come as it is
    packet_messages: int = 4096  # all parts of a datagram
    depth: int = 8  # compounds and compressions in one another


@attrs.frozen
class Packet:
    """What a datagram held. `refused` has one reason for each part of a compound not used."""

    messages: tuple[PacketMessage, ...]
    refused: tuple[Reason, ...] = ()


def _label_fits(_: object, __: object, label: bytes) -> None:
    if len(label) > MAX_LABEL_BYTES:
        raise ValueError(f"label of {len(label)} bytes, at most {MAX_LABEL_BYTES}")


@attrs.frozen
class Wire:
    """How a ring writes its bytes. `verify_*` as GossipVerifyIncoming and -Outgoing."""

    keyring: Keyring | None = None
    label: bytes = attrs.field(default=b"", validator=_label_fits)
    encryption_version: int = crypto.UNPADDED  # 0 iff our protocol version is 1
    verify_incoming: bool = True
    verify_outgoing: bool = True
    compression: bool = True
    datagram_bytes: int = UDP_BUFFER_BYTES
    limits: Limits = Limits()
    make_nonce: Callable[[int], bytes] = attrs.field(default=os.urandom, repr=False)

    @property
    def sealing(self) -> Keyring | None:
        """The keys to encrypt with, None when we send in clear."""
        return self.keyring if self.verify_outgoing else None

    def room(self, message_bytes: int) -> int:
        """
        Bytes left in a datagram for more messages, each of which costs its length plus 2.

        As memberlist counts: `message_bytes` for the first one, a compound's header, label and
        encryption; a CRC's 5 bytes are not counted. Never negative.
        """
        taken = message_bytes + compound.HEADER_BYTES + len(label_header(self.label))
        if self.sealing:
            taken += crypto.OVERHEAD_BYTES[self.encryption_version]
        return max(0, self.datagram_bytes - taken)

    def encode_packet(
        self, messages: Sequence[PacketMessage], *, with_crc: bool = False
    ) -> list[bytes]:
        """
        The datagrams that carry `messages` in order: one, unless there are more than 255.

        `with_crc` is for receivers known to understand it (PMax >= 5). Raises ValueError for a
        message over 65535 bytes among several.
        """
        plain = compound.join_parts([encode_message(message) for message in messages])
        return [self._wrap(payload, with_crc=with_crc) for payload in plain]

    def _wrap(self, payload: bytes, *, with_crc: bool) -> bytes:
        if self.compression:
            payload = min(payload, compress(payload), key=len)
        if with_crc:
            payload = b"\x0c" + zlib.crc32(payload).to_bytes(4) + payload
        if self.sealing:
            payload = crypto.seal(
                self.sealing,
                payload,
                self.label,
                version=self.encryption_version,
                nonce=self.make_nonce(crypto.NONCE_BYTES),
            )
        return label_header(self.label) + payload

    def decode_packet(self, datagram: bytes) -> Packet:
        """
        The messages of a datagram in order.

        Raises DecodeError, and nothing else, when all of it is refused; a part of a compound
        that makes no sense does not spoil the others and is listed in `refused`.
        """
        label, start = read_label(datagram)
        check_label(label, self.label)
        payload = datagram[start:]
        if self.keyring:
            payload = self._unseal(self.keyring, payload)
        if payload[:1] == b"\x0c":
            payload = _check_crc(payload)
        peeling = _Peeling(self.limits)
        peeling.peel(payload, self.limits.depth)
        return Packet(tuple(peeling.messages), tuple(peeling.refused))

    def _unseal(self, keyring: Keyring, payload: bytes) -> bytes:
        try:
            return crypto.unseal(keyring, payload, self.label)
        except DecodeError:
            if self.verify_incoming:
                raise
            return payload


def _check_crc(payload: bytes) -> bytes:
    """What follows the CRC header: 0x0c, CRC-32 (IEEE, big-endian) of the rest."""
    if len(payload) < CRC_BYTES:
        raise TruncatedError(CRC_BYTES, "CRC header is cut off")
    stated = int.from_bytes(payload[1:CRC_BYTES])
    found = zlib.crc32(payload[CRC_BYTES:])
    if stated != found:
        raise DecodeError(Reason.BAD_CRC, f"CRC {stated:08x}, the rest has {found:08x}")
    return payload[CRC_BYTES:]


@attrs.define
class _Peeling:
    """Takes compounds and compressions apart within the bounds of one datagram."""

    limits: Limits
    messages: list[PacketMessage] = attrs.Factory(list)
    refused: list[Reason] = attrs.Factory(list)
    decompressed_bytes: int = 0
    parts: int = 0

    def peel(self, payload: bytes, depth: int) -> None:
        """Collect what `payload` holds. Raises DecodeError when it is refused as a whole."""
        kind = payload[:1]
        if kind not in {b"\x07", b"\x09"}:
            self.messages.append(_decode_leaf(payload))
        elif not depth:
            raise DecodeError(Reason.TOO_DEEP, f"wrappers {self.limits.depth} deep")
        elif kind == b"\x09":
            self.peel(self._decompress(payload), depth - 1)
        else:
            self._split(payload, depth - 1)

    def _split(self, payload: bytes, depth: int) -> None:
        parts, cut_off = compound.split_parts(payload)
        self.parts += len(parts)
        if self.parts > self.limits.packet_messages:
            raise DecodeError(Reason.TOO_LARGE, f"more than {self.limits.packet_messages} parts")
        self.refused += [Reason.TRUNCATED] * cut_off
        for part in parts:
            try:
                self.peel(part, depth)
            except DecodeError as error:
                self.refused.append(error.reason)

    def _decompress(self, payload: bytes) -> bytes:
        wrapper, _ = decode_struct(COMPRESSED, payload, 1)
        left = self.limits.packet_bytes - self.decompressed_bytes
        self.decompressed_bytes = self.limits.packet_bytes  # all of it, should this one fail
        plain = decompress(wrapper, left)
        self.decompressed_bytes -= left - len(plain)
        return plain


def _decode_leaf(payload: bytes) -> PacketMessage:
    message = decode_message(payload)
    if isinstance(message, Err):
        raise DecodeError(Reason.MISPLACED, f"message type 0x{MessageType.ERR:02x} in a datagram")
    return message
