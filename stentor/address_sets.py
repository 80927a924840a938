"""
Ranges of addresses as pools list them, and an index that finds the range of an address.

Pure values on integers: a pool of an IPv6 /64 costs as much as one of a single address.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

import attrs

Vip = IPv4Address | IPv6Address
T = TypeVar("T")

_FORM = "an address range is `a/b` (192.0.2.0/24) or `a-b` (192.0.2.10-192.0.2.20)"


class AddressError(ValueError):
    """A text that is no address or range of addresses; says what would be one."""


def parse_address(text: str) -> Vip:
    """
    Read one address, IPv4 or IPv6, as the Kubernetes API writes it.

    No zone, no leading zeros, no IPv4-mapped form (RFC 4291 §2.5.5.2): such a VIP could not be
    compared with what ARP and ND carry. Raises AddressError.
    """
    try:
        address = ip_address(text)
    except ValueError as exc:
        raise AddressError(f"{text!r} is not an IPv4 or IPv6 address") from exc
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise AddressError(f"{text!r} has a zone; write {text.partition('%')[0]}")
        if address.ipv4_mapped is not None:
            raise AddressError(f"{text!r} is IPv4 in disguise; write {address.ipv4_mapped}")
    return address


@attrs.frozen(repr=False)
class AddressRange:
    """All addresses from `first` to `last`, both included, of one family."""

    first: Vip
    last: Vip

    @classmethod
    def parse(cls, text: str) -> "AddressRange":
        """
        Read `a/b` or `a-b` as an IPAddressPool lists it; blanks around the dash are allowed.

        Host bits of a prefix are ignored as MetalLB ignores them: 192.0.2.7/24 is 192.0.2.0/24.
        A bare address is refused, as are ends of two families. Raises AddressError.
        """
        if "-" in text:
            start, _, end = text.partition("-")
            return cls._between(parse_address(start.strip()), parse_address(end.strip()), text)
        head, slash, bits = text.partition("/")
        if not slash:
            address = parse_address(text)
            raise AddressError(
                f"{text!r} is a bare address; write {address}/{address.max_prefixlen}"
            )
        address = parse_address(head)
        if not (bits.isascii() and bits.isdigit() and int(bits) <= address.max_prefixlen):
            raise AddressError(
                f"prefix length {bits!r} of {text!r} is not a number of 0 to "
                f"{address.max_prefixlen}"
            )
        network = ip_network((address, int(bits)), strict=False)
        return cls(network.network_address, network.broadcast_address)

    @classmethod
    def _between(cls, first: Vip, last: Vip, text: str) -> "AddressRange":
        if first.version != last.version:
            raise AddressError(f"{text!r} starts in IPv{first.version}, ends in IPv{last.version}")
        if int(first) > int(last):
            raise AddressError(f"{text!r} ends before it starts; write {last}-{first}")
        return cls(first, last)

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
