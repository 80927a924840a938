"""From chosen links to spots: each (interface, VLAN) that answers, and where it is served."""

from collections.abc import Iterable

import attrs

from speaker.dataplane.interfaces import Link
from speaker.dataplane.layout import Voice
from speaker.dataplane.rows import word
from speaker.dataplane.tables import place
from speaker.dataplane.values import Attachment


@attrs.frozen
class Wanted:
    """A (interface, VLAN) that should answer: `link`'s frames are seen on `hook`."""

    link: Link
    hook: Link
    vlan: int

    @property
    def place(self) -> bytes:
        """The part of a table's key that names it."""
        return place(self.hook.ifindex, self.vlan)


def plan_spots(chosen: Iterable[Link]) -> tuple[Wanted, ...]:
    """
    Where each chosen link is served.

    A VLAN upper is served on its lower device when that one is chosen too: the program there sees
    the frame first, and sees its tag. Otherwise it is served on itself.
    """
    by_ifindex = {link.ifindex: link for link in chosen}
    found = []
    for link in by_ifindex.values():
        lower = by_ifindex.get(link.lower) if link.kind == "vlan" else None
        found.append(Wanted(link, lower or link, link.vlan if lower else 0))
    return tuple(found)


def place_names(links: Iterable[Link]) -> dict[tuple[int, int], str]:
    """Names of interfaces by (ifindex, VLAN) of where their frames may be seen."""
    names = {}
    for link in links:
        names[(link.ifindex, 0)] = link.name
        if link.lower:
            names[(link.lower, link.vlan)] = link.name
    return names


@attrs.define(eq=False)
class Spot:
    """An attachment whose slots are in the tables."""

    attachment: Attachment
    own_ifindex: int  # of the interface itself, where groups are joined
    place: bytes
    _words: dict[tuple[object, ...], int] = attrs.field(factory=dict)

    def word(self, voice: Voice, lladdr: bytes | None, *, advertised: bool, listen: bool) -> int:
        """As rows.word; remembered, since thousands of VIPs share one."""
        key = (voice, lladdr, advertised, listen)
        known = self._words.get(key)
        if known is None:
            if len(self._words) > 256:  # GIVEN to many holders: no need to keep them
                self._words.clear()
            known = word(self.attachment, voice, lladdr, advertised=advertised, listen=listen)
            self._words[key] = known
        return known
