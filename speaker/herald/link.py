"""
What agent and herald say to each other over STATE_DIR/herald.sock (unix stream socket).

A message is a msgpack map in a frame:

    offset  size  field
         0     4  n, length of the body in octets, big-endian, 1..MAX_BODY_BYTES
         4     n  the body: one struct below, tagged with its name in the field "type"

The agent sends Hello, then its whole Plan and a Heartbeat each second; the herald sends its whole
View at once and after every change. `stentor status` and the metrics endpoint are readers: they
send Hello with role "reader" and may ask, but never plan. Either side can restart at any time: the
first message of a connection is complete, so nothing is lost.
"""

import struct
from typing import Final, Literal

import msgspec
from msgspec.structs import force_setattr

from speaker.herald.errors import DecodeError

LINK_VERSION: Final = 1
SOCKET_NAME: Final = "herald.sock"
HEADER: Final = struct.Struct(">I")
MAX_BODY_BYTES: Final = 64 << 20  # 10,000 VIPs with 100 candidates each are some 20 MB

Role = Literal["agent", "reader"]


class Hello(msgspec.Struct, frozen=True, tag=True):
    """First message of a client: who it is and which version of this module it speaks."""

    role: Role
    version: int = LINK_VERSION
    pid: int = 0


class PlannedVip(msgspec.Struct, frozen=True):
    """
    Who should answer for one VIP, as the planner of this node sees it.

    `candidates` are node names, best first, not filtered by liveness: liveness is the herald's.
    `interfaces` None = all attached. `refresh_s` 0 = no refresh of announcements.
    """

    vip: str
    candidates: tuple[str, ...]
    interfaces: tuple[str, ...] | None = None
    failback: bool = True
    refresh_s: float = 60.0
    services: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, tag=True):
    """
    Everything the policy process wants of this node. It replaces the plan before it.

    `generation` grows with every plan of one agent; a new agent starts above the last it was told
    of in View. `nodes` are the names the cluster lists (fences of others are forgotten). `join` are
    addresses (HOST or HOST:PORT) at which members may be found, besides those of --join.
    """

    generation: int
    node: str
    vips: tuple[PlannedVip, ...] = ()
    nodes: tuple[str, ...] = ()
    join: tuple[str, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The agent lives and its plan is current. 5 s without one: the agent is silent."""


class AskCounters(msgspec.Struct, frozen=True, tag=True):
    """Answered by one Counters message."""


class Member(msgspec.Struct, frozen=True):
    """One member of the ring as this herald sees it; `state` alive, suspect, dead or left."""

    name: str
    address: str
    state: str
    stentor: bool = True


class SeatView(msgspec.Struct, frozen=True):
    """One seat: who answers for this VIP here, and why this node does or does not."""

    vip: str
    holder: str | None
    voice: str
    reason: str
    counter: int = 0
    foreign: str = ""  # LLADDR of a stranger that answered our probe


class AttachmentView(msgspec.Struct, frozen=True):
    """One interface with the responder on it; `rung` of the ladder and the reason for that rung."""

    interface: str
    ifindex: int
    rung: str
    reason: str
    lladdr: str = ""
    detail: str = ""  # of the reason: errno, id of a foreign program


class View(msgspec.Struct, frozen=True, tag=True):
    """All a herald knows: sent whole after every change."""

    node: str
    generation: int  # of the herald in this state directory
    plan_generation: int  # 0 = no plan yet
    started: bool  # the start rules (OWNERSHIP.md 8) are done
    agent_silent: bool
    seats: tuple[SeatView, ...] = ()
    members: tuple[Member, ...] = ()
    attachments: tuple[AttachmentView, ...] = ()
    warnings: tuple[str, ...] = ()  # what an operator should mend, one sentence each
    # Why a stop would hand over now though a hold is asked for; "" = it would hold, or is not asked
    hold_refusal: str = ""


class VipCounters(msgspec.Struct, frozen=True):
    """Per VIP since the tables were made; survives restarts of the herald, except `announced`."""

    vip: str
    requests: int = 0
    answers: int = 0
    drops: int = 0
    packets: int = 0
    size_bytes: int = 0
    announced: int = 0  # gratuitous frames sent


class Counters(msgspec.Struct, frozen=True, tag=True):
    """Counters of the data plane and of the herald, by name."""

    vips: tuple[VipCounters, ...] = ()
    exits: dict[str, int] = {}
    herald: dict[str, int] = {}


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Last message before the herald closes a connection: why."""

    reason: str


FromClient = Hello | Plan | Heartbeat | AskCounters
FromHerald = View | Counters | Refused

_ENCODER = msgspec.msgpack.Encoder()
_FROM_CLIENT: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_FROM_HERALD: msgspec.msgpack.Decoder[FromHerald] = msgspec.msgpack.Decoder(FromHerald)
_PLAN = msgspec.msgpack.Decoder(Plan)


def encode(message: FromClient | FromHerald) -> bytes:
    """Frame one message, header included."""
    body = _ENCODER.encode(message)
    return HEADER.pack(len(body)) + body


def _share(plan: Plan) -> Plan:
    """
    Let VIPs with the same candidates, and the same interfaces, share them; names always.

    As decoded each VIP has its own: 84 MB for 10,000 VIPs with 100 candidates. Shared they take 2,
    or 10 where each VIP ranks them in another order.
    """
    names: dict[str, str] = {}
    known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def share(value: tuple[str, ...]) -> tuple[str, ...]:
        shared = known.get(value)
        if shared is None:
            shared = known[value] = tuple([names.setdefault(name, name) for name in value])
        return shared

    for vip in plan.vips:
        force_setattr(vip, "candidates", share(vip.candidates))
        if vip.interfaces is not None:
            force_setattr(vip, "interfaces", share(vip.interfaces))
    return plan


def body_size(header: bytes) -> int:
    """Length of the body that follows; raises DecodeError when it is 0 or above MAX_BODY_BYTES."""
    (size,) = HEADER.unpack(header)
    if not 0 < size <= MAX_BODY_BYTES:
        raise DecodeError(f"frame of {size} octets, need 1 to {MAX_BODY_BYTES}")
    return int(size)


def decode_from_client(body: bytes) -> FromClient:
    """Raises DecodeError, never anything else, whatever the octets."""
    try:
        message = _FROM_CLIENT.decode(body)
        return _share(message) if isinstance(message, Plan) else message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DecodeError(f"not a message of an agent: {exc}") from exc


def decode_from_herald(body: bytes) -> FromHerald:
    """Raises DecodeError, never anything else, whatever the octets."""
    try:
        return _FROM_HERALD.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DecodeError(f"not a message of a herald: {exc}") from exc


def encode_plan(plan: Plan) -> bytes:
    """The plan as kept in the state directory, without frame."""
    return _ENCODER.encode(plan)


def decode_plan(body: bytes) -> Plan:
    """Inverse of `encode_plan`; raises DecodeError."""
    try:
        return _share(_PLAN.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DecodeError(f"not a plan: {exc}") from exc
