"""From chosen links to spots: each (interface, VLAN) that answers, and where it is served."""

from collections.abc import Iterable

import attrs

from speaker.dataplane.interfaces import Link
from speaker.dataplane.layout import Voice
from speaker.dataplane.rows import is_advertised, voice_word
from speaker.dataplane.tables import place
from speaker.dataplane.values import Attachment, VipRow


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


@attrs.define
class Spot:
    """An attachment whose slots are in the tables."""

    attachment: Attachment
    own_ifindex: int  # of the interface itself, where groups are joined
    place: bytes
    _words: dict[tuple[object, ...], int] = attrs.field(factory=dict)

    def word(self, row: VipRow) -> int:
        """As rows.voice_word; remembered, since thousands of VIPs share one."""
        advertised = is_advertised(row, self.attachment)
        key = (row.voice, advertised, row.lladdr, row.listen)
        word = self._words.get(key)
        if word is None:
            if len(self._words) > 256:  # GIVEN to many holders: no need to keep them
                self._words.clear()
            word = self._words[key] = voice_word(row, self.attachment)
        return word

    def wants_group(self, row: VipRow) -> bool:
        """Whether the VIP's solicited-node group must be heard here."""
        return (
            row.vip.version == 6
            and row.voice is not Voice.COUNT
            and is_advertised(row, self.attachment)
        )
