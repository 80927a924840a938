"""From a VIP's row to slots and back."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.dataplane.layout import Voice, VoiceFlag, pack_voice
from speaker.dataplane.rows import adopt_all, voice_word
from speaker.dataplane.tables import Row, place
from speaker.dataplane.values import Attachment, Rung, RungReason, VipRow

OURS = bytes.fromhex("020000000001")
THEIRS = bytes.fromhex("0200000000ff")
VIP = ip_address("192.0.2.200")
VIP6 = ip_address("2001:db8::200")


def at(name: str, ifindex: int, *, ndp: bool = True) -> Attachment:
    return Attachment(name, ifindex, 0, OURS, Rung.NATIVE, RungReason.REQUESTED, ndp=ndp)


ETH0, ETH1 = at("eth0", 2), at("eth1", 3)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        pytest.param(VipRow(VIP, Voice.HELD), pack_voice(Voice.HELD, OURS), id="held"),
        pytest.param(
            VipRow(VIP, Voice.GIVEN, None, THEIRS),
            pack_voice(Voice.GIVEN, THEIRS),
            id="given_answers_with_the_new_holders_lladdr",
        ),
        pytest.param(
            VipRow(VIP, Voice.HELD, frozenset({"eth1"})),
            pack_voice(Voice.ELSEWHERE, OURS),
            id="held_but_not_advertised_here_is_dropped_here",
        ),
        pytest.param(
            VipRow(VIP, Voice.COUNT, frozenset({"eth1"})),
            pack_voice(Voice.COUNT, OURS),
            id="counted_everywhere",
        ),
        pytest.param(
            VipRow(VIP, Voice.ELSEWHERE, listen=True),
            pack_voice(Voice.ELSEWHERE, OURS, VoiceFlag.LISTEN),
            id="listens",
        ),
    ],
)
def test_a_slot_says_what_the_row_means_here(row: VipRow, word: int) -> None:
    assert voice_word(row, ETH0) == word


def test_an_ipv6_vip_is_not_answered_without_a_link_local_address() -> None:
    word = voice_word(VipRow(VIP6, Voice.HELD), at("eth0", 2, ndp=False))

    assert word == pack_voice(Voice.ELSEWHERE, OURS)


interfaces = st.sampled_from([None, frozenset({"eth0"}), frozenset({"eth1"})])
voices = st.sampled_from([Voice.HELD, Voice.GIVEN, Voice.WEAK])


@given(vip=st.sampled_from([VIP, VIP6]), voice=voices, names=interfaces, listen=st.booleans())
def test_a_successor_reads_the_row_that_was_said(
    vip: object, voice: Voice, names: frozenset[str] | None, listen: bool
) -> None:
    assert vip in {VIP, VIP6}
    lladdr = THEIRS if voice is Voice.GIVEN else None
    row = VipRow(VIP if vip == VIP else VIP6, voice, names, lladdr, listen)
    slots = {
        place(each.ifindex, 0) + row.vip.packed: Row(voice_word(row, each), 0, 5)
        for each in (ETH0, ETH1)
    }

    rows, stats = adopt_all(slots, {(2, 0): "eth0", (3, 0): "eth1"})

    assert rows == {row.vip: row}
    assert stats == {row.vip: 5}


def test_slots_of_an_interface_that_is_gone_say_nothing() -> None:
    held = Row(pack_voice(Voice.HELD, OURS), 0, 5)
    gone = Row(pack_voice(Voice.ELSEWHERE, OURS), 1, 5)

    rows, _ = adopt_all(
        {place(2, 0) + VIP.packed: held, place(9, 0) + VIP.packed: gone}, {(2, 0): "eth0"}
    )

    assert rows == {VIP: VipRow(VIP, Voice.HELD)}
