"""
Cells: one per attached (interface, VLAN), in memory that the program reads for every answer.

                    enter
    RELEASED ──────────────> OWNING <──────────── HOLDING
        ^                    │ │ │ ^     adopt       │ ^
        └────────────────────┘ │ │ └── enter ──┐     │ │
               release         │ └──── hold ───┼─────┼─┘
                               v               │     v
                       EXPIRED, SUSPENDED ─────┘<────┘

Two write a cell's state: the herald, and the program, which by compare-and-swap makes OWNING or
HOLDING into EXPIRED (deadline passed) or SUSPENDED (fenced). It never leaves RELEASED, EXPIRED or
SUSPENDED. Python has no compare-and-swap on mapped memory, and needs none:

- enter starts from a state that the program leaves alone: a plain store. The deadline and the
  epoch are stored before, with a barrier between.
- release may overwrite SUSPENDED or EXPIRED with RELEASED. None of them answers, and each is left
  only by enter with a higher epoch, so nothing is lost.
- hold and adopt go between two states that answer, where a plain store could undo a fence. They
  are one atomic XOR with 3: it swaps OWNING (1) and HOLDING (2), makes a SUSPENDED (3) that came
  first into RELEASED (0) and EXPIRED (4) into 7, neither of which answers; seeing these, the
  herald stores SUSPENDED or EXPIRED again, from states that the program leaves alone.
- the push stores the deadline only. In a state other than OWNING a deadline allows nothing, so a
  suspension between reading the state and the store stands. One clock reading both checks the old
  deadline and makes the new one: a herald that sleeps between them stores a deadline that is just
  as old as its reading.

The XOR is `futex(FUTEX_WAKE_OP)`, which the kernel offers for any word of our memory.
"""

import ctypes
import platform
from collections.abc import Callable
from typing import Final

import attrs

from speaker.dataplane.errors import KernelError
from speaker.dataplane.layout import CELL, MAX_CELLS, BeatFlag, CellState

_SWAP: Final = CellState.OWNING ^ CellState.HOLDING
_AFTER_RACE: Final = {
    CellState.SUSPENDED ^ _SWAP: CellState.SUSPENDED,
    CellState.EXPIRED ^ _SWAP: CellState.EXPIRED,
}
_ANSWERING: Final = frozenset({CellState.OWNING, CellState.HOLDING})

# linux/futex.h
_FUTEX_WAKE_OP_PRIVATE: Final = 5 | 128
_FUTEX_OP_XOR: Final = 4
_SYS_FUTEX: Final = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221}


def futex_xor(memory: memoryview) -> Callable[[int, int], None]:
    """
    An atomic XOR on words of writable `memory`: call it with a byte offset and a value below 4096.

    It is a full memory barrier, on its word and in general; with 0 it is only that.
    """
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    number = _SYS_FUTEX.get(platform.machine())
    if number is None:
        raise KernelError(f"futex on {platform.machine()}", 38)

    def xor(offset: int, value: int) -> None:
        word = ctypes.c_void_p(base + offset)
        operation = ctypes.c_uint32(_FUTEX_OP_XOR << 28 | value << 12)
        # Wakes nobody: zero waiters of either word.
        if syscall(number, word, _FUTEX_WAKE_OP_PRIVATE, 0, ctypes.c_void_p(0), word, operation):
            raise KernelError("futex on a cell", ctypes.get_errno())

    return xor


@attrs.frozen
class CellView:
    """What a cell says now."""

    index: int
    ifindex: int
    vlan: int
    state: int  # a CellState, or 7 for an instant after a race
    epoch: int
    generation: int
    instance_id: int
    deadline_ns: int
    last_beat_ns: int
    lladdr: bytes


def _at(index: int, member: str, width: int) -> int:
    return (index * CELL.size_bytes + CELL.offsets[member]) // width


@attrs.define
class Cells:
    """
    The array of cells. `xor` is `futex_xor` of the same memory, or a plain one in tests.

    No cell enters with an epoch below `least_epoch`. With the seconds of the wall clock there, a
    node that has lost its cells by a reboot comes back above all that others remember of it.
    """

    memory: memoryview
    xor: Callable[[int, int], None]
    least_epoch: int = 1
    _keys: bytes = attrs.field(init=False, default=bytes(32))
    _beats: BeatFlag = attrs.field(init=False, default=BeatFlag(0))
    _quads: memoryview = attrs.field(init=False)
    _words: memoryview = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._quads = self.memory.cast("Q")
        self._words = self.memory.cast("I")

    # -- reading ---------------------------------------------------------------------------------

    def view(self, index: int) -> CellView:
        """All of one cell; members may be of different instants."""
        found = CELL.unpack(self.memory, index * CELL.size_bytes)
        names = [field.name for field in attrs.fields(CellView) if field.name != "index"]
        return CellView(index, **{name: found[name] for name in names})  # type: ignore[arg-type]

    def used(self) -> list[CellView]:
        """Every cell that belongs to an interface."""
        return [self.view(n) for n in range(MAX_CELLS) if self._words[_at(n, "ifindex", 4)]]

    def state(self, index: int) -> int:
        """The state of a cell."""
        return self._words[_at(index, "state", 4)]

    def epoch(self, index: int) -> int:
        """The epoch of a cell."""
        return self._words[_at(index, "epoch", 4)]

    def fenced_epoch(self, index: int) -> int:
        """The highest claim that the program obeyed on a cell, 0 for none."""
        return self._words[_at(index, "fenced_epoch", 4)]

    # -- belonging -------------------------------------------------------------------------------

    def claim(
        self, ifindex: int, vlan: int, lladdr: bytes, *, instance_id: int, generation: int
    ) -> int | None:
        """
        The cell of (interface, VLAN), made if there is none; None when all are taken.

        A new one is RELEASED, with the epoch that the cell's last interface had: it only grows.
        """
        free = None
        for index in range(MAX_CELLS):
            owner = self._words[_at(index, "ifindex", 4)]
            if owner == ifindex and self._vlan(index) == vlan:
                self._sign(index, lladdr, instance_id, generation)
                return index
            if not owner and free is None:
                free = index
        if free is None:
            return None
        start = free * CELL.size_bytes
        self.memory[start : start + CELL.size_bytes] = CELL.pack(
            state=CellState.RELEASED,
            epoch=self.epoch(free),
            fenced_epoch=self.fenced_epoch(free),
            vlan=vlan,
        )
        self._sign(free, lladdr, instance_id, generation)
        self._unlock(free)
        self._words[_at(free, "ifindex", 4)] = ifindex
        return free

    def _vlan(self, index: int) -> int:
        at = index * CELL.size_bytes + CELL.offsets["vlan"]
        return int.from_bytes(self.memory[at : at + 2], "little")

    def _sign(self, index: int, lladdr: bytes, instance_id: int, generation: int) -> None:
        self._quads[_at(index, "instance_id", 8)] = instance_id
        self._quads[_at(index, "generation", 8)] = generation
        # One store: the program compares senders with it at any time. The pad behind is zero.
        self._quads[_at(index, "lladdr", 8)] = int.from_bytes(lladdr, "little")

    def set_keys(self, slots: bytes, *, is_open: bool) -> None:
        """
        Let every cell, also one made later, verify beats with two keys of 16 octets, `slots`.

        The first signs replies; an all-zero second is none. `is_open`: the ring has no key, and
        an all-zero first one is used; without it the program reflects nothing under such a key.
        """
        self._keys = slots
        self._beats = BeatFlag.OPEN if is_open else BeatFlag(0)
        for index in range(MAX_CELLS):
            if self._words[_at(index, "ifindex", 4)]:
                self._unlock(index)

    def _unlock(self, index: int) -> None:
        at = index * CELL.size_bytes + CELL.offsets["key"]
        self.memory[at : at + len(self._keys)] = self._keys
        self.memory[index * CELL.size_bytes + CELL.offsets["beats"]] = self._beats

    def free(self, index: int) -> None:
        """Give a cell back: its interface is gone."""
        self._words[_at(index, "state", 4)] = CellState.RELEASED
        self._words[_at(index, "ifindex", 4)] = 0

    # -- transitions -----------------------------------------------------------------------------

    def enter(self, index: int, *, now_ns: int, lease_ns: int, keep_epoch: bool) -> None:
        """
        Any state that does not answer -> OWNING. An owning cell stays as it is.

        The new epoch is above every claim that the cell has obeyed: a claim may be from before a
        reboot, when epochs were higher, and must not suspend it again.
        """
        if self.state(index) in _ANSWERING:
            return
        if not keep_epoch:
            highest = max(self.epoch(index), self.fenced_epoch(index))
            entered = max(highest + 1, self.least_epoch)
            self._words[_at(index, "epoch", 4)] = entered & 0xFFFF_FFFF
        self._quads[_at(index, "deadline_ns", 8)] = now_ns + lease_ns
        self._quads[_at(index, "last_beat_ns", 8)] = now_ns
        self.xor(_at(index, "epoch", 4) * 4, 0)
        self._words[_at(index, "state", 4)] = CellState.OWNING

    def push(self, index: int, *, now_ns: int, lease_ns: int) -> bool:
        """Push the deadline of an owning cell; False when it is no longer owning or had expired."""
        if self.state(index) != CellState.OWNING:
            return False
        deadline = _at(index, "deadline_ns", 8)
        if self._quads[deadline] <= now_ns:
            # Two non-answering states compete at worst: the program's SUSPENDED and this.
            self._words[_at(index, "state", 4)] = CellState.EXPIRED
            return False
        self._quads[deadline] = now_ns + lease_ns
        self._quads[_at(index, "last_beat_ns", 8)] = now_ns
        return self.state(index) == CellState.OWNING

    def hold(self, index: int, *, now_ns: int, until_ns: int) -> bool:
        """OWNING -> HOLDING until `until_ns`; False when the cell was lost before."""
        if not self.push(index, now_ns=now_ns, lease_ns=self._remaining(index, now_ns)):
            return False
        if not self._swap(index, CellState.HOLDING):
            return False
        self._quads[_at(index, "deadline_ns", 8)] = until_ns
        return True

    def adopt(self, index: int, *, now_ns: int, lease_ns: int) -> bool:
        """HOLDING or OWNING with time left -> OWNING under a lease; False when it was lost."""
        if self.state(index) == CellState.HOLDING:
            remaining = self._remaining(index, now_ns)
            if remaining <= 0:
                self._words[_at(index, "state", 4)] = CellState.EXPIRED
                return False
            # First the shorter deadline: if we die here, nobody owns for the length of a hold.
            self._quads[_at(index, "deadline_ns", 8)] = now_ns + min(remaining, lease_ns)
            if not self._swap(index, CellState.OWNING):
                return False
        return self.push(index, now_ns=now_ns, lease_ns=lease_ns)

    def release(self, index: int) -> None:
        """Any state -> RELEASED."""
        self._words[_at(index, "state", 4)] = CellState.RELEASED

    def end(self, index: int, state: CellState) -> None:
        """Any state -> SUSPENDED or EXPIRED, as a program of another layout had made it."""
        self._words[_at(index, "state", 4)] = state

    def note_fence(self, index: int, epoch: int) -> None:
        """A claim of `epoch` was obeyed."""
        if self.fenced_epoch(index) < epoch:
            self._words[_at(index, "fenced_epoch", 4)] = epoch

    def _remaining(self, index: int, now_ns: int) -> int:
        return self._quads[_at(index, "deadline_ns", 8)] - now_ns

    def _swap(self, index: int, wanted: CellState) -> bool:
        word = _at(index, "state", 4)
        self.xor(word * 4, _SWAP)
        found = self._words[word]
        if found in _AFTER_RACE:
            self._words[word] = _AFTER_RACE[found]
        return found == wanted
