"""What the herald shows of itself, as messages of the link."""

from collections.abc import Iterable, Mapping

from speaker.dataplane import Attachment, VipCounters, VipRow
from speaker.gossip.outputs import Member
from speaker.herald import link
from speaker.herald.core import SeatView
from speaker.herald.frames import Vip


def seats(seen: Iterable[SeatView], rows: Mapping[Vip, VipRow]) -> tuple[link.SeatView, ...]:
    """Seats with the voice of their row; "none" for a VIP that is not in the table."""
    return tuple(
        link.SeatView(
            vip=str(seat.vip),
            holder=seat.holder,
            voice=rows[seat.vip].voice.name.lower() if seat.vip in rows else "none",
            reason=seat.reason.value,
            counter=seat.counter,
            foreign="" if seat.foreign is None else seat.foreign.hex(":"),
        )
        for seat in seen
    )


def members(seen: Iterable[Member], marker: bytes) -> tuple[link.Member, ...]:
    """Everybody in the ring, by name."""
    return tuple(
        link.Member(
            name=member.name,
            address=f"{member.address}:{member.port}",
            state=member.state.name.lower(),
            stentor=member.meta == marker,
        )
        for member in seen
    )


def attachments(seen: Iterable[Attachment]) -> tuple[link.AttachmentView, ...]:
    """Interfaces that answer, and those that should and cannot."""
    return tuple(
        link.AttachmentView(
            interface=item.name,
            ifindex=item.ifindex,
            rung=item.rung.value,
            reason=item.reason.value,
            lladdr=item.lladdr.hex(":"),
            detail=item.detail,
        )
        for item in seen
    )


def warnings(
    planned: Mapping[Vip, frozenset[str] | None],
    attached: Iterable[Attachment],
    refused: Mapping[str, str],
) -> tuple[str, ...]:
    """Say what keeps planned VIPs from being announced, one sentence for each interface."""
    served = {item.name for item in attached if item.rung.value != "none"}
    missing: dict[str, int] = {}
    for interfaces in planned.values():
        for name in (interfaces or frozenset()) - served:
            missing[name] = missing.get(name, 0) + 1
    sentences = []
    for name, count in sorted(missing.items()):
        why = refused.get(name, "it does not exist on this node")
        sentences.append(f"interface {name} is advertised for {count} VIPs but not served: {why}")
    if not served:
        sentences.append("no interface is served: nothing is announced from this node")
    return tuple(sentences)


def counters(
    table: Mapping[Vip, VipCounters],
    announced: Mapping[Vip, int],
    exits: Mapping[str, int],
    *counts: Mapping[str, int],
) -> link.Counters:
    """Counters of the data plane and the herald; `counts` are merged."""
    vips = tuple(
        link.VipCounters(
            vip=str(vip),
            requests=item.requests,
            answers=item.answers,
            drops=item.drops,
            packets=item.packets,
            size_bytes=item.bytes,
            announced=announced.get(vip, 0),
        )
        for vip, item in table.items()
    )
    merged: dict[str, int] = {}
    for each in counts:
        merged.update(each)
    return link.Counters(vips, dict(exits), merged)
