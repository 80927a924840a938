"""VIPs as the writer keeps them: one mutable entry each, since a take-over flips thousands."""

from collections.abc import Iterator, Mapping

import attrs

from speaker.dataplane.layout import Voice
from speaker.dataplane.spots import Spot
from speaker.dataplane.values import Vip, VipRow

NO_STAT = -1


@attrs.define
class Entry:
    """One VIP: what was said of it, and where that is written."""

    vip: Vip
    voice: Voice
    interfaces: frozenset[str] | None
    lladdr: bytes | None
    listen: bool
    stat: int = NO_STAT  # index of its counters
    # Its slots: attachment, key in the table, whether it is advertised there
    slots: tuple[tuple[Spot, bytes, bool], ...] = ()
    groups: frozenset[int] = frozenset()  # ifindexes on which its group is wanted
    is_v4: bool = attrs.field(init=False)

    @is_v4.default
    def _is_v4(self) -> bool:
        return self.vip.version == 4

    @classmethod
    def of(cls, row: VipRow) -> "Entry":
        """An entry that is written nowhere yet."""
        return cls(row.vip, row.voice, row.interfaces, row.lladdr, row.listen)

    def row(self) -> VipRow:
        """As a value."""
        return VipRow(self.vip, self.voice, self.interfaces, self.lladdr, self.listen)

    def take(self, row: VipRow) -> None:
        """Say `row` from now on."""
        self.voice, self.interfaces = row.voice, row.interfaces
        self.lladdr, self.listen = row.lladdr, row.listen


@attrs.frozen
class Rows(Mapping[Vip, VipRow]):
    """A live, read-only view of entries as rows."""

    _entries: dict[Vip, Entry]

    def __getitem__(self, vip: Vip) -> VipRow:
        return self._entries[vip].row()

    def __iter__(self) -> Iterator[Vip]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, vip: object) -> bool:
        return vip in self._entries
