"""Cut the words of a node into datagrams, and put the parts of a whole together again."""

from collections.abc import Iterable, Iterator

import attrs

from speaker.herald.facts import Claim, Seats, Word

WireWord = tuple[bytes, int, Claim, int]
Parcel = tuple[tuple[str, ...], tuple[WireWord, ...]]  # names, words

# Octets for the words of one datagram; the rest of facts.MAX_DATAGRAM is for two names, an instance
# id and numbers. A name may have 253 octets, so the author's is taken off.
_ROOM = 950
_MAX_WORDS = 200
_MAX_NAMES = 16


def _size(key: bytes, counter: int) -> int:
    """Octets of one word in msgpack, the name it may refer to not counted."""
    number = 1 if counter < 1 << 7 else 3 if counter < 1 << 16 else 5 if counter < 1 << 32 else 9
    return len(key) + number + 5


def cut(node: str, words: Iterable[tuple[bytes, Word]]) -> Iterator[Parcel]:
    """The words of `node`, in order, in parcels of which each fits a datagram."""
    room = _ROOM - len(node.encode())
    names: dict[str, int] = {}
    parcel: list[WireWord] = []
    used = 0
    for key, word in words:
        size = _size(key, word.counter)
        if word.to and word.to not in names:
            size += len(word.to.encode()) + 3
        if used + size > room or len(parcel) == _MAX_WORDS or len(names) == _MAX_NAMES:
            if parcel:
                yield tuple(names), tuple(parcel)
            names, parcel, used = {}, [], 0
        to = names.setdefault(word.to, len(names) + 1) if word.to else 0
        parcel.append((key, word.counter, word.claim, to))
        used += size
    if parcel:
        yield tuple(names), tuple(parcel)


def cut_whole(node: str, words: dict[bytes, Word]) -> list[Parcel]:
    """Every seat a node holds or gives; the same parcels wherever the same words are known."""
    return list(cut(node, ((key, words[key]) for key in sorted(words) if words[key].claim))) or [
        ((), ())
    ]


@attrs.define
class Whole:
    """The parts of one node's whole that have come so far."""

    state: int = -1
    parts: int = 0
    seq: int = 0  # highest of the parts: words younger than this are not contradicted
    got: set[int] = attrs.field(factory=set)
    keys: set[bytes] = attrs.field(factory=set)

    def add(self, seats: Seats) -> bool:
        """Take one part in; returns whether the whole is complete with it."""
        if seats.state != self.state or seats.parts != self.parts:
            self.state, self.parts, self.seq = seats.state, seats.parts, 0
            self.got, self.keys = set(), set()
        self.seq = max(self.seq, seats.seq)
        self.got.add(seats.part)
        self.keys.update(key for key, *_ in seats.words)
        return len(self.got) == self.parts

    def missing(self, limit: int = 200) -> tuple[int, ...]:
        """Parts that have not come yet, up to `limit`; nothing before the first one came."""
        gaps = (part for part in range(self.parts) if part not in self.got)
        return tuple(part for part, _ in zip(gaps, range(limit), strict=False))
