"""Spreading the news: at every gossip interval to a few, and along with whatever is sent anyway."""

import math

import attrs

from speaker.gossip.broadcast import PARTS_MAX, BroadcastQueue, retransmit_limit
from speaker.gossip.members import Node
from speaker.gossip.membership import Membership
from speaker.gossip.messages import NodeState, PacketMessage, User
from speaker.gossip.outputs import LeaveFinished, SendPacket
from speaker.gossip.probe import PMAX_CRC
from speaker.gossip.sizes import COMPOUND_PART_BYTES, size_bytes

HURRY = 0.1  # news of our own wait for a tenth of the gossip interval at most


@attrs.define
class Gossiper:
    """Takes from the queues what fits into a datagram, membership before user messages."""

    membership: Membership
    room_bytes: int  # of a datagram, for parts and their lengths
    _user_queue: BroadcastQueue
    _next: float = math.inf
    _last: float = math.inf
    _is_leave_told: bool = False

    def start(self, now: float, share: float) -> None:
        """Set the timer; `share`, 0 to 1, is our place in the interval."""
        self._last = now
        self._next = now + (1 + share) * self.membership.config.gossip_interval_s

    def next_wakeup(self) -> float:
        """When `tick` is due: never while there is no news, or nobody to tell it."""
        has_audience = len(self.membership.nodes) > 1
        return self._next if self._has_news and has_audience else math.inf

    def put_user(self, payload: bytes, key: str, now: float) -> None:
        """Queue a user message, and see that it does not wait."""
        self._user_queue.put(key, User(payload))
        self._hurry(now)

    def tick(self, now: float) -> None:
        """Send the news to a few members if it is time, or if some of it is our own."""
        if self.membership.has_own_news:
            self.membership.has_own_news = False
            self._hurry(now)
        if now >= self._next:
            self._last = now
            self._next = now + self.membership.config.gossip_interval_s
            self._spread(now)
        self._tell_leave()

    def piggyback(self, message: PacketMessage) -> tuple[PacketMessage, ...]:
        """Add to a message what news fits into the same datagram."""
        if not self._has_news:
            return (message,)
        return (message, *self._news(self.room_bytes - size_bytes(message), PARTS_MAX - 1))

    @property
    def _has_news(self) -> bool:
        return bool(self.membership.queue) or bool(self._user_queue)

    def _hurry(self, now: float) -> None:
        soonest = self._last + HURRY * self.membership.config.gossip_interval_s
        self._next = min(self._next, max(now, soonest))

    def _spread(self, now: float) -> None:
        if not self._has_news:
            return
        member = self.membership

        def is_target(node: Node) -> bool:
            if node is member.me or node.state == NodeState.LEFT:
                return False
            return not member.is_expired(node, now)

        for target in member.nodes.pick(member.config.gossip_nodes, is_target):
            messages = self._news(self.room_bytes, PARTS_MAX)
            if not messages:
                return
            with_crc = target.protocol_max >= PMAX_CRC
            member.out.append(SendPacket(target.endpoint, messages, with_crc))

    def _news(self, budget_bytes: int, parts: int) -> tuple[PacketMessage, ...]:
        member = self.membership
        limit = retransmit_limit(member.config.retransmit_mult, len(member.nodes))
        taken = member.queue.take(budget_bytes, limit, parts)
        left_bytes = budget_bytes - sum(COMPOUND_PART_BYTES + each.size_bytes for each in taken)
        taken += self._user_queue.take(left_bytes, limit, parts - len(taken))
        return tuple(broadcast.message for broadcast in taken)

    def _tell_leave(self) -> None:
        member = self.membership
        if not member.is_leaving or self._is_leave_told:
            return
        has_audience = any(not node.is_gone for node in member.nodes)
        if member.me.name not in member.queue or not has_audience:
            self._is_leave_told = True
            member.out.append(LeaveFinished())
