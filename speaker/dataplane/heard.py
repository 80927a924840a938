"""Who beats at us, as the program notes it: read from memory, no system call."""

from typing import Any, Final

import attrs

from speaker.dataplane.layout import HEARD, MAX_HEARD, heard_index

_HAS_WITNESS: Final = 1  # BEAT_HAS_WITNESS of bpf/include/beat.h
_CLAIMS: Final = 2
_HEARS: Final = 4


@attrs.frozen
class HeardBeat:
    """The last request of one instance that came to one cell with a valid tag."""

    sender: int  # instance id
    cell: int
    heard_ns: int  # CLOCK_MONOTONIC, coarse: up to a tick early
    sent_ns: int  # the sender's clock
    lladdr: bytes  # it came from
    has_witness: bool
    claims: bool
    hears: bool  # our reflections reach it


@attrs.define
class HeardBeats:
    """The map `heard_beats`."""

    memory: memoryview

    def of(self, sender: int, cell: int) -> HeardBeat | None:
        """
        What was last heard of an instance on a cell; None for never.

        Also None while another instance has the entry that both share (one in 1,024 pairs does);
        they take turns with every beat.
        """
        found = self._read(heard_index(sender, cell))
        return found if found is not None and (found.sender, found.cell) == (sender, cell) else None

    def all(self) -> list[HeardBeat]:
        """Everybody ever heard, dead ones too; about a millisecond."""
        return [found for index in range(MAX_HEARD) if (found := self._read(index)) is not None]

    def _read(self, index: int) -> HeardBeat | None:
        at = index * HEARD.size_bytes
        octets = bytes(self.memory[at : at + HEARD.size_bytes])
        if not any(octets[:8]):
            return None
        found: dict[str, Any] = HEARD.unpack(octets)
        flags = found.pop("flags")
        return HeardBeat(
            has_witness=bool(flags & _HAS_WITNESS),
            claims=bool(flags & _CLAIMS),
            hears=bool(flags & _HEARS),
            **found,
        )
