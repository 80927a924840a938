"""
Streams of a ring: one message each way of a TCP connection, without sockets.

    [label]  message | compress | encrypt frame        (label by the dialling side only)

    encrypt frame: 0x0a | uint32 length L | L bytes as in `crypto`, inside: message | compress
    pushPull:      0x06 | {Join, Nodes, UserStateLen} | Nodes structs | UserStateLen bytes
    user:          0x08 | {UserMsgLen} | UserMsgLen bytes
    ping, ackResp, err: type byte and map, as in packets

What is authenticated of a frame are its first five bytes and the label, in both directions.
"""

from collections.abc import Callable, Generator
from typing import Final, TypeVar

import attrs
import msgspec

from speaker.gossip import crypto
from speaker.gossip.codec import (
    COMPRESSED,
    LAYOUTS,
    PUSH_NODE,
    PUSH_PULL_HEADER,
    USER_HEADER,
    Layout,
    PushPullHeader,
    UserHeader,
    compress,
    decode_struct,
    decompress,
    encode_message,
    encode_struct,
)
from speaker.gossip.errors import DecodeError, Reason, TruncatedError
from speaker.gossip.label import MAX_LABEL_BYTES, check_label, label_header, read_label
from speaker.gossip.messages import MessageType, PushNode, PushPull, StreamMessage, User
from speaker.gossip.msgpack import skip
from speaker.gossip.wire import Wire

S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")
Parsing = Generator[int, None, T]
"""A parser that yields how many bytes the buffer must hold before it can go on."""

FRAME_HEADER_BYTES: Final = 5
COMPRESSED_HEAD_BYTES: Final = 64  # a compress struct without its Buf takes far less
ALL_TYPES: Final = frozenset(MessageType)
SHORT_TYPES: Final = frozenset({MessageType.PING, MessageType.ACK_RESP, MessageType.ERR})


def encode_stream(wire: Wire, message: StreamMessage, *, dialled: bool) -> bytes:
    """All the bytes one side writes. Compressed even where that is longer, as memberlist does."""
    payload = encode_plain(message)
    if wire.compression:
        payload = compress(payload)
    if wire.sealing:
        length = crypto.sealed_bytes(len(payload), wire.encryption_version)
        head = b"\x0a" + length.to_bytes(4)
        payload = head + crypto.seal(
            wire.sealing,
            payload,
            head + wire.label,
            version=wire.encryption_version,
            nonce=wire.make_nonce(crypto.NONCE_BYTES),
        )
    return (label_header(wire.label) if dialled else b"") + payload


def encode_plain(message: StreamMessage) -> bytes:
    """The message as streams carry it, before compression and encryption."""
    match message:
        case PushPull():
            header = PushPullHeader(message.join, len(message.nodes), len(message.user_state))
            nodes = (encode_struct(PUSH_NODE, node) for node in message.nodes)
            head = encode_struct(PUSH_PULL_HEADER, header)
            return b"".join((b"\x06", head, *nodes, message.user_state))
        case User():
            head = encode_struct(USER_HEADER, UserHeader(len(message.payload)))
            return b"\x08" + head + message.payload
        case _:
            return encode_message(message)


@attrs.define
class StreamReader:
    """
    Reads the one message the other side sends on a connection, from any pieces of it.

    `accepted`: the other side dialled, so it wrote the label. `trailing_bytes` counts what came
    after the message. Once DecodeError was raised the reader is spent.
    """

    _wire: Wire
    _accepted: bool = attrs.field(kw_only=True)
    _buffer: bytearray = attrs.field(init=False, factory=bytearray)
    _pos: int = attrs.field(init=False, default=0)
    _complete: bool = attrs.field(init=False, default=False)  # nothing will be added to _buffer
    _consumed_bytes: int = attrs.field(init=False, default=0)  # read, no longer in _buffer
    _wanted_bytes: int = attrs.field(init=False, default=1)
    _parsing: Parsing[StreamMessage] | None = attrs.field(init=False, default=None)
    _message: StreamMessage | None = attrs.field(init=False, default=None)
    _trailing_bytes: int = attrs.field(init=False, default=0)

    @property
    def trailing_bytes(self) -> int:
        """Bytes after the message, which nobody reads."""
        return self._trailing_bytes

    def feed(self, data: bytes) -> StreamMessage | None:
        """
        Add bytes; the message once it is whole, None before.

        Raises DecodeError and nothing else. Holds at most `Limits.stream_bytes` beyond `data`.
        """
        if self._message is not None:
            self._trailing_bytes += len(data)
            return self._message
        self._buffer += data
        if len(self._buffer) < self._wanted_bytes:
            return None
        if self._parsing is None:
            self._parsing = self._read()
        try:
            self._wanted_bytes = next(self._parsing)
        except StopIteration as stop:
            self._message = stop.value
            if not self._complete:
                self._trailing_bytes = len(self._buffer) - self._pos
            self._buffer = bytearray()
        return self._message

    def finish(self) -> StreamMessage | None:
        """
        The other side closed: the message, None when it sent nothing at all.

        Raises TruncatedError when it stopped in the middle.
        """
        if self._message is None and (self._buffer or self._consumed_bytes):
            raise TruncatedError(self._wanted_bytes, "the stream ends inside a message")
        return self._message

    def _read(self) -> Parsing[StreamMessage]:
        yield from self._read_label()
        yield from self._unseal()
        yield from self._decompress()
        kind = (yield from self._take(1))[0]
        if kind == MessageType.PUSH_PULL:
            return (yield from self._read_push_pull())
        if kind == MessageType.USER:
            header = yield from self._read_struct(USER_HEADER)
            return User((yield from self._read_user_bytes(header.user_msg_len)))
        if kind in SHORT_TYPES:
            message: StreamMessage = yield from self._read_struct(LAYOUTS[MessageType(kind)])
            return message
        reason = Reason.MISPLACED if kind in ALL_TYPES else Reason.BAD_TYPE
        raise DecodeError(reason, f"message type 0x{kind:02x} in a stream")

    def _read_label(self) -> Parsing[None]:
        found = yield from self._parse(_parse_label, 2 + MAX_LABEL_BYTES)
        check_label(found, self._wire.label if self._accepted else b"")

    def _unseal(self) -> Parsing[None]:
        """Put what an encrypt frame holds in the place of the stream."""
        keyring = self._wire.keyring
        if (yield from self._peek()) != MessageType.ENCRYPT:
            if keyring and self._wire.verify_incoming:
                raise DecodeError(Reason.NOT_ENCRYPTED, "the stream is not encrypted")
            return
        if not keyring:
            raise DecodeError(Reason.NO_KEY, "the stream is encrypted, we have no key")
        head = yield from self._take(FRAME_HEADER_BYTES)
        length = int.from_bytes(head[1:])
        if length > self._wire.limits.frame_bytes:
            most = self._wire.limits.frame_bytes
            raise DecodeError(Reason.TOO_LARGE, f"frame of {length} bytes, at most {most}")
        sealed = yield from self._take(length)
        self._replace(crypto.unseal(keyring, sealed, head + self._wire.label))

    def _decompress(self) -> Parsing[None]:
        """Put what a compress wrapper holds in the place of the stream."""
        if (yield from self._peek()) != MessageType.COMPRESS:
            return
        limits = self._wire.limits
        yield from self._take(1)
        most = limits.frame_bytes + COMPRESSED_HEAD_BYTES
        wrapper = yield from self._read_struct(COMPRESSED, most)
        self._replace(decompress(wrapper, limits.stream_bytes))

    def _read_push_pull(self) -> Parsing[PushPull]:
        header = yield from self._read_struct(PUSH_PULL_HEADER)
        most = self._wire.limits.nodes
        if header.nodes > most:
            raise DecodeError(
                Reason.TOO_LARGE, f"push/pull of {header.nodes} nodes, at most {most}"
            )
        nodes: list[PushNode] = []
        for _ in range(header.nodes):
            try:
                nodes.append((yield from self._read_struct(PUSH_NODE)))
            except DecodeError as error:
                if error.reason not in {Reason.BAD_NAME, Reason.BAD_VALUE}:
                    raise
                yield from self._parse(_parse_anything, self._wire.limits.struct_bytes)
        user_state = yield from self._read_user_bytes(header.user_state_len)
        return PushPull(header.join, tuple(nodes), user_state, header.nodes - len(nodes))

    def _read_user_bytes(self, length: int) -> Parsing[bytes]:
        most = self._wire.limits.user_bytes
        if length > most:
            raise DecodeError(Reason.TOO_LARGE, f"user data of {length} bytes, at most {most}")
        return (yield from self._take(length))

    def _read_struct(self, layout: Layout[S], most_bytes: int | None = None) -> Parsing[S]:
        def parse(buffer: bytearray, pos: int) -> tuple[S, int]:
            return decode_struct(layout, buffer, pos)

        return (yield from self._parse(parse, most_bytes or self._wire.limits.struct_bytes))

    def _parse(
        self, parse: Callable[[bytearray, int], tuple[T, int]], most_bytes: int
    ) -> Parsing[T]:
        """What `parse` makes of the bytes that follow, asked again until they suffice."""
        while True:
            try:
                value, end = parse(self._buffer, self._pos)
            except TruncatedError as error:
                wanted = error.needed_bytes - self._pos
                if wanted <= most_bytes:
                    yield from self._wait(wanted)
                    continue
            else:
                wanted = end - self._pos
                if wanted <= most_bytes:
                    self._advance(end)
                    return value
            raise DecodeError(Reason.TOO_LARGE, f"value of {wanted} bytes, at most {most_bytes}")

    def _peek(self) -> Parsing[int]:
        yield from self._wait(1)
        return self._buffer[self._pos]

    def _take(self, size: int) -> Parsing[bytes]:
        yield from self._wait(size)
        start = self._pos
        self._advance(start + size)
        return bytes(memoryview(self._buffer)[start : self._pos])

    def _advance(self, pos: int) -> None:
        """Have read up to `pos`."""
        self._check_total(pos)
        self._pos = pos

    def _check_total(self, pos: int) -> None:
        most = self._wire.limits.stream_bytes
        if self._consumed_bytes + pos > most:
            raise DecodeError(Reason.TOO_LARGE, f"stream of more than {most} bytes")

    def _wait(self, size: int) -> Parsing[None]:
        """Come back when `size` bytes are there, and forget those already read."""
        if len(self._buffer) - self._pos >= size:
            return
        if self._complete:
            raise TruncatedError(self._pos + size, "the wrapped message is cut off")
        del self._buffer[: self._pos]
        self._consumed_bytes += self._pos
        self._pos = 0
        self._check_total(size)
        while len(self._buffer) < size:
            yield size

    def _replace(self, inner: bytes) -> None:
        """Read on in `inner`, which is all there is; what follows the wrapper is trailing."""
        if not self._complete:
            self._trailing_bytes = len(self._buffer) - self._pos
        self._buffer = bytearray(inner)
        self._pos = self._consumed_bytes = 0
        self._complete = True


def _parse_label(buffer: bytearray, pos: int) -> tuple[bytes, int]:
    if len(buffer) == pos:
        raise TruncatedError(pos + 1, "ends before a message")
    return read_label(buffer)  # a label comes first: pos is 0


def _parse_anything(buffer: bytearray, pos: int) -> tuple[None, int]:
    return None, skip(buffer, pos)
