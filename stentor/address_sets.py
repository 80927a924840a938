"""
Ranges of addresses as pools list them, and an index that finds the range of an address.

Pure values on integers: a pool of an IPv6 /64 costs as much as one of a single address.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Generic, TypeVar

import attrs

from crds.addresses import parse_range

Vip = IPv4Address | IPv6Address
T = TypeVar("T")


@attrs.frozen(repr=False)
class AddressRange:
    """All addresses from `first` to `last`, both included, of one family."""

    first: Vip
    last: Vip

    @classmethod
    def parse(cls, text: str) -> "AddressRange":
        """
        Read `a/b` or `a-b` as an IPAddressPool lists it; blanks around the dash are allowed.

        Raises AddressError (see crds.addresses for what is refused).
        """
        return cls(*parse_range(text))

    @property
    def version(self) -> int:
        """The family, 4 or 6."""
        return self.first.version

    @property
    def size(self) -> int:
        """How many addresses it holds, at least 1."""
        return int(self.last) - int(self.first) + 1

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, IPv4Address | IPv6Address)
            and address.version == self.version
            and int(self.first) <= int(address) <= int(self.last)
        )

    def overlaps(self, other: "AddressRange") -> bool:
        """Tell whether the two share an address."""
        return (
            self.version == other.version
            and int(self.first) <= int(other.last)
            and int(other.first) <= int(self.last)
        )

    def __iter__(self) -> Iterator[Vip]:
        """Walk the addresses upwards, lazily: an IPv6 /64 never fits anywhere."""
        kind = type(self.first)
        return (kind(number) for number in range(int(self.first), int(self.last) + 1))

    def __str__(self) -> str:
        """As a prefix where it is one, else as `first-last`."""
        bits = self.first.max_prefixlen - (self.size - 1).bit_length()
        if self.size & (self.size - 1) == 0 and int(self.first) % self.size == 0:
            return f"{self.first}/{bits}"
        return f"{self.first}-{self.last}"

    __repr__ = __str__


@attrs.frozen
class Overlap(Generic[T]):
    """Two entries that share addresses: the earlier of them keeps the shared part."""

    kept: T
    kept_range: AddressRange
    refused: T
    refused_range: AddressRange


class AddressIndex(Generic[T]):
    """
    Find in O(log n) which entry holds an address.

    Entries that overlap an earlier one are left out and listed in `overlaps`, in input order.
    """

    def __init__(self, entries: Iterable[tuple[AddressRange, T]]) -> None:
        """Take `entries` in order of precedence: what comes first keeps a disputed address."""
        self._starts: dict[int, list[int]] = {4: [], 6: []}
        self._entries: dict[int, list[tuple[AddressRange, T]]] = {4: [], 6: []}
        overlaps: list[Overlap[T]] = []
        for span, value in entries:
            rival = self._overlapping(span)
            if rival is not None:
                overlaps.append(Overlap(rival[1], rival[0], value, span))
                continue
            place = bisect_right(self._starts[span.version], int(span.first))
            self._starts[span.version].insert(place, int(span.first))
            self._entries[span.version].insert(place, (span, value))
        self.overlaps = tuple(overlaps)

    def find(self, address: Vip) -> T | None:
        """Return the value of the entry that holds `address`, or None."""
        place = bisect_right(self._starts[address.version], int(address)) - 1
        if place < 0:
            return None
        span, value = self._entries[address.version][place]
        return value if address in span else None

    def _overlapping(self, span: AddressRange) -> tuple[AddressRange, T] | None:
        """Return the entry that `span` would overlap: the last one starting at or before its end.

        Entries held are disjoint, so if that one ends before `span` starts, all earlier ones do.
        """
        place = bisect_right(self._starts[span.version], int(span.last)) - 1
        if place < 0:
            return None
        entry = self._entries[span.version][place]
        return entry if entry[0].overlaps(span) else None
