"""
The messages of memberlist as values. Bytes become these in `codec`, `wire` and `stream`.

Field names are those of the protocol in snake case; addresses are raw network-order bytes, 4 or
16, and are passed on verbatim (4 bytes and their v4-mapped 16 bytes conflict in Go members).
A Go nil `[]byte` is None where an empty one may occur beside it, else b"".

    byte  name           carried by   value
    0x00  ping           UDP, TCP     Ping
    0x01  indirectPing   UDP          IndirectPing
    0x02  ackResp        UDP, TCP     AckResp
    0x03  suspect        UDP          Suspect
    0x04  alive          UDP          Alive
    0x05  dead           UDP          Dead
    0x06  pushPull       TCP          PushPull
    0x07  compound       UDP          wrapper, see `compound`
    0x08  user           UDP, TCP     User
    0x09  compress       UDP, TCP     wrapper, see `codec`
    0x0a  encrypt        TCP          wrapper, see `stream`
    0x0b  nackResp       UDP          NackResp
    0x0c  hasCrc         UDP          wrapper, see `wire`
    0x0d  err            TCP          Err
    0xf4  hasLabel       both         wrapper, see `label`
"""

import enum

import msgspec


class MessageType(enum.IntEnum):
    """First byte of a message or wrapper."""

    PING = 0x00
    INDIRECT_PING = 0x01
    ACK_RESP = 0x02
    SUSPECT = 0x03
    ALIVE = 0x04
    DEAD = 0x05
    PUSH_PULL = 0x06
    COMPOUND = 0x07
    USER = 0x08
    COMPRESS = 0x09
    ENCRYPT = 0x0A
    NACK_RESP = 0x0B
    HAS_CRC = 0x0C
    ERR = 0x0D
    HAS_LABEL = 0xF4


class NodeState(enum.IntEnum):
    """State of a node in a push/pull list."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Ping(msgspec.Struct, frozen=True):
    """
    Ask `node` for an AckResp. An empty `node` is answered by anybody.

    The ack goes to `source_addr`:`source_port` where both are set, else to the sender's socket.
    """

    seq_no: int  # uint32
    node: str
    source_addr: bytes = b""
    source_port: int = 0  # uint16
    source_node: str = ""


class IndirectPing(msgspec.Struct, frozen=True):
    """Ask the receiver to ping `node` at `target`:`port` and pass its ack on."""

    seq_no: int  # uint32, the asker's
    target: bytes
    port: int  # uint16; 0 = the receiver's own gossip port
    node: str
    nack: bool  # send a NackResp when the target is silent
    source_addr: bytes = b""
    source_port: int = 0  # uint16
    source_node: str = ""


class AckResp(msgspec.Struct, frozen=True):
    """Answer to a Ping. `payload` is serf's coordinate, None elsewhere."""

    seq_no: int  # uint32
    payload: bytes | None = None


class NackResp(msgspec.Struct, frozen=True):
    """A helper's word that the target of an IndirectPing is silent, the helper is not."""

    seq_no: int  # uint32


class Suspect(msgspec.Struct, frozen=True):
    """`sender` (`From` on the wire) got no answer from `node`."""

    incarnation: int  # uint32
    node: str
    sender: str


class Alive(msgspec.Struct, frozen=True):
    """`node` is alive at `addr`:`port`. `vsn` = pmin, pmax, pcur, dmin, dmax, dcur."""

    incarnation: int  # uint32
    node: str
    addr: bytes
    port: int  # uint16; 0 = the receiver's own gossip port
    meta: bytes | None
    vsn: bytes


class Dead(msgspec.Struct, frozen=True):
    """`sender` (`From` on the wire) holds `node` for dead; sender == node: it left."""

    incarnation: int  # uint32
    node: str
    sender: str


class User(msgspec.Struct, frozen=True):
    """Opaque to memberlist."""

    payload: bytes


class PushNode(msgspec.Struct, frozen=True):
    """One node of a push/pull list, as its sender sees it."""

    name: str
    addr: bytes
    port: int  # uint16; 0 = the receiver's own gossip port
    meta: bytes | None
    incarnation: int  # uint32
    state: int  # NodeState; other values occur only from foreign hands and are ignored
    vsn: bytes


class PushPull(msgspec.Struct, frozen=True):
    """
    The whole state of one side: every node it knows, itself included, and its user state.

    `unreadable` counts nodes left out of `nodes` on receipt since their values make no sense to
    us (name not UTF-8, port over 65535): one such node in a ring must not end all joins.
    """

    join: bool
    nodes: tuple[PushNode, ...]
    user_state: bytes = b""
    unreadable: int = 0


class Err(msgspec.Struct, frozen=True):
    """The acceptor of a stream says why it cannot go on."""

    error: str


PacketMessage = Ping | IndirectPing | AckResp | NackResp | Suspect | Alive | Dead | User
StreamMessage = Ping | AckResp | PushPull | User | Err
Message = PacketMessage | StreamMessage
