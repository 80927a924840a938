"""ASK and DECLINE, batched per pair of nodes."""

from speaker.herald.actions import Send
from speaker.herald.facts import Ask, Decline, encode
from speaker.herald.teller import OwnFacts

_PER_DATAGRAM = 40  # IPv6 VIPs of 18 octets, beside a name of 253


def _batches(keys: list[bytes]) -> list[tuple[bytes, ...]]:
    return [tuple(keys[i : i + _PER_DATAGRAM]) for i in range(0, len(keys), _PER_DATAGRAM)]


def asks_of(own: OwnFacts, asks: dict[str, list[bytes]]) -> list[Send]:
    """One datagram or several per holder; empties `asks`."""
    sends = [
        Send(holder, encode(Ask(own.node, own.instance, batch)))
        for holder, keys in asks.items()
        for batch in _batches(keys)
    ]
    asks.clear()
    return sends


def declines_of(own: OwnFacts, declines: dict[str, list[bytes]]) -> list[Send]:
    """One datagram or several per giver; empties `declines`."""
    sends = [
        Send(giver, encode(Decline(own.node, batch)))
        for giver, keys in declines.items()
        for batch in _batches(keys)
    ]
    declines.clear()
    return sends
