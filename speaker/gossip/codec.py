"""
Messages as bytes: a type byte and one msgpack map keyed by Go's field names.

Keys go out sorted, all present but the empty Source* ones. In comes any order, unknown keys are
skipped, missing ones are zero, and an array stands for the fields in Go's declaration order.
Which message may come by packet or by stream is for `wire` and `stream` to say.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, TypeVar

import attrs
import msgspec

from speaker.gossip import lzw
from speaker.gossip.errors import DecodeError, Reason, TruncatedError
from speaker.gossip.messages import (
    AckResp,
    Alive,
    Dead,
    Err,
    IndirectPing,
    MessageType,
    NackResp,
    Ping,
    PushNode,
    Suspect,
    User,
)
from speaker.gossip.msgpack import (
    MAX_SKIPPED,
    Buffer,
    read_boolean,
    read_integer,
    read_octets,
    read_struct_header,
    read_text,
    skip,
    write_boolean,
    write_integer,
    write_octets,
    write_octets_or_nil,
    write_text,
)

S = TypeVar("S", bound=msgspec.Struct)

LZW_ALGORITHM: Final = 0  # the only value of compress.Algo
GO_INT_MAX: Final = 2**63 - 1


class Compressed(msgspec.Struct, frozen=True):
    """Wrapper 0x09: `buf` holds a whole message, packed by `algorithm`."""

    algorithm: int  # uint8
    buf: bytes


class PushPullHeader(msgspec.Struct, frozen=True):
    """What precedes the nodes of a push/pull."""

    join: bool
    nodes: int
    user_state_len: int  # bytes


class UserHeader(msgspec.Struct, frozen=True):
    """What precedes a user message on a stream."""

    user_msg_len: int  # bytes


@attrs.frozen
class Kind:
    """How a field is read and written, and its value when the key is missing."""

    read: Callable[[Buffer, int], tuple[Any, int]]
    write: Callable[[Any], bytes]
    zero: object


@attrs.frozen
class Field:
    """A field of a struct on the wire."""

    key: str  # Go's name
    attribute: str  # ours
    kind: Kind
    omit_empty: bool = False


def _read_octets_or_empty(buffer: Buffer, pos: int) -> tuple[bytes, int]:
    octets, pos = read_octets(buffer, pos)
    return octets or b"", pos


TEXT = Kind(read_text, write_text, "")
OCTETS = Kind(_read_octets_or_empty, write_octets_or_nil, b"")  # nil and empty are one
OCTETS_OR_NIL = Kind(read_octets, write_octets, None)  # nil and empty both occur
BOOLEAN = Kind(read_boolean, write_boolean, False)
UINT8 = Kind(partial(read_integer, most=0xFF), write_integer, 0)
UINT16 = Kind(partial(read_integer, most=0xFFFF), write_integer, 0)
UINT32 = Kind(partial(read_integer, most=0xFFFF_FFFF), write_integer, 0)
COUNT = Kind(partial(read_integer, most=GO_INT_MAX), write_integer, 0)  # Go int, never negative


@attrs.frozen
class Layout(Generic[S]):
    """A struct on the wire. `fields` are in Go's declaration order, which arrays follow."""

    value: type[S]
    fields: tuple[Field, ...]
    written: tuple[tuple[bytes, Field], ...] = attrs.field(init=False)  # by key, as emitted
    by_key: dict[bytes, Field] = attrs.field(init=False)
    zeros: dict[str, object] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        ordered = sorted(self.fields, key=lambda field: field.key)
        set_once = partial(object.__setattr__, self)
        set_once("written", tuple((write_text(field.key), field) for field in ordered))
        set_once("by_key", {field.key.encode(): field for field in self.fields})
        set_once("zeros", {field.attribute: field.kind.zero for field in self.fields})


_SOURCE = (
    Field("SourceAddr", "source_addr", OCTETS, omit_empty=True),
    Field("SourcePort", "source_port", UINT16, omit_empty=True),
    Field("SourceNode", "source_node", TEXT, omit_empty=True),
)
_SEQ_NO = Field("SeqNo", "seq_no", UINT32)
_NODE = Field("Node", "node", TEXT)
_ACCUSATION = (Field("Incarnation", "incarnation", UINT32), _NODE, Field("From", "sender", TEXT))

COMPRESSED = Layout(Compressed, (Field("Algo", "algorithm", UINT8), Field("Buf", "buf", OCTETS)))
PUSH_PULL_HEADER = Layout(
    PushPullHeader,
    (
        Field("Nodes", "nodes", COUNT),
        Field("UserStateLen", "user_state_len", COUNT),
        Field("Join", "join", BOOLEAN),
    ),
)
PUSH_NODE = Layout(
    PushNode,
    (
        Field("Name", "name", TEXT),
        Field("Addr", "addr", OCTETS),
        Field("Port", "port", UINT16),
        Field("Meta", "meta", OCTETS_OR_NIL),
        Field("Incarnation", "incarnation", UINT32),
        Field("State", "state", COUNT),
        Field("Vsn", "vsn", OCTETS),
    ),
)
USER_HEADER = Layout(UserHeader, (Field("UserMsgLen", "user_msg_len", COUNT),))

LAYOUTS: Final[dict[MessageType, Layout[Any]]] = {
    MessageType.PING: Layout(Ping, (_SEQ_NO, _NODE, *_SOURCE)),
    MessageType.INDIRECT_PING: Layout(
        IndirectPing,
        (
            _SEQ_NO,
            Field("Target", "target", OCTETS),
            Field("Port", "port", UINT16),
            _NODE,
            Field("Nack", "nack", BOOLEAN),
            *_SOURCE,
        ),
    ),
    MessageType.ACK_RESP: Layout(AckResp, (_SEQ_NO, Field("Payload", "payload", OCTETS_OR_NIL))),
    MessageType.SUSPECT: Layout(Suspect, _ACCUSATION),
    MessageType.ALIVE: Layout(
        Alive,
        (
            Field("Incarnation", "incarnation", UINT32),
            _NODE,
            Field("Addr", "addr", OCTETS),
            Field("Port", "port", UINT16),
            Field("Meta", "meta", OCTETS_OR_NIL),
            Field("Vsn", "vsn", OCTETS),
        ),
    ),
    MessageType.DEAD: Layout(Dead, _ACCUSATION),
    MessageType.NACK_RESP: Layout(NackResp, (_SEQ_NO,)),
    MessageType.ERR: Layout(Err, (Field("Error", "error", TEXT),)),
}

Single = Ping | IndirectPing | AckResp | NackResp | Suspect | Alive | Dead | Err
_HEADS = {layout.value: (bytes((kind,)), layout) for kind, layout in LAYOUTS.items()}


def encode_struct(layout: Layout[S], value: S) -> bytes:
    """One map of at most 15 entries, keys sorted."""
    entries = 0
    parts = [b""]
    for key, field in layout.written:
        item = getattr(value, field.attribute)
        if field.omit_empty and not item:
            continue
        entries += 1
        parts.append(key)
        parts.append(field.kind.write(item))
    parts[0] = bytes((0x80 | entries,))
    return b"".join(parts)


def decode_struct(layout: Layout[S], buffer: Buffer, pos: int) -> tuple[S, int]:
    """
    The struct at `pos` and the position after it. Of a key that comes twice the last counts.

    Raises TruncatedError when the buffer ends inside it, DecodeError for values of a wrong type.
    """
    as_array, entries, pos = read_struct_header(buffer, pos)
    values = layout.zeros.copy()
    if as_array:
        known = layout.fields[:entries]
        for field in known:
            values[field.attribute], pos = field.kind.read(buffer, pos)
        return layout.value(**values), skip(buffer, pos, entries - len(known))
    if entries > MAX_SKIPPED:
        raise DecodeError(Reason.TOO_LARGE, f"map of {entries} entries")
    by_key = layout.by_key
    for _ in range(entries):
        key, pos = read_octets(buffer, pos)
        if found := by_key.get(key or b""):
            values[found.attribute], pos = found.kind.read(buffer, pos)
        else:
            pos = skip(buffer, pos)
    return layout.value(**values), pos


def encode_message(message: Single | User) -> bytes:
    """Type byte and map; of a User, as packets carry it, type byte and payload."""
    if isinstance(message, User):
        return b"\x08" + message.payload
    head, layout = _HEADS[type(message)]
    return head + encode_struct(layout, message)


def decode_message(buffer: bytes) -> Single | User:
    """
    The message in `buffer`; bytes after it are ignored, as Go does. Raises DecodeError only.

    Wrappers and PushPull, which a single buffer does not hold, are refused as MISPLACED.
    """
    if not buffer:
        raise TruncatedError(1, "no message type")
    kind = buffer[0]
    if kind == MessageType.USER:
        return User(buffer[1:])
    layout = LAYOUTS.get(kind)  # type: ignore[call-overload]  # an int finds its IntEnum
    if layout is None:
        reason = Reason.MISPLACED if kind in _TYPES else Reason.BAD_TYPE
        raise DecodeError(reason, f"message type 0x{kind:02x}")
    message: Single = decode_struct(layout, buffer, 1)[0]
    return message


_TYPES = frozenset(MessageType)


def compress(payload: bytes) -> bytes:
    """`payload` in wrapper 0x09, whether or not that is shorter."""
    return b"\x09" + encode_struct(COMPRESSED, Compressed(LZW_ALGORITHM, lzw.compress(payload)))


def decompress(wrapper: Compressed, limit_bytes: int) -> bytes:
    """What `wrapper` holds. Raises DecodeError: another algorithm, broken, over the limit."""
    if wrapper.algorithm != LZW_ALGORITHM:
        raise DecodeError(Reason.BAD_COMPRESSION, f"algorithm {wrapper.algorithm}, need 0 (LZW)")
    return lzw.decompress(wrapper.buf, limit_bytes)
