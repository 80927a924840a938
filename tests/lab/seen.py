"""What lab tests look at."""

import subprocess

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
