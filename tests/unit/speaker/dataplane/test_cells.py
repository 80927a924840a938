"""Cells: who may store what, and what a race between herald and program ends in."""

import mmap
import platform
from collections.abc import Callable

import pytest

from speaker.dataplane.cells import _SYS_FUTEX, Cells, futex_xor
from speaker.dataplane.layout import CELL, MAX_CELLS, CellState

LEASE_NS = 3_000
LLADDR = bytes.fromhex("020000000001")


def plain_xor(memory: memoryview) -> Callable[[int, int], None]:
    def xor(offset: int, value: int) -> None:
        word = int.from_bytes(memory[offset : offset + 4], "little") ^ value
        memory[offset : offset + 4] = word.to_bytes(4, "little")

    return xor


@pytest.fixture
def memory() -> memoryview:
    return memoryview(bytearray(MAX_CELLS * CELL.size_bytes))


@pytest.fixture
def cells(memory: memoryview) -> Cells:
    return Cells(memory, plain_xor(memory))


def claim(cells: Cells, ifindex: int = 7, vlan: int = 0) -> int:
    index = cells.claim(ifindex, vlan, LLADDR, instance_id=11, generation=2)
    assert index is not None
    return index


def owning(cells: Cells, now_ns: int = 1_000) -> int:
    index = claim(cells)
    cells.enter(index, now_ns=now_ns, lease_ns=LEASE_NS, keep_epoch=False)
    return index


def by_program(cells: Cells, index: int, state: CellState) -> None:
    """What the program's compare-and-swap leaves behind."""
    cells.memory.cast("I")[(index * CELL.size_bytes + CELL.offsets["state"]) // 4] = state


def test_a_new_cell_is_released_and_signed(cells: Cells) -> None:
    view = cells.view(claim(cells, 9, 20))

    assert (view.ifindex, view.vlan, view.lladdr) == (9, 20, LLADDR)
    assert (view.state, view.instance_id, view.generation) == (CellState.RELEASED, 11, 2)


def test_the_same_interface_gets_the_same_cell(cells: Cells) -> None:
    first = claim(cells, 9)

    assert claim(cells, 9, 20) != first
    assert claim(cells, 9) == first


def test_more_interfaces_than_cells_are_refused(cells: Cells) -> None:
    for ifindex in range(1, MAX_CELLS + 1):
        claim(cells, ifindex)

    refused = cells.claim(MAX_CELLS + 1, 0, LLADDR, instance_id=1, generation=1)

    assert refused is None


def test_an_epoch_never_falls_when_a_cell_changes_hands(cells: Cells) -> None:
    index = owning(cells)
    cells.free(index)

    assert claim(cells, 99) == index

    assert cells.epoch(index) == 1


def test_a_push_moves_the_deadline(cells: Cells) -> None:
    index = owning(cells, 1_000)

    assert cells.push(index, now_ns=2_000, lease_ns=LEASE_NS)

    assert cells.view(index).deadline_ns == 5_000
    assert cells.view(index).last_beat_ns == 2_000


def test_a_push_at_or_after_the_deadline_expires_instead(cells: Cells) -> None:
    """OWNERSHIP.md 7: whoever slept through its lease has lost it, even if no frame noticed."""
    index = owning(cells, 1_000)

    assert not cells.push(index, now_ns=4_000, lease_ns=LEASE_NS)

    assert cells.state(index) == CellState.EXPIRED
    assert cells.view(index).deadline_ns == 4_000


@pytest.mark.parametrize("state", [CellState.SUSPENDED, CellState.EXPIRED])
def test_a_push_never_wakes_what_the_program_silenced(cells: Cells, state: CellState) -> None:
    index = owning(cells)
    by_program(cells, index, state)

    assert not cells.push(index, now_ns=2_000, lease_ns=LEASE_NS)

    assert cells.state(index) == state


@pytest.mark.parametrize("state", [CellState.SUSPENDED, CellState.EXPIRED])
def test_entering_again_raises_the_epoch(cells: Cells, state: CellState) -> None:
    index = owning(cells)
    by_program(cells, index, state)

    cells.enter(index, now_ns=9_000, lease_ns=LEASE_NS, keep_epoch=False)

    view = cells.view(index)
    assert (view.state, view.epoch, view.deadline_ns) == (CellState.OWNING, 2, 12_000)


def test_entering_without_a_witness_keeps_the_epoch(cells: Cells) -> None:
    """OWNERSHIP.md 6: with nobody for a second a cell re-enters without raising it."""
    index = owning(cells)
    by_program(cells, index, CellState.SUSPENDED)

    cells.enter(index, now_ns=9_000, lease_ns=LEASE_NS, keep_epoch=True)

    assert cells.epoch(index) == 1


def test_entering_an_owning_cell_changes_nothing(cells: Cells) -> None:
    index = owning(cells, 1_000)

    cells.enter(index, now_ns=2_000, lease_ns=LEASE_NS, keep_epoch=False)

    assert cells.epoch(index) == 1
    assert cells.view(index).deadline_ns == 4_000


def test_a_hold_ends_by_itself_and_adoption_brings_the_lease_back(cells: Cells) -> None:
    index = owning(cells, 1_000)

    assert cells.hold(index, now_ns=2_000, until_ns=32_000)
    assert cells.state(index) == CellState.HOLDING
    assert cells.view(index).deadline_ns == 32_000
    assert cells.adopt(index, now_ns=10_000, lease_ns=LEASE_NS)

    view = cells.view(index)
    assert (view.state, view.epoch, view.deadline_ns) == (CellState.OWNING, 1, 13_000)


def test_a_hold_that_is_over_is_not_adopted(cells: Cells) -> None:
    index = owning(cells, 1_000)
    cells.hold(index, now_ns=2_000, until_ns=32_000)

    assert not cells.adopt(index, now_ns=32_000, lease_ns=LEASE_NS)

    assert cells.state(index) == CellState.EXPIRED


@pytest.mark.parametrize("state", [CellState.SUSPENDED, CellState.EXPIRED])
@pytest.mark.parametrize("act", ["hold", "adopt"])
def test_a_fence_just_before_the_swap_stands(
    memory: memoryview, state: CellState, act: str
) -> None:
    """The program's compare-and-swap lands between our look at the state and our swap."""
    plain = plain_xor(memory)

    raced = Cells(memory, plain)

    def late_xor(offset: int, value: int) -> None:
        if value:
            by_program(raced, 0, state)
        plain(offset, value)
        if value:
            assert raced.state(0) not in {CellState.OWNING, CellState.HOLDING}

    index = owning(raced, 1_000)
    if act == "adopt":
        raced.hold(index, now_ns=1_500, until_ns=30_000)
    raced.xor = late_xor

    if act == "hold":
        assert not raced.hold(index, now_ns=2_000, until_ns=30_000)
    else:
        assert not raced.adopt(index, now_ns=2_000, lease_ns=LEASE_NS)

    assert raced.state(index) == state


@pytest.mark.skipif(platform.machine() not in _SYS_FUTEX, reason="no futex number known")
def test_the_kernels_xor_changes_one_word_of_shared_memory() -> None:
    shared = memoryview(mmap.mmap(-1, 4096))
    shared[4:12] = bytes([1, 0, 0, 0, 9, 9, 9, 9])

    futex_xor(shared)(4, 3)

    assert bytes(shared[:12]) == bytes([0, 0, 0, 0, 2, 0, 0, 0, 9, 9, 9, 9])


def keys_of(cells: Cells, index: int) -> tuple[object, object]:
    row = CELL.unpack(cells.memory, index * CELL.size_bytes)
    return row["key"], row["beats"]


def test_every_cell_gets_the_keys_of_beats_also_a_later_one(cells: Cells) -> None:
    slots = bytes(range(32))
    before = claim(cells, 7)

    cells.set_keys(slots, is_open=False)
    after = claim(cells, 8)

    assert keys_of(cells, before) == keys_of(cells, after) == (slots, 0)


def test_a_free_cell_gets_no_keys(cells: Cells) -> None:
    cells.set_keys(bytes(range(32)), is_open=False)

    assert keys_of(cells, 0) == (bytes(32), 0)


def test_a_ring_without_a_key_says_so_in_its_cells(cells: Cells) -> None:
    index = claim(cells)
    cells.set_keys(bytes(32), is_open=True)
    opened = keys_of(cells, index)

    cells.set_keys(bytes(range(32)), is_open=False)

    assert opened == (bytes(32), 1)
    assert keys_of(cells, index) == (bytes(range(32)), 0)


def test_a_cell_claimed_again_keeps_the_keys_of_the_herald_before(memory: memoryview) -> None:
    first = Cells(memory, plain_xor(memory))
    index = claim(first)
    first.set_keys(bytes(range(32)), is_open=False)

    claim(Cells(memory, plain_xor(memory)))

    assert keys_of(first, index) == (bytes(range(32)), 0)


@pytest.mark.parametrize(("fenced", "entered"), [(0, 2), (1, 2), (2, 3), (40, 41)])
def test_a_new_epoch_is_above_every_claim_that_was_obeyed(
    cells: Cells, fenced: int, entered: int
) -> None:
    index = owning(cells)
    by_program(cells, index, CellState.SUSPENDED)
    cells.memory.cast("I")[(index * CELL.size_bytes + CELL.offsets["fenced_epoch"]) // 4] = fenced

    cells.enter(index, now_ns=2_000, lease_ns=LEASE_NS, keep_epoch=False)

    assert cells.epoch(index) == entered


def test_a_cell_that_is_new_after_a_reboot_enters_above_what_it_was(cells: Cells) -> None:
    """Pins are gone by then, and others fence the epoch of before."""
    cells.least_epoch = 1_795_000_000
    index = owning(cells)
    assert cells.epoch(index) == 1_795_000_000

    by_program(cells, index, CellState.SUSPENDED)
    cells.enter(index, now_ns=2_000, lease_ns=LEASE_NS, keep_epoch=False)

    assert cells.epoch(index) == 1_795_000_001


def test_the_highest_claim_is_kept_when_a_cell_changes_hands(cells: Cells) -> None:
    index = owning(cells)
    cells.memory.cast("I")[(index * CELL.size_bytes + CELL.offsets["fenced_epoch"]) // 4] = 40
    cells.free(index)

    assert claim(cells, 99) == index

    assert cells.fenced_epoch(index) == 40
