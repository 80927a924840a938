"""BGP communities as the API spells them: A:B (RFC 1997) and large:A:B:C (RFC 8092)."""

import attrs

from crds.errors import CommunityError

_LARGE = "large"
_LEGACY_PARTS, _LEGACY_MOST = 2, 0xFFFF
_LARGE_PARTS, _LARGE_MOST = 3, 0xFFFF_FFFF


@attrs.frozen
class BgpCommunity:
    """
    One community: two parts of 16 bits, or three of 32.

    `<` is MetalLB's order: large ones first, each sort by number.
    """

    parts: tuple[int, ...]

    @property
    def is_large(self) -> bool:
        """Whether it is a large one (RFC 8092)."""
        return len(self.parts) == _LARGE_PARTS

    def __lt__(self, other: "BgpCommunity") -> bool:
        return (not self.is_large, self.parts) < (not other.is_large, other.parts)

    def __str__(self) -> str:
        """As in an UPDATE's log, without the word that tells the sort: 64512:1234 or 1:2:3."""
        return ":".join(map(str, self.parts))

    @property
    def literal(self) -> str:
        """As a field of the API: 64512:1234 or large:1:2:3."""
        return f"{_LARGE}:{self}" if self.is_large else str(self)


def looks_literal(text: str) -> bool:
    """Whether a text is meant as a community itself: names of aliases have no colon."""
    return ":" in text


def parse_community(text: str) -> BgpCommunity:
    """Read one literal; raises CommunityError."""
    fields = text.split(":")
    is_large = fields[0] == _LARGE and len(fields) == _LARGE_PARTS + 1
    if not is_large and len(fields) != _LEGACY_PARTS:
        raise CommunityError(f"{text!r} is no community; write 64512:100 or large:64512:1:2")
    most = _LARGE_MOST if is_large else _LEGACY_MOST
    parts = []
    for field in fields[1:] if is_large else fields:
        if not (field.isascii() and field.isdigit() and int(field) <= most):
            raise CommunityError(f"{field!r} in community {text!r}, need a number of 0 to {most}")
        parts.append(int(field))
    return BgpCommunity(tuple(parts))
