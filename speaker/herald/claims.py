"""Who says what about which seat: the words of every peer, indexed by seat."""

from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from zlib import crc32

import attrs

from speaker.herald.actions import Vip
from speaker.herald.facts import Claim, Word

_MASK = (1 << 62) - 1
_SPREAD = 0x9E3779B97F4A7C15  # odd: a product modulo 2**62 loses nothing


@lru_cache(maxsize=4096)
def name_hash(name: str) -> bytes:
    """What breaks a tie of counters: the smaller SHA-256 of the name keeps (OWNERSHIP Words)."""
    return sha256(name.encode()).digest()


def beats(counter: int, name: str, other_counter: int, other_name: str) -> bool:
    """Whether the first of two holders that reach each other keeps the seat."""
    if counter != other_counter:
        return counter > other_counter
    return name_hash(name) < name_hash(other_name)


def weigh(key: bytes, word: Word) -> int:
    """Part of a seat in the digest of a node; the sum of all tells equal sets of seats."""
    mixed = crc32(key) * _SPREAD + word.counter
    return (mixed ^ (mixed >> 29)) * _SPREAD + crc32(word.to.encode(), word.claim) & _MASK


def to_vip(key: bytes) -> Vip:
    """The VIP of 4 or 16 octets."""
    return IPv4Address(key) if len(key) == 4 else IPv6Address(key)


@attrs.define
class Words:
    """The words of one node, with the digest that its Hello carries."""

    by_seat: dict[bytes, Word] = attrs.field(factory=dict)
    active: int = 0  # how many are not NONE
    digest: int = 0

    def put(self, key: bytes, word: Word) -> Word | None:
        """Store, return the word before."""
        before = self.by_seat.get(key)
        self.by_seat[key] = word
        if before is not None and before.claim:
            self.active -= 1
            self.digest = (self.digest - weigh(key, before)) & _MASK
        if word.claim:
            self.active += 1
            self.digest = (self.digest + weigh(key, word)) & _MASK
        return before

    def clear(self) -> None:
        """Forget everything."""
        self.by_seat = {}
        self.active = self.digest = 0


@attrs.define
class Claims:
    """
    Seats that peers hold or give, by seat: nearly always one peer each.

    10,000 seats cost a tuple of one pair each, about 1.2 MB.
    """

    _by_seat: dict[bytes, tuple[tuple[str, Word], ...]] = attrs.field(factory=dict)

    def put(self, key: bytes, node: str, word: Word) -> None:
        """Replace what `node` claims of the seat; NONE removes it."""
        held = self._by_seat.get(key, ())
        if not held:
            if word.claim:
                self._by_seat[key] = ((node, word),)
            return
        rest = tuple(pair for pair in held if pair[0] != node)
        rest = (*rest, (node, word)) if word.claim else rest
        if rest:
            self._by_seat[key] = rest
        else:
            del self._by_seat[key]

    def of(self, key: bytes) -> tuple[tuple[str, Word], ...]:
        """All peers' claims of the seat, live or not."""
        return self._by_seat.get(key, ())

    def strongest(self, key: bytes, among: frozenset[str] | None = None) -> tuple[str, Word] | None:
        """The claim that beats the others, of the peers in `among` (None = of all)."""
        best: tuple[str, Word] | None = None
        for pair in self._by_seat.get(key, ()):
            if among is not None and pair[0] not in among:
                continue
            if best is None or beats(pair[1].counter, pair[0], best[1].counter, best[0]):
                best = pair
        return best


__all__ = ["Claim", "Claims", "Word", "Words", "beats", "name_hash", "to_vip", "weigh"]
