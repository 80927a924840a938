"""What the nodes of a lab say about it: views of their heralds, asked over their sockets."""

import asyncio
from collections.abc import Mapping

import attrs

from speaker.appliers.herald import LinkDown, ask_counters, ask_view
from speaker.herald.link import SOCKET_NAME, Counters, View, VipCounters
from speaker.planners.election import ranked
from stentor.lab.lab import Lab
from stentor.lab.topology import Host

Row = tuple[str, ...]
NO_HOLDER = "-"


def view(lab: Lab, node: Host) -> View | None:
    """The view of a node's herald, None when it does not answer."""
    try:
        return asyncio.run(ask_view(lab.state_dir(node) / SOCKET_NAME))
    except LinkDown:
        return None


def counters(lab: Lab, node: Host) -> Counters | None:
    """The counters of a node, None when its herald does not answer."""
    try:
        return asyncio.run(ask_counters(lab.state_dir(node) / SOCKET_NAME))
    except LinkDown:
        return None


@attrs.frozen
class Holders:
    """Who answers for each VIP as every node sees it: VIP -> node asked -> holder it names."""

    by_vip: Mapping[str, Mapping[str, str | None]]
    silent: tuple[str, ...] = ()  # nodes whose herald did not answer

    def of(self, vip: str) -> str | None:
        """The holder that all nodes asked agree on, None where they do not or there is none."""
        named = set(self.by_vip.get(vip, {}).values())
        return named.pop() if len(named) == 1 else None

    @property
    def agreed(self) -> dict[str, str]:
        """VIP -> holder, for the VIPs that all nodes asked agree on."""
        return {vip: holder for vip in self.by_vip if (holder := self.of(vip)) is not None}


def holders(lab: Lab, nodes: tuple[Host, ...] | None = None) -> Holders:
    """Ask `nodes` (all by default) who holds what."""
    by_vip: dict[str, dict[str, str | None]] = {}
    silent = []
    for node in lab.topology.nodes if nodes is None else nodes:
        seen = view(lab, node)
        if seen is None:
            silent.append(node.name)
            continue
        for seat in seen.seats:
            by_vip.setdefault(seat.vip, {})[node.name] = seat.holder
    return Holders(by_vip, tuple(silent))


def planned_owners(lab: Lab) -> dict[str, str]:
    """VIP -> the node that ranks first for it, which owns it once the lab has settled."""
    names = [node.name for node in lab.topology.nodes]
    return {str(vip): ranked(names, pair[0], {})[0] for pair in lab.topology.vips for vip in pair}


def vip_table(lab: Lab) -> list[Row]:
    """One row per VIP: the holder by each node's view, and the counters of all nodes together."""
    seen = holders(lab)
    sums = totals(lab)
    rows: list[Row] = [
        ("VIP", *(f"BY {node.name}" for node in lab.topology.nodes), "ASKED", "ANSWERED", "DROPPED")
    ]
    for vip, named in seen.by_vip.items():
        count = sums.get(vip, VipCounters(vip))
        rows.append(
            (
                vip,
                *(named.get(node.name) or NO_HOLDER for node in lab.topology.nodes),
                str(count.requests),
                str(count.answers),
                str(count.drops),
            )
        )
    return rows


def totals(lab: Lab) -> dict[str, VipCounters]:
    """Requests, answers and drops of each VIP, summed over the nodes that answer."""
    sums: dict[str, VipCounters] = {}
    for node in lab.topology.nodes:
        seen = counters(lab, node)
        for one in seen.vips if seen is not None else ():
            so_far = sums.get(one.vip, VipCounters(one.vip))
            sums[one.vip] = VipCounters(
                one.vip,
                requests=so_far.requests + one.requests,
                answers=so_far.answers + one.answers,
                drops=so_far.drops + one.drops,
            )
    return sums


def node_table(lab: Lab) -> list[Row]:
    """One row per node: what runs, on which rung, how many VIPs it holds, whom it sees alive."""
    rows: list[Row] = [("NODE", "ADDRESS", "SPEAKER", "RUNG", "REASON", "HOLDS", "SEES ALIVE")]
    for node in lab.topology.nodes:
        seen = view(lab, node)
        running = "runs" if lab.speaker(node) is not None else "stopped"
        if seen is None:
            rows.append((node.name, str(node.v4), running, "?", "no herald answers", "?", "?"))
            continue
        held = sum(seat.holder == node.name for seat in seen.seats)
        alive = sorted(member.name for member in seen.members if member.state == "alive")
        rungs = ",".join(f"{at.interface}:{at.rung}" for at in seen.attachments) or NO_HOLDER
        reasons = ",".join(at.reason for at in seen.attachments) or NO_HOLDER
        rows.append((node.name, str(node.v4), running, rungs, reasons, str(held), " ".join(alive)))
    return rows


def render(rows: list[Row]) -> str:
    """Columns of a table, the first row being its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
