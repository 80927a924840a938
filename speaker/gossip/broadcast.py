"""What is to be gossiped, how often it was, and what fits into a datagram."""

from collections.abc import Iterable

import attrs

from speaker.gossip.messages import PacketMessage
from speaker.gossip.sizes import COMPOUND_PART_BYTES, size_bytes

PARTS_MAX = 255  # the count of a compound is one byte


def retransmit_limit(mult: int, n: int) -> int:
    """
    Give how often a broadcast is sent among `n` listed nodes: mult * ceil(log10(n + 1)).

    Counted in digits, as floating point rounds log10 up beyond exact powers of ten.
    """
    return mult * len(str(n))


@attrs.define
class Broadcast:
    """One message in the queue."""

    message: PacketMessage
    size_bytes: int
    serial: int  # grows with age of the queue: the newest has the largest
    transmits: int = 0


@attrs.define
class BroadcastQueue:
    """
    At most one message a key (the node it is about); a newer one replaces the queued one.

    A message over `largest_bytes`, which no datagram would ever have room for, is not queued.
    """

    largest_bytes: int
    _queued: dict[str, Broadcast] = attrs.field(factory=dict)
    _serial: int = 0

    def __len__(self) -> int:
        return len(self._queued)

    def __contains__(self, key: str) -> bool:
        return key in self._queued

    def put(self, key: str, message: PacketMessage) -> None:
        """Queue `message`, with all its transmissions to come."""
        size = size_bytes(message)
        if size > self.largest_bytes:
            self._queued.pop(key, None)
            return
        self._serial += 1
        self._queued[key] = Broadcast(message, size, self._serial)

    def take(self, budget_bytes: int, limit: int, parts: int = PARTS_MAX) -> list[Broadcast]:
        """
        Take what fits into `budget_bytes` and count it as sent; it goes after `limit` times.

        Fewest transmissions first, then the largest, then the newest. One that does not fit is
        skipped for smaller ones.
        """
        taken: list[Broadcast] = []
        for key, broadcast in self._in_order():
            cost = COMPOUND_PART_BYTES + broadcast.size_bytes
            if cost > budget_bytes:
                continue
            if len(taken) == parts:
                break
            budget_bytes -= cost
            broadcast.transmits += 1
            taken.append(broadcast)
            if broadcast.transmits >= limit:
                del self._queued[key]
        return taken

    def _in_order(self) -> Iterable[tuple[str, Broadcast]]:
        return sorted(
            self._queued.items(),
            key=lambda item: (item[1].transmits, -item[1].size_bytes, -item[1].serial),
        )
