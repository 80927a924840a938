"""What lab tests look at."""

import contextlib
import subprocess
from typing import Any

import msgspec

from speaker.herald.frames import Vip
from stentor.lab import views
from stentor.lab.lab import Lab
from stentor.lab.topology import Host


def settled(lab: Lab) -> dict[str, str]:
    """VIP -> owner once every node names the owner that the plan ranks first; else empty."""
    now = views.holders(lab)
    planned = views.planned_owners(lab)
    return planned if not now.silent and planned.items() <= now.agreed.items() else {}


def owner_of(lab: Lab, vip: Vip) -> Host:
    """The node that owns a VIP of a settled lab."""
    return lab.topology.node(settled(lab)[str(vip)])


def moved_from(lab: Lab, *names: str) -> dict[str, str]:
    """VIP -> owner once all other nodes agree on owners that are none of `names`; else empty."""
    others = tuple(node for node in lab.topology.nodes if node.name not in names)
    now = views.holders(lab, others)
    whole = not now.silent and len(now.agreed) == 2 * len(lab.topology.vips)
    return now.agreed if whole and not set(names) & set(now.agreed.values()) else {}


def events(lab: Lab, node: Host, event: str) -> list[dict[str, Any]]:
    """What a node has logged under that name, oldest first."""
    entries = []
    for line in lab.log(node).read_bytes().splitlines():
        with contextlib.suppress(msgspec.MsgspecError):
            entry = msgspec.json.decode(line)
            if isinstance(entry, dict) and entry.get("event") == event:
                entries.append(entry)
    return entries


def exits(lab: Lab, node: Host, name: str) -> int:
    """How many frames have left a node's program that way."""
    counters = views.counters(lab, node)
    assert counters is not None
    return counters.exits.get(name, 0)


def in_namespace(host: Host, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a host's namespace to its end."""
    return subprocess.run(
        ["ip", "netns", "exec", host.namespace, *command],
        capture_output=True,
        text=True,
        check=False,
    )


def neighbour(lab: Lab, vip: Vip) -> str:
    """
    The LLADDR that the client's kernel finds for `vip` when it has to ask anew; "" for none.

    One ping makes it ask; `ip neigh` shows what it learnt.
    """
    client = lab.topology.client
    in_namespace(client, "ip", "neigh", "flush", "to", str(vip))
    in_namespace(client, "ping", "-c", "1", "-W", "1", str(vip))
    words = in_namespace(client, "ip", "neigh", "show", "to", str(vip)).stdout.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""
