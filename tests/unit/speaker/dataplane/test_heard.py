"""Who was heard, out of the memory that the program writes."""

from hypothesis import given
from hypothesis import strategies as st

from speaker.dataplane.heard import HeardBeat, HeardBeats
from speaker.dataplane.layout import HEARD, MAX_CELLS, MAX_HEARD, heard_index

LLADDR = bytes.fromhex("020000000077")
senders = st.integers(1, 2**64 - 1)
cells = st.integers(0, MAX_CELLS - 1)


def by_program(notes: HeardBeats, sender: int, cell: int, flags: int = 0) -> None:
    at = heard_index(sender, cell) * HEARD.size_bytes
    notes.memory[at : at + HEARD.size_bytes] = HEARD.pack(
        sender=sender, heard_ns=5, sent_ns=6, lladdr=LLADDR, flags=flags, cell=cell
    )


def empty() -> HeardBeats:
    return HeardBeats(memoryview(bytearray(MAX_HEARD * HEARD.size_bytes)))


def test_nobody_was_heard_at_first() -> None:
    assert empty().all() == []
    assert empty().of(1, 0) is None


@given(senders, cells, st.integers(0, 7))
def test_what_the_program_noted_is_found(sender: int, cell: int, flags: int) -> None:
    notes = empty()
    by_program(notes, sender, cell, flags)

    expected = HeardBeat(
        sender=sender, cell=cell, heard_ns=5, sent_ns=6, lladdr=LLADDR,
        has_witness=bool(flags & 1), claims=bool(flags & 2), hears=bool(flags & 4),
    )  # fmt: skip
    assert notes.of(sender, cell) == expected
    assert notes.all() == [expected]


def test_another_in_its_place_is_not_taken_for_it() -> None:
    notes = empty()
    place = heard_index(1, 0)
    other = next(n for n in range(2, 100_000) if heard_index(n, 0) == place)
    by_program(notes, other, 0)

    assert notes.of(1, 0) is None
    assert notes.of(other, 0) is not None


def test_the_same_instance_on_another_cell_is_another_note() -> None:
    notes = empty()
    by_program(notes, 1, 3)

    assert notes.of(1, 2) is None
