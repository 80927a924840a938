"""Push/pull: the exchange of whole lists over a stream, with the user state of the layer above."""

import math
from collections.abc import Callable

import attrs

from speaker.gossip.config import GossipConfig
from speaker.gossip.membership import Ignored, Membership
from speaker.gossip.messages import PushPull
from speaker.gossip.outputs import (
    Endpoint,
    ExchangeState,
    MergeDone,
    MergeFailed,
    StateReceived,
)
from speaker.gossip.versions import find_disagreement

SCALES_FROM = 32  # nodes up to which the interval of push/pull is as configured


def push_pull_interval_s(config: GossipConfig, n: int) -> float:
    """Stretch the interval of push/pull for `n` listed nodes: 1x to 32, 2x to 64, 3x to 128."""
    if n <= SCALES_FROM:
        return config.push_pull_interval_s
    factor = math.ceil(math.log2(n) - math.log2(SCALES_FROM)) + 1
    return config.push_pull_interval_s * factor


@attrs.define
class Waiting:
    """An exchange we began and that has no answer yet."""

    to: Endpoint
    is_join: bool
    expires: float


@attrs.define
class Exchanges:
    """The push/pulls under way, and how one is merged."""

    membership: Membership
    local_state: Callable[[bool], bytes]
    _waiting: dict[int, Waiting] = attrs.field(factory=dict)
    _last: int = 0

    def begin(self, to: Endpoint, now: float, *, is_join: bool) -> None:
        """Ask for a push/pull with `to`."""
        self._last += 1
        timeout_s = self.membership.config.tcp_timeout_s
        # Connecting and each direction may take timeout_s.
        self._waiting[self._last] = Waiting(to, is_join, now + 4 * timeout_s)
        request = self._state(is_join)
        self.membership.out.append(ExchangeState(to, self._last, request, timeout_s))

    def reply(self, request: PushPull) -> PushPull:
        """Give our state as the answer; it echoes the other's join flag."""
        return self._state(request.join)

    def answered(self, exchange: int, reply: PushPull, now: float) -> None:
        """Merge an answer; the other side was found where we dialled."""
        waiting = self._waiting.pop(exchange, None)
        if waiting is None:
            self.membership.ignored[Ignored.UNEXPECTED] += 1
            return
        received = PushPull(waiting.is_join, reply.nodes, reply.user_state)
        if self.merge(received, waiting.to, now):
            self.membership.out.append(MergeDone(waiting.to, waiting.is_join))

    def failed(self, exchange: int, why: str) -> None:
        """Tell that an exchange came to nothing."""
        waiting = self._waiting.pop(exchange, None)
        if waiting is not None:
            self.membership.out.append(MergeFailed(waiting.to, waiting.is_join, why))

    def merge(self, received: PushPull, source: Endpoint, now: float) -> bool:
        """Merge a list unless the versions forbid it; then MergeFailed is told, and False given."""
        member = self.membership
        disagreement = find_disagreement(
            ((row.name, row.state, row.vsn) for row in received.nodes),
            ((node.name, node.state, node.versions) for node in member.nodes),
        )
        if disagreement is not None:
            member.out.append(MergeFailed(source, received.join, disagreement))
            return False
        member.merge(received.nodes, now)
        if received.user_state:
            member.out.append(StateReceived(received.user_state, source, received.join))
        return True

    def forget(self, now: float) -> None:
        """Tell of exchanges whose caller never came back."""
        for exchange, waiting in list(self._waiting.items()):
            if waiting.expires < now:
                self.failed(exchange, "no answer")

    def _state(self, is_join: bool) -> PushPull:
        rows = tuple(node.as_push_node() for node in self.membership.nodes)
        return PushPull(is_join, rows, self.local_state(is_join))
