"""One speaker as real processes in a namespace, and a client on the other end of its cable."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import yaml

from speaker.appliers.herald import LinkDown, ask_counters, ask_view
from speaker.herald.link import SOCKET_NAME, Counters, View
from tests.eventually import DEADLINES, eventually

VIP = "192.0.2.100"
VIP6 = "2001:db8::100"
NODE = "192.0.2.1"
CLIENT = "192.0.2.2"
NODE6 = "2001:db8::1"
CLIENT6 = "2001:db8::2"
HERALD = "speaker.herald.main"
AGENT = "speaker.agent"


def sh(*command: str, check: bool = True) -> str:
    """Run a command; its output, and its complaint when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


def objects(*services: list[str], interfaces: list[str] | None = None) -> list[dict[str, Any]]:
    """A pool, its advertisement, and a Service for each list of VIPs."""
    advert: dict[str, Any] = {"ipAddressPools": ["pool"]}
    if interfaces is not None:
        advert["interfaces"] = interfaces
    where = {"namespace": "metallb-system"}
    addresses = ["192.0.2.96/27", "2001:db8::100-2001:db8::1ff"]
    return [
        _object("metallb.io/v1beta1", "IPAddressPool", {"name": "pool", **where})
        | {"spec": {"addresses": addresses}},
        _object("metallb.io/v1beta1", "L2Advertisement", {"name": "advert", **where})
        | {"spec": advert},
        *(_service(f"web-{n}", vips) for n, vips in enumerate(services)),
    ]


def _service(name: str, vips: list[str]) -> dict[str, Any]:
    return _object("v1", "Service", {"name": name, "namespace": "demo"}) | {
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": vip} for vip in vips]}},
    }


def _object(version: str, kind: str, metadata: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


@attrs.define
class Rig:
    """
    Two namespaces with one cable: `node`, where speakers run, and `client`.

    `root` is short, since the path of a unix socket has at most 107 octets.
    """

    name: str
    root: Path
    processes: list["subprocess.Popen[bytes]"] = attrs.field(factory=list)

    @property
    def node(self) -> str:
        """Namespace of the speaker."""
        return f"{self.name}-n"

    @property
    def client(self) -> str:
        """Namespace of the client."""
        return f"{self.name}-c"

    @property
    def state_dir(self) -> Path:
        """--state-dir."""
        return self.root / "state"

    @property
    def bpffs(self) -> Path:
        """--bpffs: below the one bpffs of the machine, in a directory of this rig's."""
        return Path("/sys/fs/bpf") / self.name

    @property
    def manifests(self) -> Path:
        """--manifests."""
        return self.root / "manifests"

    def build(self) -> None:
        """Make namespaces, cable, addresses, and manifests with two VIPs."""
        self.manifests.mkdir(parents=True)
        for namespace in (self.node, self.client):
            sh("ip", "netns", "add", namespace)
            sh("ip", "-n", namespace, "link", "set", "lo", "up")
        peer = ("peer", "name", "eth0", "netns", self.client)
        sh("ip", "link", "add", "eth0", "netns", self.node, "type", "veth", *peer)
        for namespace, v4, v6 in ((self.node, NODE, NODE6), (self.client, CLIENT, CLIENT6)):
            sh("ip", "-n", namespace, "addr", "add", f"{v4}/24", "dev", "eth0")
            sh("ip", "-n", namespace, "addr", "add", f"{v6}/64", "dev", "eth0", "nodad")
            sh("ip", "-n", namespace, "link", "set", "eth0", "up")
        sh(*self.inside(self.client), sys.executable, "-m", "stentor.lab.xdp_pass", "eth0")
        self.write(objects([VIP, VIP6]))

    def write(self, items: list[dict[str, Any]]) -> None:
        """Replace the manifests."""
        (self.manifests / "all.yaml").write_text(yaml.safe_dump_all(items))

    def remove(self) -> None:
        """End what was started and take everything away."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self.bpffs.exists():
            self.command("speaker", *self.directories(), "--cleanup", check=False)
        for namespace in (self.node, self.client):
            sh("ip", "netns", "del", namespace, check=False)

    @staticmethod
    def inside(namespace: str) -> tuple[str, ...]:
        """Prefix of a command that runs in the network of a namespace, with our own /sys."""
        return ("nsenter", f"--net=/run/netns/{namespace}")

    def directories(self) -> tuple[str, ...]:
        """Flags that keep this rig's speaker apart from others."""
        return ("--state-dir", str(self.state_dir), "--bpffs", str(self.bpffs))

    def flags(self, *more: str) -> tuple[str, ...]:
        """Flags of a speaker here, `more` of them last."""
        fixed = ("--manifests", str(self.manifests), "--xdp-mode", "native", "--node-name", "n1")
        return (*self.directories(), *fixed, *more)

    def command(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `stentor ARGUMENTS` in the node to its end."""
        done = subprocess.run(
            [*self.inside(self.node), sys.executable, "-m", "stentor.cli.main", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def start(self, *more: str) -> "Speaker":
        """Start a speaker; its log goes to ROOT/speaker.log."""
        log = self.root / "speaker.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    *self.inside(self.node),
                    *(sys.executable, "-m", "stentor.cli.main", "speaker"),
                    *self.flags(*more),
                ],
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)
        return Speaker(self, process, log)

    # --- what the client sees

    def resolve(self, vip: str) -> str:
        """Ask for `vip` anew, as the client's kernel does: the LLADDR found, or ""."""
        sh("ip", "-n", self.client, "neigh", "flush", "dev", "eth0")
        family, source = (socket.AF_INET6, CLIENT6) if ":" in vip else (socket.AF_INET, CLIENT)
        send = (
            f"import socket; s=socket.socket({int(family)}, socket.SOCK_DGRAM);"
            f"s.bind(({source!r}, 0)); s.sendto(b'x', ({vip!r}, 9))"
        )
        sh(*self.inside(self.client), sys.executable, "-S", "-c", send)
        return self.neighbour(vip)

    def neighbour(self, vip: str) -> str:
        """LLADDR of `vip` in the client's cache, or ""."""
        lines = sh("ip", "-json", "-n", self.client, "neigh", "show", vip, "dev", "eth0")
        entries = json.loads(lines or "[]")
        return str(entries[0].get("lladdr", "")) if entries else ""

    def lladdr(self) -> str:
        """LLADDR of the node's end of the cable."""
        return str(self.links("eth0")[0]["address"])

    def links(self, *names: str) -> list[dict[str, Any]]:
        """Links of the node as ip(8) lists them."""
        return list(json.loads(sh("ip", "-json", "-n", self.node, "link", "show", *names)))

    def ip(self, *arguments: str) -> None:
        """Change the node's network."""
        sh("ip", "-n", self.node, *arguments)

    def on_lo(self) -> set[str]:
        """Addresses on the node's lo that go away by themselves: VIPs."""
        [link] = json.loads(sh("ip", "-json", "-n", self.node, "addr", "show", "lo"))
        return {i["local"] for i in link["addr_info"] if i["valid_life_time"] < 3600}


@attrs.define
class Speaker:
    """A running `stentor speaker`."""

    rig: Rig
    process: "subprocess.Popen[bytes]"
    log_path: Path

    @property
    def pid(self) -> int:
        """Pid of the supervisor: nsenter and the command both become it."""
        return self.process.pid

    def child(self, module: str) -> int:
        """Pid of the child that runs `module`, 0 when there is none."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        try:
            pids = [int(text) for text in path.read_text().split()]
        except FileNotFoundError:
            return 0
        return next((pid for pid in pids if module in command_line(pid)), 0)

    def kill(self, module: str) -> int:
        """SIGKILL a child; its pid."""
        pid = self.child(module)
        assert pid, f"{module} does not run"
        os.kill(pid, signal.SIGKILL)
        return pid

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINES.process_down)

    def view(self) -> View | None:
        """The herald's view, None when it does not answer."""
        try:
            return asyncio.run(ask_view(self.rig.state_dir / SOCKET_NAME))
        except LinkDown:
            return None

    def counters(self) -> Counters:
        """The herald's counters."""
        return asyncio.run(ask_counters(self.rig.state_dir / SOCKET_NAME))

    def holds(self, *vips: str) -> "Speaker":
        """Wait until the herald holds `vips`."""
        eventually(
            self.held, until=set(vips).issubset, within_s=DEADLINES.process_up, what="VIPs held"
        )
        return self

    def held(self) -> set[str]:
        """VIPs this node answers for."""
        view = self.view()
        return {s.vip for s in view.seats if s.voice == "held"} if view is not None else set()

    def events(self, event: str) -> list[dict[str, Any]]:
        """Log entries of that event so far."""
        entries = []
        for line in self.log_path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("event") == event:
                entries.append(entry)
        return entries

    def get(self, port: int, path: str) -> tuple[int, str]:
        """GET a page of the agent from inside the node: status and body."""
        script = (
            "import sys, urllib.request, urllib.error\n"
            "try: r = urllib.request.urlopen(sys.argv[1], timeout=5)\n"
            "except urllib.error.HTTPError as e: r = e\n"
            "except OSError: sys.exit('0')\n"
            "print(r.status); print(r.read().decode())"
        )
        url = f"http://127.0.0.1:{port}{path}"
        inside = self.rig.inside(self.rig.node)
        text = sh(*inside, sys.executable, "-c", script, url, check=False)
        status, _, body = text.partition("\n")
        return int(status or 0), body


def command_line(pid: int) -> str:
    """Arguments of a process, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
