"""
Who is believed to be what: the rules of alive, suspect, dead, and of merging whole lists.

            alive(m > n)                    n: the incarnation held, m: the message's
       ┌───────────────────┐                Same incarnation: suspect and dead beat alive.
       v                   │
    ┌───────┐ suspect(m>=n) ┌─────────┐
    │ ALIVE │──────────────>│ SUSPECT │
    └───────┘               └─────────┘
     ^   │ dead(m>=n)            │ dead(m>=n), or its time is up
     │   v                       v
     │  ┌──────────────────────────┐
     └──│ DEAD, or LEFT: accuser   │
 alive  │ and accused are the same │
 (m>n)  └──────────────────────────┘

About ourselves nothing but our own word counts: we answer with a higher incarnation (refute).
Each change is gossiped on. From push/pull, dead and suspect are hearsay: both only suspect.
"""

import enum
import math
from collections import Counter

import attrs
import msgspec

from speaker.gossip.addresses import parse_address
from speaker.gossip.awareness import Awareness
from speaker.gossip.broadcast import BroadcastQueue
from speaker.gossip.config import GossipConfig
from speaker.gossip.members import Node, NodeList
from speaker.gossip.messages import Alive, Dead, NodeState, PushNode, Suspect
from speaker.gossip.outputs import (
    Address,
    MemberCleared,
    MemberJoined,
    MemberLeft,
    MemberSuspected,
    MemberUpdated,
    NameConflict,
    Output,
)
from speaker.gossip.suspicion import Suspicion
from speaker.gossip.versions import is_sane

META_MAX_BYTES = 512  # memberlist MetaMaxSize; senders keep to it
NAME_MAX_BYTES = 255  # a Kubernetes node name has up to 253
INCARNATION_MAX = 0xFFFF_FFFF  # uint32
NAMESAKE_S = 60.0  # how long a node of our own name counts as present: two push/pulls
CONFLICT_AGAIN_S = 10.0  # a conflict that lasts is told again after this


class Ignored(enum.StrEnum):
    """Why a well-formed message had no effect; the label of the counter of ignored ones."""

    BAD_VERSIONS = "bad_versions"  # too few version bytes, or a range that is none
    BAD_ADDRESS = "bad_address"  # neither 4 nor 16 bytes, or an address nobody has
    META_TOO_LARGE = "meta_too_large"  # over 512 bytes
    LIST_FULL = "list_full"  # a further name when NODES_MAX are listed
    BAD_NAME = "bad_name"  # an alive with an empty name or one over 255 bytes
    NAME_CONFLICT = "name_conflict"  # a known name on another address
    NOT_FOR_US = "not_for_us"  # a ping for another name
    UNEXPECTED = "unexpected"  # an ack, nack or reply nobody waits for
    TOO_MANY = "too_many"  # more pings to pass on than we keep track of


@attrs.define
class Membership:
    """The nodes, what is suspected of them, and the news about them that is to be gossiped."""

    config: GossipConfig
    me: Node
    nodes: NodeList
    out: list[Output]
    awareness: Awareness
    queue: BroadcastQueue
    suspicions: dict[str, Suspicion] = attrs.field(factory=dict)
    ignored: Counter[Ignored] = attrs.field(factory=Counter)
    is_leaving: bool = False
    has_own_news: bool = False  # something of our own waits in the queue: do not dawdle
    _namesake_heard: float = -math.inf
    _conflicts: dict[str, float] = attrs.field(factory=dict)  # name: when told

    def begin(self) -> None:
        """List ourselves and say so."""
        self.nodes.add(self.me)
        self.queue.put(self.me.name, self.me.as_alive())

    # --- the rules

    def alive(self, message: Alive, now: float) -> None:
        """Apply an alive message."""
        address = parse_address(message.addr)
        if (why := self._refuse(message, address)) is not None:
            self.ignored[why] += 1
            return
        assert address is not None
        if message.port == 0:
            message = msgspec.structs.replace(message, port=self.me.port)
        node = self.nodes.get(message.node)
        if node is self.me:
            self._alive_about_us(message, address, now)
            return
        is_takeover = False
        if node is None:
            if message.incarnation == 0:  # older than any that a node has ever said
                return
            node = self._list(message, address, now)
        elif (message.addr, message.port) != (node.raw_address, node.port):
            if not self._may_move(node, now):
                self._tell_conflict(node, message, address, now)
                return
            is_takeover = True
        if message.incarnation <= node.incarnation and not is_takeover:
            return
        self._accept(node, message, address, now)

    def suspect(self, message: Suspect, now: float) -> None:
        """Apply a suspicion: begin it, count its accuser, or refute it."""
        node = self.nodes.get(message.node)
        if node is None:
            return
        if message.incarnation < node.incarnation:
            self._repeat_refutation(node)
            return
        running = self.suspicions.get(node.name)
        if running is not None:
            if running.confirm(message.sender):
                self.queue.put(node.name, message)
            return
        if node.state != NodeState.ALIVE:
            return
        if node is self.me:
            self._refute(message.incarnation)
            return
        self.queue.put(node.name, message)
        node.incarnation = message.incarnation
        node.become(NodeState.SUSPECT, now)
        self.suspicions[node.name] = Suspicion.begin(
            message.sender, self.config, len(self.nodes), now
        )
        self.out.append(MemberSuspected(node.snapshot(), message.sender))

    def dead(self, message: Dead, now: float) -> None:
        """Apply a death or a goodbye. One message from anybody is believed."""
        node = self.nodes.get(message.node)
        if node is None:
            return
        if message.incarnation < node.incarnation:
            self._repeat_refutation(node)
            return
        self.suspicions.pop(node.name, None)
        if node.is_gone:
            return
        if node is self.me and not self.is_leaving:
            self._refute(message.incarnation)
            return
        self.queue.put(node.name, message)
        node.incarnation = message.incarnation
        said_goodbye = message.sender == message.node
        node.become(NodeState.LEFT if said_goodbye else NodeState.DEAD, now)
        if node is not self.me:
            self.out.append(MemberLeft(node.snapshot()))

    def merge(self, rows: tuple[PushNode, ...], now: float) -> None:
        """Apply the list of a push/pull whose versions were found in order."""
        for row in rows:
            match row.state:
                case NodeState.ALIVE:
                    self.alive(_as_alive(row), now)
                case NodeState.LEFT:
                    self.dead(Dead(row.incarnation, row.name, row.name), now)
                case NodeState.SUSPECT | NodeState.DEAD:
                    self.suspect(Suspect(row.incarnation, row.name, self.me.name), now)
                case _:  # a state of a later protocol, or nonsense
                    continue

    # --- time and our own decisions

    def expire(self, now: float) -> None:
        """Declare dead whose suspicion has run out."""
        due = [name for name, suspicion in self.suspicions.items() if suspicion.deadline <= now]
        for name in due:
            node = self.nodes.get(name)
            if node is None:
                del self.suspicions[name]
                continue
            self.has_own_news = True
            self.dead(Dead(node.incarnation, name, self.me.name), now)

    def leave(self, now: float) -> None:
        """
        Say goodbye. Alive messages about us are ignored from now on.

        Not where another node has our name: the goodbye would be taken for that one's.
        """
        if self.is_leaving:
            return
        self.is_leaving = True
        if now - self._namesake_heard < NAMESAKE_S:
            self.me.become(NodeState.LEFT, now)
            return
        self.has_own_news = True
        self.dead(Dead(self.me.incarnation, self.me.name, self.me.name), now)

    def is_expired(self, node: Node, now: float) -> bool:
        """Whether a dead or left node is to be forgotten."""
        return (
            node.is_gone
            and node is not self.me
            and now - node.since > self.config.gossip_to_the_dead_time_s
        )

    def forget(self, now: float) -> None:
        """Drop what was kept about conflicts that ended."""
        self._conflicts = {
            name: told for name, told in self._conflicts.items() if now - told < CONFLICT_AGAIN_S
        }

    # --- how

    def _refuse(self, message: Alive, address: Address | None) -> Ignored | None:
        if not is_sane(message.vsn):
            return Ignored.BAD_VERSIONS
        if address is None:
            return Ignored.BAD_ADDRESS
        if len(message.meta or b"") > META_MAX_BYTES:
            return Ignored.META_TOO_LARGE
        if self.nodes.get(message.node) is None:
            if not 0 < len(message.node.encode()) <= NAME_MAX_BYTES:
                return Ignored.BAD_NAME
            if self.nodes.is_full:
                return Ignored.LIST_FULL
        return None

    def _list(self, message: Alive, address: Address, now: float) -> Node:
        node = Node(
            name=message.node,
            raw_address=message.addr,
            address=address,
            port=message.port,
            meta=message.meta or b"",
            versions=message.vsn,
            incarnation=0,
            state=NodeState.DEAD,
            since=now,
        )
        self.nodes.add(node)
        return node

    def _may_move(self, node: Node, now: float) -> bool:
        reclaim_s = self.config.dead_node_reclaim_time_s
        return node.state == NodeState.LEFT or (
            node.state == NodeState.DEAD and 0 < reclaim_s < now - node.since
        )

    def _accept(self, node: Node, message: Alive, address: Address, now: float) -> None:
        before, meta = node.state, message.meta or b""
        self.suspicions.pop(node.name, None)
        self.queue.put(node.name, message)
        is_updated = meta != node.meta
        node.meta, node.versions, node.incarnation = meta, message.vsn, message.incarnation
        if (message.addr, message.port) != (node.raw_address, node.port):
            self.nodes.move(node, message.addr, address, message.port)
        if before != NodeState.ALIVE:
            node.become(NodeState.ALIVE, now)
        if before >= NodeState.DEAD:
            self.out.append(MemberJoined(node.snapshot()))
            return
        if before == NodeState.SUSPECT:
            self.out.append(MemberCleared(node.snapshot()))
        if is_updated:
            self.out.append(MemberUpdated(node.snapshot()))

    def _alive_about_us(self, message: Alive, address: Address, now: float) -> None:
        me = self.me
        if self.is_leaving:
            return
        if (message.addr, message.port) != (me.raw_address, me.port):
            self._namesake_heard = now
            self._tell_conflict(me, message, address, now)
            return
        if message.incarnation < me.incarnation:
            return
        is_as_we_said = (message.meta or b"", message.vsn) == (me.meta, me.versions)
        if message.incarnation == me.incarnation and is_as_we_said:
            return
        self._refute(message.incarnation)

    def _refute(self, accused_incarnation: int) -> None:
        me = self.me
        me.incarnation = min(INCARNATION_MAX, max(me.incarnation, accused_incarnation) + 1)
        self.awareness.apply(1)
        self.has_own_news = True
        self.queue.put(me.name, me.as_alive())

    def _repeat_refutation(self, node: Node) -> None:
        """
        Say again that we live to whoever accuses an older incarnation of us.

        memberlist says it only when first accused. A node that could not be heard just then is
        declared dead up to 24 s later, however well it is heard by then: whoever suspects it goes
        on pinging it, but an ack clears no suspicion. The simulator found this.
        """
        if node is self.me and not self.is_leaving and node.name not in self.queue:
            self.has_own_news = True
            self.queue.put(node.name, node.as_alive())

    def _tell_conflict(self, node: Node, message: Alive, address: Address, now: float) -> None:
        self.ignored[Ignored.NAME_CONFLICT] += 1
        claimed = (str(address), message.port)
        last = self._conflicts.get(node.name)
        if last is not None and now - last < CONFLICT_AGAIN_S:
            return
        self._conflicts[node.name] = now
        self.out.append(NameConflict(node.snapshot(), claimed))


def _as_alive(row: PushNode) -> Alive:
    return Alive(
        incarnation=row.incarnation,
        node=row.name,
        addr=row.addr,
        port=row.port,
        meta=row.meta,
        vsn=row.vsn,
    )
