"""`stentor status`: what the herald of this node sees and holds."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from speaker.appliers.herald import LinkDown, ask_counters, ask_view
from speaker.herald.link import SOCKET_NAME, Counters, View
from stentor.cli import options
from stentor.exits import ExitCode


@click.command()
@options.state_dir
@click.option("--json", "as_json", is_flag=True, help="The whole view as one JSON object.")
@click.option("--counters", "with_counters", is_flag=True, help="Counters of each VIP as well.")
def status(state_dir: Path, *, as_json: bool, with_counters: bool) -> None:
    """Show VIPs with their holders and reasons, interfaces, members. Exit code 69: no herald."""
    path = state_dir / SOCKET_NAME
    try:
        view = asyncio.run(ask_view(path))
        counters = asyncio.run(ask_counters(path)) if with_counters else None
    except LinkDown as exc:
        click.echo(f"stentor status: {exc}", err=True)
        sys.exit(ExitCode.UNAVAILABLE)
    if as_json:
        whole = {"view": view} if counters is None else {"view": view, "counters": counters}
        click.echo(msgspec.json.encode(whole))
        return
    click.echo(render(view, counters))


def render(view: View, counters: Counters | None) -> str:
    """Return the view as tables for a terminal."""
    state = "started" if view.started else "starting: holds nothing until the ring is merged"
    agent = ", agent silent" if view.agent_silent else ""
    parts = [
        f"node {view.node}: {state}{agent}, plan {view.plan_generation}",
        *([f"a stop would hand over: {view.hold_refusal}"] if view.hold_refusal else []),
        *(f"warning: {text}" for text in view.warnings),
        table(
            ("VIP", "HOLDER", "VOICE", "REASON"),
            [(s.vip, s.holder or "-", s.voice, s.reason) for s in view.seats],
        ),
        table(
            ("INTERFACE", "RUNG", "REASON", "LLADDR"),
            [(a.interface, a.rung, a.reason, a.lladdr) for a in view.attachments],
        ),
        table(
            ("MEMBER", "ADDRESS", "STATE", "STENTOR"),
            [(m.name, m.address, m.state, "yes" if m.stentor else "no") for m in view.members],
        ),
    ]
    if counters is not None:
        heads = ("VIP", "REQUESTS", "ANSWERS", "DROPS", "PACKETS", "BYTES", "ANNOUNCED")
        rows = [
            (
                v.vip,
                *map(str, (v.requests, v.answers, v.drops, v.packets, v.size_bytes, v.announced)),
            )
            for v in counters.vips
        ]
        parts.append(table(heads, rows))
    return "\n\n".join(parts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns under `heads`, or a line that says there are no rows."""
    if not rows:
        return f"{heads[0]}: none"
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    )
