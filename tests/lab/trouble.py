"""What goes wrong with a node or its network inside a `with` block, and is put right after it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from stentor.lab import chaos_strike, flood
from stentor.lab.lab import Lab, python_path
from stentor.lab.network import processes_in, run
from stentor.lab.topology import Host

FLOOD_RATE = 10_000  # of each kind, each second
FLOOD_S = 30.0  # at most; it ends with the `with` block


@contextmanager
def frozen(node: Host) -> Iterator[None]:
    """No process of the node runs; its kernel does."""
    pids = processes_in(node.namespace)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        chaos_strike.thaw(pids)


@contextmanager
def rules(namespace: str, family: str, hook: str, rule: str) -> Iterator[None]:
    """One rule of nftables in a namespace."""
    nft = ["ip", "netns", "exec", namespace, "nft"]
    try:
        run([*nft, "add", "table", family, "st"])
        run(
            [*nft, "add", "chain", family, "st", hook, f"{{ type filter hook {hook} priority 0; }}"]
        )
        run([*nft, "add", "rule", family, "st", hook, *rule.split()])
        yield
    finally:
        run([*nft, "delete", "table", family, "st"])


@contextmanager
def udp_filtered(node: Host, ports: str, verdict: str) -> Iterator[None]:
    """Datagrams to `ports` neither reach the node nor leave it."""
    with ExitStack() as stack:
        stack.enter_context(rules(node.namespace, "inet", "input", f"udp dport {ports} {verdict}"))
        nft = ["ip", "netns", "exec", node.namespace, "nft"]
        run(
            [
                *nft,
                "add",
                "chain",
                "inet",
                "st",
                "output",
                "{ type filter hook output priority 0; }",
            ]
        )
        run([*nft, "add", "rule", "inet", "st", "output", "udp", "dport", *ports.split(), verdict])
        yield


@contextmanager
def one_way(lab: Lab, node: Host, direction: str) -> Iterator[None]:
    """The switch drops what comes from a node ("iifname") or goes to it ("oifname"), not both."""
    with rules(lab.topology.switch, "bridge", "forward", f"{direction} {node.name} drop"):
        yield


@contextmanager
def flooded(lab: Lab, node: Host) -> Iterator[None]:
    """Garbage of every kind reaches a node, from a host that is none."""
    enter = ["ip", "netns", "exec", lab.topology.client.namespace]
    processes = [
        subprocess.Popen(
            [
                *enter,
                *(sys.executable, "-m", "stentor.lab.flood", kind),
                *(str(FLOOD_RATE), str(FLOOD_S), node.lladdr_text, str(node.v4)),
            ],
            env={**os.environ, "PYTHONPATH": python_path()},
            stdout=subprocess.DEVNULL,
        )
        for kind in flood.KINDS
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
