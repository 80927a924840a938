"""What the state machine asks for (actions) and tells (events), as lists in order."""

import ipaddress

import attrs

from speaker.gossip.messages import NodeState, PacketMessage, Ping, PushPull

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Endpoint = tuple[str, int]
"""Where a datagram or stream goes to or came from: the address as canonical text, the port."""


@attrs.frozen
class Member:
    """A node of the ring at one moment."""

    name: str
    address: Address
    port: int
    state: NodeState
    incarnation: int
    meta: bytes
    versions: bytes  # pmin, pmax, pcur, dmin, dmax, dcur; other lengths as received
    since: float  # monotonic seconds of the last change of state

    @property
    def endpoint(self) -> Endpoint:
        """Where its gossip port is."""
        return str(self.address), self.port

    @property
    def is_up(self) -> bool:
        """Whether the ring counts it as present: alive, or suspect and not yet condemned."""
        return self.state <= NodeState.SUSPECT


# --- actions: the caller carries them out


@attrs.frozen
class SendPacket:
    """Send one datagram. Several messages make a compound, in this order."""

    to: Endpoint
    messages: tuple[PacketMessage, ...]
    with_crc: bool = False  # the receiver is known to understand it (pmax >= 5)


@attrs.frozen
class ExchangeState:
    """
    Open a stream, send `request`, read one push/pull back.

    Then call `push_pull_answered(exchange, reply, now)`, or `push_pull_failed(exchange, why, now)`
    on any error or after `timeout_s`. The state machine never waits for it.
    """

    to: Endpoint
    exchange: int
    request: PushPull
    timeout_s: float


@attrs.frozen
class PingOverStream:
    """Open a stream, send `ping`, read the ack; call `stream_acked(seq_no, now)` when it came."""

    to: Endpoint
    ping: Ping
    timeout_s: float


# --- events: the caller is told


@attrs.frozen
class MemberJoined:
    """A node is now up that was not: new, or back from dead or left."""

    member: Member


@attrs.frozen
class MemberLeft:
    """A node is down: `member.state` says whether it died (DEAD) or said goodbye (LEFT)."""

    member: Member


@attrs.frozen
class MemberUpdated:
    """The meta data of a node that was and is up changed."""

    member: Member


@attrs.frozen
class MemberSuspected:
    """Somebody does not hear this node. It counts as up until MemberLeft."""

    member: Member
    accuser: str


@attrs.frozen
class MemberCleared:
    """A suspected node has refuted it."""

    member: Member


@attrs.frozen
class NameConflict:
    """A second node uses a known name, perhaps our own (`member.name`), on another address."""

    member: Member  # as we know it; its claim stands
    claimed: Endpoint


@attrs.frozen
class UserReceived:
    """
    A user message, opaque bytes.

    `source` is where the datagram came from, which for gossiped messages is the last hop and not
    the author; `node` is the up member that has this address and port, if one has.
    """

    payload: bytes
    source: Endpoint
    node: str | None


@attrs.frozen
class StateReceived:
    """User state of the other side of a push/pull, opaque bytes, never empty."""

    payload: bytes
    source: Endpoint
    is_join: bool


@attrs.frozen
class MergeDone:
    """We sent our state to `to`, and merged its answer."""

    to: Endpoint
    is_join: bool


@attrs.frozen
class MergeFailed:
    """A push/pull came to nothing; `why` is for people. `to` is its other side, whoever dialled."""

    to: Endpoint
    is_join: bool
    why: str


@attrs.frozen
class LeaveFinished:
    """Our goodbye was sent as often as it is going to be: the process may end."""


Action = SendPacket | ExchangeState | PingOverStream
Event = (
    MemberJoined
    | MemberLeft
    | MemberUpdated
    | MemberSuspected
    | MemberCleared
    | NameConflict
    | UserReceived
    | StateReceived
    | MergeDone
    | MergeFailed
    | LeaveFinished
)
Output = Action | Event
