"""Namespaces for the data plane: a node and a client, joined by a veth whose far end runs XDP."""

import ctypes
import os
import socket
import struct
import subprocess
import threading
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
SEC("tc") int st_filter(struct __sk_buff *skb) { return -1; }
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


ETH_P_ARP = 0x0806
_CLIENT_LLADDR = bytes.fromhex("020000000c01")


def arp_request(target: str, vlan: int = 0) -> bytes:
    """An ARP request from 192.0.2.1, broadcast; tagged when `vlan` is not 0."""
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    ethernet = b"\xff" * 6 + _CLIENT_LLADDR + tag + struct.pack("!H", ETH_P_ARP)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    sender = _CLIENT_LLADDR + socket.inet_aton("192.0.2.1")
    return ethernet + arp + sender + bytes(6) + socket.inet_aton(target)


class Asker:
    """Asks for one VIP again and again from the client, and counts questions left unanswered."""

    def __init__(self, client: str, vip: str, request: bytes = b"") -> None:
        """`request` is the question, where that of `arp_request` has a host's address."""
        with inside(client):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
            self._socket.bind(("eth0", ETH_P_ARP))
        self._request = request or arp_request(vip)
        self._answer_spa = socket.inet_aton(vip)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.asked = 0
        self.missed = 0

    def once(self, timeout_s: float = 1.0) -> bytes:
        """Ask once; the answer's sender LLADDR, b"" when there was none in time."""
        self._socket.settimeout(timeout_s)
        self._socket.send(self._request)
        try:
            while True:
                frame = self._socket.recv(2048)
                if frame[20:22] == b"\0\2" and frame[28:32] == self._answer_spa:
                    return frame[22:28]
        except TimeoutError:
            return b""

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            self.asked += 1
            self.missed += not self.once()

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


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


@contextmanager
def client_frames(net: Pair, protocol: int, timeout_s: float) -> Iterator[socket.socket]:
    """A socket of the client that sends whole frames, and hears those of an EtherType."""
    with inside(net.client):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        made.bind(("eth0", protocol))
    made.settimeout(timeout_s)
    with made:
        yield made
