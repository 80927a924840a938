"""Namespaces for the data plane: a node and a client, joined by a veth whose far end runs XDP."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

# At the far end of a veth XDP_TX vanishes unless a program is there too.
PASS_PROGRAM = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int st_pass(struct xdp_md *ctx) { return XDP_PASS; }
char license_text[] SEC("license") = "GPL";
"""


def run(*words: str, check: bool = True) -> str:
    """Run a command; its output, or CalledProcessError with it."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def compile_pass(folder: Path) -> Path:
    """An object with one XDP program that passes everything."""
    source, built = folder / "pass.c", folder / "pass.o"
    source.write_text(PASS_PROGRAM)
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    run("clang", "-O2", "-g", "-target", "bpf", "-I", include, "-c", str(source), "-o", str(built))
    return built


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and threads it starts, in a network namespace."""
    with (
        Path("/proc/self/ns/net").open("rb") as home,
        Path(f"/run/netns/{namespace}").open("rb") as there,
    ):
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def _setns(fd: int) -> None:
    if _LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@attrs.frozen
class Pair:
    """Two namespaces and what joins them. Interfaces are called eth0 in both."""

    node: str
    client: str
    bpffs: Path
    state_dir: Path
    pass_object: Path

    def in_node(self, *words: str, check: bool = True) -> str:
        """Run a command on the node."""
        return run("ip", "netns", "exec", self.node, *words, check=check)

    def in_client(self, *words: str, check: bool = True) -> str:
        """Run a command on the client."""
        return run("ip", "netns", "exec", self.client, *words, check=check)

    def add_link(self, name: str, node_lladdr: str) -> None:
        """One more veth from node to client, the same name at both ends, up."""
        run("ip", "link", "add", name, "netns", self.node, "address", node_lladdr,
            "type", "veth", "peer", "name", name, "netns", self.client)  # fmt: skip
        self.in_node("ip", "link", "set", name, "up")
        self.in_client("ip", "link", "set", name, "up")
        self.in_client(
            "ip", "link", "set", "dev", name, "xdpdrv", "obj", str(self.pass_object), "sec", "xdp"
        )

    def neighbour(self, vip: str, interface: str = "eth0") -> str:
        """LLADDR that the client's kernel learns for `vip` by asking anew; "" for no answer."""
        self.in_client("ip", "neigh", "flush", "dev", interface, check=False)
        probe = ("ping", "-c", "1", "-W", "1", "-I", interface, vip)
        self.in_client(*probe, check=False)
        for line in self.in_client("ip", "neigh", "show", vip, "dev", interface).splitlines():
            words = line.split()
            if "lladdr" in words:
                return words[words.index("lladdr") + 1]
        return ""

    def arping(self, vip: str, interface: str = "eth0") -> bool:
        """Whether one ARP request is answered within a second."""
        words = ("arping", "-c", "1", "-w", "1", "-I", interface, vip)
        return "1 packets received" in self.in_client(
            *words, check=False
        ) or "Unicast reply" in self.in_client(*words, check=False)


@contextmanager
def pair(label: str, folder: Path, pass_object: Path) -> Iterator[Pair]:
    """A node and a client on 192.0.2.0/24 and 2001:db8::/64, and a bpffs; gone afterwards."""
    made = Pair(f"st-dp-n{label}", f"st-dp-c{label}", folder / "bpf", folder / "state", pass_object)
    made.bpffs.mkdir()
    try:
        run("mount", "-t", "bpf", "bpf", str(made.bpffs))
        for namespace in (made.node, made.client):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            run("ip", "netns", "exec", namespace, "sysctl", "-qw",
                "net.ipv6.conf.default.accept_dad=0")  # fmt: skip
        made.add_link("eth0", "02:00:00:00:00:01")
        made.in_client("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0")
        made.in_client("ip", "addr", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
        yield made
    finally:
        for namespace in (made.node, made.client):
            run("ip", "netns", "del", namespace, check=False)
        run("umount", str(made.bpffs), check=False)
