"""From what is said about a VIP to what each attachment's slot says, and back. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import attrs

from speaker.dataplane.layout import Voice, VoiceFlag, pack_voice
from speaker.dataplane.tables import Row
from speaker.dataplane.values import Attachment, Vip, VipRow

# Said everywhere as they are: they are no claim to answer on one interface and not on another.
_EVERYWHERE: Final = frozenset({Voice.PASS, Voice.COUNT})
# When slots of one VIP differ, what the VIP as a whole is: the one that says most.
_STRONGEST: Final = (
    Voice.HELD,
    Voice.GIVEN,
    Voice.WEAK,
    Voice.COUNT,
    Voice.PASS,
    Voice.ELSEWHERE,
)


def is_advertised(row: VipRow, attachment: Attachment) -> bool:
    """Whether the VIP is answered for on this attachment when we hold it."""
    named = row.interfaces is None or attachment.name in row.interfaces
    return named and (row.vip.version == 4 or attachment.ndp)


def slot_voice(voice: Voice, *, advertised: bool) -> Voice:
    """What the slot on an attachment says of a VIP, advertised there or not."""
    return voice if advertised or voice in _EVERYWHERE else Voice.ELSEWHERE


def voice_word(row: VipRow, attachment: Attachment) -> int:
    """The voice of the VIP's slot on this attachment, as the number to be stored."""
    advertised = is_advertised(row, attachment)
    return word(attachment, row.voice, row.lladdr, advertised=advertised, listen=row.listen)


def word(
    attachment: Attachment, voice: Voice, lladdr: bytes | None, *, advertised: bool, listen: bool
) -> int:
    """As voice_word, of its parts; `lladdr` is the new holder's of a GIVEN one."""
    voice = slot_voice(voice, advertised=advertised)
    speaks = lladdr if voice is Voice.GIVEN and lladdr is not None else attachment.lladdr
    return pack_voice(voice, speaks, VoiceFlag.LISTEN if listen else VoiceFlag(0))


@attrs.frozen
class Found:
    """A slot as an earlier process left it."""

    ifname: str  # "" when the interface is gone
    row: Row


def adopt(vip: Vip, found: Iterable[Found]) -> VipRow:
    """
    What was said about a VIP, from its slots.

    Interfaces are named when it is advertised on some and ELSEWHERE on others; when ELSEWHERE on
    all, that is not known any more and None.
    """
    everything = list(found)
    slots = [slot for slot in everything if slot.ifname] or everything
    voices = {slot.row.voice >> 48 & 0xFF for slot in slots}
    voice = next((voice for voice in _STRONGEST if voice in voices), Voice.PASS)
    speaking = [slot for slot in slots if slot.row.voice >> 48 & 0xFF == voice]
    partly = Voice.ELSEWHERE in voices and voice is not Voice.ELSEWHERE
    word = speaking[0].row.voice if speaking else 0
    return VipRow(
        vip=vip,
        voice=voice,
        interfaces=frozenset(slot.ifname for slot in speaking) if partly else None,
        lladdr=word.to_bytes(8, "little")[:6] if voice is Voice.GIVEN else None,
        listen=bool(word >> 56 & VoiceFlag.LISTEN),
    )


def parse_key(key: bytes) -> tuple[int, int, Vip]:
    """(ifindex, VLAN, VIP) of a table's key."""
    address = key[6:]
    vip: Vip = IPv4Address(address) if len(address) == 4 else IPv6Address(address)
    return int.from_bytes(key[:4], "little"), int.from_bytes(key[4:6], "little"), vip


def adopt_all(
    rows: Mapping[bytes, Row], names: Mapping[tuple[int, int], str]
) -> tuple[dict[Vip, VipRow], dict[Vip, int]]:
    """
    VIPs of a table's rows, and the index of each one's counters.

    `names` maps (ifindex, VLAN) to the interface's name.
    """
    slots: dict[Vip, list[Found]] = {}
    stats: dict[Vip, int] = {}
    for key, row in rows.items():
        ifindex, vlan, vip = parse_key(key)
        slots.setdefault(vip, []).append(Found(names.get((ifindex, vlan), ""), row))
        stats[vip] = row.stat
    return {vip: adopt(vip, found) for vip, found in slots.items()}, stats
