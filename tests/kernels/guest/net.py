"""
The network of a guest: cards by name, a client's namespace at the other ends, all taken back.

Every card of the node has a card of the client on its segment:

    node     v0   e0   b0   b1
    client   cv   ce   cb0  cb1
"""

import ctypes
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

CLIENT: Final = "st-client"
CARDS: Final = {
    "02:00:00:00:01:01": "v0",
    "02:00:00:00:01:02": "e0",
    "02:00:00:00:01:03": "b0",
    "02:00:00:00:01:04": "b1",
    "02:00:00:00:02:01": "cv",
    "02:00:00:00:02:02": "ce",
    "02:00:00:00:02:03": "cb0",
    "02:00:00:00:02:04": "cb1",
}
MODULES: Final = ("virtio_net", "e1000", "veth", "dummy", "8021q", "bridge", "vrf")
_CLONE_NEWNET: Final = 0x4000_0000  # sched.h
_GONE_S: Final = 30.0
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(*words: str, check: bool = True) -> str:
    """Run a command; its output."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def load() -> None:
    """Load the drivers; once for a guest."""
    run("modprobe", "-a", *MODULES)
    # Loading makes a bond0 unless told otherwise.
    run("modprobe", "bonding", "max_bonds=0")


def reset() -> None:
    """Cards with their names, down and without addresses; the client's cards in its namespace."""
    run("ip", "netns", "del", CLIENT, check=False)
    made = [
        link["ifname"]
        for link in json.loads(run("ip", "-json", "-details", "link"))
        if link.get("linkinfo", {}).get("info_kind")
    ]
    _batch([f"link del {name}" for name in made], force=True)  # one may take another along
    deadline = time.monotonic() + _GONE_S
    while len(cards := _cards()) < len(CARDS):  # a namespace gives its cards back a little later
        if time.monotonic() > deadline:
            raise RuntimeError(f"cards {sorted(CARDS.values())} wanted, {cards} there")
        time.sleep(0.05)
    run("ip", "netns", "add", CLIENT)
    for namespace in ((), ("ip", "netns", "exec", CLIENT)):
        run(*namespace, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    lines = ["addr flush dev lo scope global"]
    for lladdr, found in cards.items():
        name = CARDS[lladdr]
        lines.append(f"link set {found} down nomaster address {lladdr} mtu 1500 name {name}")
        lines.append(f"addr flush dev {name}")
        if name.startswith("c"):
            lines.append(f"link set {name} netns {CLIENT}")
    _batch(lines)
    # Promiscuous: else a card filters the tags of VLANs that its system does not know.
    ours = (name for name in CARDS.values() if name.startswith("c"))
    _batch(["link set lo up", *(f"link set {name} up promisc on" for name in ours)], "-n", CLIENT)


def _batch(lines: list[str], *options: str, force: bool = False) -> None:
    """Many commands of ip(8) in one process: each start of one takes a tenth of a second here."""
    flags = (*options, *(["-force"] if force else []), "-batch", "-")
    done = subprocess.run(
        ["ip", *flags], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    if done.returncode and not force:
        raise RuntimeError(f"ip {lines}: {done.stderr}")


def _cards() -> dict[str, str]:
    """Names of the cards now, by the LLADDR that they are made with."""
    links = json.loads(run("ip", "-json", "link"))
    burnt_in = {link.get("permaddr", link["address"]): link["ifname"] for link in links}
    return {lladdr: name for lladdr, name in burnt_in.items() if lladdr in CARDS}


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread in a network namespace; "" for the one where it is."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY) if namespace else os.dup(home)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(home)
        os.close(there)


def _setns(fd: int) -> None:
    if _LIBC.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
