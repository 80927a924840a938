"""Tables of VIPs in memory: what the program would find is what was said, whatever happened."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from speaker.dataplane.layout import SLOT4, SLOT6, Voice, hash4, hash6, probes
from speaker.dataplane.tables import (
    IPV4,
    IPV6,
    CrowdedError,
    Family,
    Half,
    Row,
    Table,
    halves,
    place,
)

SLOTS = 16


def find(half: Half, key: bytes) -> Row | None:
    """Look up as bpf/include/maps.h does, from the octets alone."""
    layout, hashed = (SLOT4, hash4) if half.family is IPV4 else (SLOT6, hash6)
    ifindex, vlan = struct.unpack_from("<IH", key)
    address = key[6:]
    for at in probes(hashed(ifindex, vlan, address), half.slots - 1):
        slot = layout.unpack(half.buffer, (half.base + at) * layout.size_bytes)
        if slot["ifindex"] == 0:
            return None
        if (slot["ifindex"], slot["vlan"], slot["addr"]) == (ifindex, vlan, address):
            octets = slot["voice"]
            assert isinstance(octets, bytes)
            if octets[6] != Voice.DEAD:
                assert isinstance(slot["cell"], int)
                assert isinstance(slot["stat"], int)
                return Row(int.from_bytes(octets, "little"), slot["cell"], slot["stat"])
    return None


def new_table(family: Family, slots: int = SLOTS) -> tuple[Table, Half]:
    live, spare = halves(family, memoryview(bytearray(2 * slots * family.stride)))
    return Table(live), spare


def drain(filling: Iterator[None]) -> None:
    for _ in filling:
        pass


def grown(family: Family, slots: int) -> Half:
    return halves(family, memoryview(bytearray(2 * slots * family.stride)))[0]


def v4(number: int) -> bytes:
    return place(7, 0) + bytes((192, 0, 2, number))


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["v4", "v6"])
def test_a_row_is_found_by_the_programs_own_search(family: Family) -> None:
    table, _ = new_table(family)
    key = place(7, 20) + bytes(range(family.address_bytes))

    table.set(key, Row(voice=Voice.HELD << 48 | 0xAABB, cell=3, stat=9))

    assert Row(Voice.HELD << 48 | 0xAABB, 3, 9) == find(table.live, key)


@pytest.mark.parametrize("family", [IPV4, IPV6], ids=["v4", "v6"])
def test_same_address_on_another_vlan_is_another_row(family: Family) -> None:
    table, _ = new_table(family)
    address = bytes(range(family.address_bytes))

    table.set(place(7, 20) + address, Row(1 << 48, 0, 0))

    assert find(table.live, place(7, 0) + address) is None
    assert find(table.live, place(8, 20) + address) is None


def test_a_dropped_key_that_returns_takes_its_old_slot() -> None:
    """Otherwise a VIP that comes and goes would fill the table with dead slots."""
    table, _ = new_table(IPV4)
    for _ in range(50):
        table.set(v4(1), Row(1 << 48, 0, 0))
        table.drop(v4(1))

    assert table.live.taken == 1
    assert not table.wants_rebuild


def test_a_filled_half_refuses_more_keys_than_it_can_chain() -> None:
    table, _ = new_table(IPV4, slots=64)
    for number in range(40):
        table.set(v4(number), Row(1 << 48, 0, number))
    tiny = grown(IPV4, 16)

    with pytest.raises(CrowdedError, match="16 slots"):
        drain(table.fill(tiny))

    assert table.wants_growth
    assert Row(1 << 48, 0, 5) == find(table.live, v4(5))


def test_a_later_process_reads_what_an_earlier_one_left() -> None:
    table, _ = new_table(IPV6)
    gone, stays = (place(9, 0) + bytes(15) + bytes((n,)) for n in (1, 2))
    table.set(gone, Row(1 << 48, 0, 0))
    table.set(stays, Row(3 << 48, 4, 5))
    table.drop(gone)

    second = Half(IPV6, table.live.buffer, 0, SLOTS)
    second.read()

    assert [stays] == list(second.where)
    assert Row(3 << 48, 4, 5) == second.row(stays)
    assert second.taken == 2


class TableAgainstDict(RuleBasedStateMachine):
    """Additions, flips, removals, fills in slices and growth, in any order, against a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.spare = new_table(IPV4)
        self.said: dict[bytes, Row] = {}
        self.target: Half | None = None
        self.filling: Iterator[None] | None = None

    numbers = st.integers(0, 40)
    voices = st.sampled_from([int(v) for v in Voice if v is not Voice.DEAD])

    @rule(number=numbers, voice=voices, cell=st.integers(0, 3))
    def say(self, number: int, voice: int, cell: int) -> None:
        known = self.said.get(v4(number))
        row = Row(voice << 48 | 0x1234, cell, known.stat if known else number)
        self.table.set(v4(number), row)
        self.said[v4(number)] = row

    @rule(number=numbers, voice=voices)
    def flip(self, number: int, voice: int) -> None:
        self.table.flip_all([v4(number)], voice << 48)
        if v4(number) in self.said:
            old = self.said[v4(number)]
            self.said[v4(number)] = Row(voice << 48, old.cell, old.stat)

    @rule(number=numbers)
    def drop(self, number: int) -> None:
        self.table.drop(v4(number))
        self.said.pop(v4(number), None)

    @precondition(lambda self: self.filling is None)
    @rule(grow=st.booleans())
    def begin_fill(self, grow: bool) -> None:
        self.target = grown(IPV4, self.table.live.slots * 2) if grow else self.spare
        self.filling = self.table.fill(self.target, slice_keys=3)

    @precondition(lambda self: self.filling is not None)
    @rule()
    def one_slice(self) -> None:
        assert self.filling is not None
        try:
            next(self.filling)
        except StopIteration:
            old = self.table.live
            self.table.publish()
            # A map has two halves: after growth the spare is the other one of the new map.
            if self.target is self.spare:
                self.spare = old
            else:
                self.spare = grown(IPV4, self.table.live.slots)
            self.filling = None
        except CrowdedError:
            self.filling = None

    @invariant()
    def the_program_finds_what_was_said(self) -> None:
        for number in range(41):
            key = v4(number)
            expected = None if key in self.table.waiting else self.said.get(key)
            assert expected == find(self.table.live, key)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert len(self.said) == len(self.table)
        for key, row in self.said.items():
            assert row == self.table.row(key)

    def teardown(self) -> None:
        """Growth alone always ends with every row visible."""
        slots = self.table.live.slots
        while self.table.waiting:
            slots *= 2
            try:
                drain(self.table.fill(grown(IPV4, slots)))
            except CrowdedError:
                continue
            self.table.publish()
        for key, row in self.said.items():
            assert row == find(self.table.live, key)


TestTableAgainstDict = TableAgainstDict.TestCase
TestTableAgainstDict.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
