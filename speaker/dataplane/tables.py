"""
The writer of `vips4` and `vips6`: open-addressed tables in memory that the program reads.

A table is two halves; `control` names the one in use. What may happen to a half:

    spare ──fill──> full ──publish──> live ──(next publish)──> spare

In the live half a slot, once it has a key, keeps it: a flip is one aligned store of its voice, a
removal is the voice DEAD, an addition takes a slot that never had a key (written with the voice
DEAD, then revealed by one store). So no frame ever sees half a slot, nor a slot whose key changed
under it. Whatever must move keys (removals piling up, chains too long) fills the spare half, in
slices, while flips, additions and removals go to both; there, keys displace others that are nearer
to their home, which keeps chains short. More keys than half the slots: the caller fills a half of
a map twice the size instead.

Works on any buffer, so that tests need neither root nor a kernel.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

import attrs

from speaker.dataplane.layout import MAX_PROBES, SLOT4, SLOT6, Layout, Voice, hash4, hash6

SLICE = 192  # keys moved between two yields: about a millisecond

_DEAD: Final = Voice.DEAD << 48
_PLACE: Final = struct.Struct("<IH")
PLACE_BYTES: Final = _PLACE.size
_STEPS: Final = tuple(step * (step + 1) // 2 for step in range(MAX_PROBES))


class CrowdedError(Exception):
    """No slot within MAX_PROBES of a key's home: the table must grow."""


@attrs.frozen
class Family:
    """What differs between the two tables. Word and half-word offsets are within a slot."""

    stride: int
    voice_word: int  # in units of 8 bytes
    ifindex_int: int  # in units of 4 bytes
    cell_half: int  # in units of 2 bytes
    address_bytes: int
    codec: struct.Struct  # of a whole slot, its voice as one number, padding left out
    taken: Callable[[tuple[Any, ...]], tuple[Any, ...]]  # members of a slot as in _MEMBERS
    laid: Callable[[tuple[Any, ...]], tuple[Any, ...]]  # and back


_MEMBERS: Final = ("addr", "ifindex", "voice", "vlan", "cell", "stat")


def _family(slot: Layout, address_bytes: int) -> Family:
    """By the names of members, so that a layout may have them in any order."""
    codes = dict(slot.members) | {"voice": "Q"}
    padding = {name: f"{struct.calcsize(code)}x" for name, code in slot.members}
    names = [name for name in codes if name in _MEMBERS]
    return Family(
        slot.size_bytes,
        slot.offsets["voice"] // 8,
        slot.offsets["ifindex"] // 4,
        slot.offsets["cell"] // 2,
        address_bytes,
        struct.Struct("<" + "".join((codes if n in _MEMBERS else padding)[n] for n in codes)),
        itemgetter(*map(names.index, _MEMBERS)),
        itemgetter(*map(_MEMBERS.index, names)),
    )


IPV4: Final = _family(SLOT4, 4)
IPV6: Final = _family(SLOT6, 16)


@attrs.frozen
class Row:
    """A key's content."""

    voice: int  # as `layout.pack_voice`
    cell: int
    stat: int


def place(ifindex: int, vlan: int) -> bytes:
    """The part of a key that names the attachment; a key is this and the packed address."""
    return _PLACE.pack(ifindex, vlan)


def home(key: bytes) -> int:
    """Hash of a key, as the program computes it."""
    ifindex, vlan = _PLACE.unpack_from(key)
    address = key[_PLACE.size :]
    return hash4(ifindex, vlan, address) if len(address) == 4 else hash6(ifindex, vlan, address)


def no_barrier() -> None:
    """Stores are seen in program order here: x86, or a buffer that nobody else reads."""


@attrs.define
class Half:
    """`slots` slots of a buffer, from slot number `base` on, with an index of their keys."""

    family: Family
    buffer: memoryview
    base: int
    slots: int
    barrier: Callable[[], None] = no_barrier
    where: dict[bytes, int] = attrs.field(factory=dict)  # key -> slot number in the buffer
    taken: int = 0  # slots with a key, dead ones included
    _words: memoryview = attrs.field(init=False)
    _halves: memoryview = attrs.field(init=False)
    _ints: memoryview = attrs.field(init=False)
    _stride8: int = attrs.field(init=False)
    _stride4: int = attrs.field(init=False)
    _voice_word: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stride8, self._stride4 = self.family.stride // 8, self.family.stride // 4
        self._voice_word = self.family.voice_word
        self._ints = self.buffer.cast("I")
        self._words = self.buffer.cast("Q")
        self._halves = self.buffer.cast("H")

    def clear(self) -> None:
        """Empty it; only while no program reads it."""
        start = self.base * self.family.stride
        size = self.slots * self.family.stride
        self.buffer[start : start + size] = bytes(size)
        self.where.clear()
        self.taken = 0

    def read(self) -> None:
        """Learn keys from the buffer: what an earlier process left there."""
        self.where.clear()
        self.taken = 0
        for at in range(self.base, self.base + self.slots):
            key, row = self._slot(at)
            if not key:
                continue
            self.taken += 1
            if row.voice >> 48 & 0xFF != Voice.DEAD:
                self.where[key] = at

    def row(self, key: bytes) -> Row | None:
        """What is said for `key`."""
        at = self.where.get(key)
        return None if at is None else self._slot(at)[1]

    def flip(self, key: bytes, voice: int) -> bool:
        """Store a voice; whether the key is here."""
        at = self.where.get(key)
        if at is None:
            return False
        self._words[at * self._stride8 + self._voice_word] = voice
        return True

    def flip_all(self, keys: Iterable[bytes], voice: int) -> list[bytes]:
        """Store one voice for many keys; returns those that are not here."""
        where, words = self.where, self._words
        stride, offset = self._stride8, self._voice_word
        missing = []
        for key in keys:
            at = where.get(key)
            if at is None:
                missing.append(key)
            else:
                words[at * stride + offset] = voice
        return missing

    def change(self, key: bytes, row: Row) -> bool:
        """Make an existing key say `row`; whether it is here."""
        at = self.where.get(key)
        if at is None:
            return False
        cell = at * self.family.stride // 2 + self.family.cell_half
        if self._halves[cell] != row.cell:
            self._halves[cell] = row.cell
        return self.flip(key, row.voice)

    def drop(self, key: bytes) -> None:
        """Make the slot of `key` match nothing."""
        if self.flip(key, _DEAD):
            del self.where[key]

    def append(self, key: bytes, row: Row) -> bool:
        """Add a key in a slot that had none or this one, visible at once; False: none in reach."""
        hashed, mask = home(key), self.slots - 1
        for step in _STEPS:
            at = self.base + ((hashed + step) & mask)
            found = self._ints[at * self._stride4 + self.family.ifindex_int]
            if found and self._slot(at)[0] != key:
                continue
            self._write(at, key, Row(_DEAD, row.cell, row.stat))
            self.where[key] = at
            self.barrier()
            self.flip(key, row.voice)
            self.taken += not found
            return True
        return False

    def settle(self, key: bytes, row: Row) -> None:
        """
        Add a new key, displacing keys nearer to their home. Only while no program reads it.

        Raises CrowdedError; the half is then useless.
        """
        mask = self.slots - 1
        hashed, step = home(key), 0
        while step < MAX_PROBES:
            at = self.base + ((hashed + _STEPS[step]) & mask)
            other, other_row = self._slot(at)
            if self.where.get(other) != at:  # free, or dead: no reader depends on it yet
                self._write(at, key, row)
                self.where[key] = at
                self.taken += not other
                return
            other_hashed = home(other)
            other_step = self._step_of(other_hashed, at - self.base)
            if other_step < step:
                self._write(at, key, row)
                self.where[key] = at
                key, row, hashed, step = other, other_row, other_hashed, other_step
            step += 1
        raise CrowdedError(f"{len(self.where)} keys in {self.slots} slots")

    def _step_of(self, hashed: int, position: int) -> int:
        mask = self.slots - 1
        return next(n for n, step in enumerate(_STEPS) if (hashed + step) & mask == position)

    def _slot(self, at: int) -> tuple[bytes, Row]:
        offset = at * self.family.stride
        members = self.family.codec.unpack_from(self.buffer, offset)
        address, ifindex, voice, vlan, cell, stat = self.family.taken(members)
        if not ifindex:
            return b"", Row(0, 0, 0)
        return _PLACE.pack(ifindex, vlan) + address, Row(voice, cell, stat)

    def _write(self, at: int, key: bytes, row: Row) -> None:
        ifindex, vlan = _PLACE.unpack_from(key)
        address = key[_PLACE.size :]
        offset = at * self.family.stride
        # DEAD first: the ifindex is what makes a reader look at the rest.
        self._words[offset // 8 + self.family.voice_word] = _DEAD
        members = (address, ifindex, row.voice, vlan, row.cell, row.stat)
        self.family.codec.pack_into(self.buffer, offset, *self.family.laid(members))


def halves(
    family: Family, buffer: memoryview, barrier: Callable[[], None] = no_barrier
) -> tuple[Half, Half]:
    """The two halves of a map's memory."""
    slots = len(buffer) // family.stride // 2
    return (
        Half(family, buffer, 0, slots, barrier),
        Half(family, buffer, slots, slots, barrier),
    )


@attrs.define
class Table:
    """
    One table: the live half, one being filled if any, and rows that wait for it.

    `set`, `flip_all`, `drop` are immediate unless the live half has no room for a new key; such a
    row waits (`wants_rebuild`) until a filled half is published.
    """

    live: Half
    filling: Half | None = None
    waiting: dict[bytes, Row] = attrs.field(factory=dict)
    _crowded: bool = False

    def __len__(self) -> int:
        return len(self.live.where) + len(self.waiting)

    def keys(self) -> list[bytes]:
        """Every key, waiting ones included."""
        return [*self.live.where, *self.waiting]

    def row(self, key: bytes) -> Row | None:
        """What is said, or waits to be said, for `key`."""
        return self.waiting.get(key) or self.live.row(key)

    @property
    def wants_growth(self) -> bool:
        """Whether more than half the slots are keys, or a chain stays too long."""
        return self._crowded or len(self) * 2 > self.live.slots

    @property
    def wants_rebuild(self) -> bool:
        """Whether rows wait, or removed keys fill a quarter of the slots."""
        dead = self.live.taken - len(self.live.where)
        return bool(self.waiting) or dead * 4 > self.live.slots

    def set(self, key: bytes, row: Row) -> None:
        """Say `row` for `key`, new or not."""
        if not self.live.change(key, row) and (
            key in self.waiting or not self.live.append(key, row)
        ):
            self.waiting[key] = row
        self._follow(key, row)

    def flip_all(self, keys: Sequence[bytes], voice: int) -> None:
        """
        Change the voice of keys that were set: one store in each half that has them.

        Thousands of them are flipped in a millisecond.
        """
        for key in self.live.flip_all(keys, voice):
            if (waiting := self.waiting.get(key)) is not None:
                self.waiting[key] = attrs.evolve(waiting, voice=voice)
        if self.filling is not None:
            self.filling.flip_all(keys, voice)

    def drop(self, key: bytes) -> None:
        """Forget a key; unknown ones are fine."""
        self.live.drop(key)
        self.waiting.pop(key, None)
        if self.filling is not None:
            self.filling.drop(key)

    def _follow(self, key: bytes, row: Row) -> None:
        if self.filling is None or self._crowded or self.filling.change(key, row):
            return
        try:
            self.filling.settle(key, row)
        except CrowdedError:
            self._crowded = True

    def fill(self, target: Half, slice_keys: int = SLICE) -> Iterator[None]:
        """
        Fill `target` with everything, a slice between two yields.

        When it ends, `publish` makes it the live one, or CrowdedError tells that it is too small.
        """
        self._crowded = False
        target.clear()
        self.filling = target
        yield
        for count, key in enumerate(self.keys()):
            if count % slice_keys == slice_keys - 1:
                yield
            if self._crowded:
                break
            row = self.row(key)
            if row is not None and key not in target.where:
                self._follow(key, row)
        if self._crowded:
            self.filling = None
            raise CrowdedError(f"{len(self)} keys in {target.slots} slots")

    def publish(self) -> None:
        """The filled half is what programs read from now on; the caller has told them."""
        if self.filling is None:
            raise CrowdedError("nothing filled")
        self.live, self.filling = self.filling, None
        self.waiting.clear()
