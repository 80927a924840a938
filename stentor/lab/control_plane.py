"""
A real etcd and kube-apiserver on loopback: what objects of ours meet before they reach us.

Programs come from KUBEBUILDER_ASSETS (etcd, kube-apiserver, kubectl), or else from the cache that
`scripts/build_cluster` fills and from the system's etcd.
"""

import os
import shutil
import socket
import ssl
import time
from http import HTTPStatus
from http.client import HTTPSConnection
from pathlib import Path
from typing import Final

import attrs

from stentor.lab import processes
from stentor.lab.credentials import Authority, write_kubeconfig
from stentor.lab.errors import LabError

READY_WITHIN_S: Final = 60.0  # seen: 4 s idle, 20 s on a loaded machine
STOP_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.1
_PROGRAMS: Final = ("etcd", "kube-apiserver", "kubectl")
LOOPBACK: Final = "127.0.0.1"
_ASSETS: Final = "KUBEBUILDER_ASSETS"
_VERSION: Final = "STENTOR_KUBERNETES"  # a minor of tests/cluster/binaries, 1.35; else the newest


def cache_directory() -> Path:
    """Where scripts/build_cluster puts what it built."""
    base = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Path(os.environ.get("STENTOR_CACHE", f"{base}/stentor")) / "bin"


def programs() -> dict[str, Path]:
    """Paths of etcd, kube-apiserver and kubectl. Raises LabError that says how to get them."""
    given = os.environ.get(_ASSETS)
    version = os.environ.get(_VERSION)
    built = cache_directory() / (f"kubernetes-{version}" if version else "")
    found: dict[str, Path] = {}
    for name in _PROGRAMS:
        path = Path(given or built) / name
        elsewhere = shutil.which(name) if not given else None
        if path.is_file():
            found[name] = path
        elif elsewhere:
            found[name] = Path(elsewhere)
    if missing := [name for name in _PROGRAMS if name not in found]:
        of_version = f" of {_VERSION}={version}" if version else ""
        where = f"in {_ASSETS}={given}" if given else f"here{of_version}; run scripts/build_cluster"
        raise LabError(f"no {', '.join(missing)} {where}")
    return found


@attrs.define
class ControlPlane:
    """One API server with its store, all of it below `directory`."""

    directory: Path
    port: int = 0  # of the API server, chosen by `up`

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""
        return self.directory / "kubeconfig"

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://{LOOPBACK}:{self.port}"

    def up(self) -> None:
        """Start both and wait until the API server is ready. Raises LabError."""
        paths = programs()
        if (self.directory / "kubeconfig").exists():
            raise LabError(f"there is one in {self.directory} already: take it down first")
        self.directory.mkdir(parents=True, exist_ok=True)
        client_port, peer_port, self.port = free_ports(3)
        authority = Authority.make(self.directory)
        authority.issue("server", common_name="kube-apiserver", addresses=(LOOPBACK,))
        authority.issue("admin", common_name="admin", organization="system:masters")
        authority.issue("service-account", common_name="service-account")
        store = f"http://{LOOPBACK}:{client_port}"
        peers = f"http://{LOOPBACK}:{peer_port}"
        self._start(
            [
                *(str(paths["etcd"]), "--data-dir", str(self.directory / "etcd.data")),
                "--unsafe-no-fsync",
                *("--listen-client-urls", store, "--advertise-client-urls", store),
                *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
                *("--initial-cluster", f"default={peers}"),
            ]
        )
        self._start([str(paths["kube-apiserver"]), *self._flags(store)])
        write_kubeconfig(self.kubeconfig, self.url, authority, "admin")
        self._wait_until_ready(authority)

    def _flags(self, store: str) -> list[str]:
        at = self.directory
        return [
            *("--etcd-servers", store),
            *("--bind-address", LOOPBACK, "--secure-port", str(self.port)),
            *("--tls-cert-file", str(at / "server.crt")),
            *("--tls-private-key-file", str(at / "server.key")),
            *("--client-ca-file", str(at / "ca.crt")),
            *("--authorization-mode", "RBAC"),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--service-account-key-file", str(at / "service-account.crt")),
            *("--service-account-signing-key-file", str(at / "service-account.key")),
            *("--service-cluster-ip-range", "198.18.0.0/16"),
            "--allow-privileged",
        ]

    def _start(self, command: list[str]) -> None:
        name = Path(command[0]).name
        processes.start(
            command,
            pid_file=self.directory / f"{name}.pid",
            log=self.directory / f"{name}.log",
            environment={},
        )

    def _wait_until_ready(self, authority: Authority) -> None:
        at = authority.directory
        context = ssl.create_default_context(cafile=str(at / "ca.crt"))
        context.load_cert_chain(at / "admin.crt", at / "admin.key")
        deadline = time.monotonic() + READY_WITHIN_S
        problem = "no answer"
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                problem = self._ask_whether_ready(context)
            except OSError as exc:
                problem = str(exc)
            if not problem:
                return
            time.sleep(_POLL_S)
        raise LabError(f"the API server is not ready after {READY_WITHIN_S:.0f} s: {problem}")

    def _ask_whether_ready(self, context: ssl.SSLContext) -> str:
        """What it lacks, "" when nothing. Raises OSError."""
        connection = HTTPSConnection(LOOPBACK, self.port, context=context, timeout=5.0)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            text = response.read().decode(errors="replace").strip()
        finally:
            connection.close()
        return "" if response.status == HTTPStatus.OK else text

    def _check_alive(self) -> None:
        for name in ("etcd", "kube-apiserver"):
            process = processes.recorded(self.directory / f"{name}.pid")
            if process is None or not process.is_alive:
                log = self.directory / f"{name}.log"
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise LabError(f"{name} ended: {' '.join(last)}; see {log}")

    def down(self) -> None:
        """Stop them, and webhooks beside them, and remove every file."""
        for name in ("controller", "kube-apiserver", "etcd"):
            process = processes.recorded(self.directory / f"{name}.pid")
            if process is not None and process.is_alive:
                process.stop(STOP_WITHIN_S)
        shutil.rmtree(self.directory, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
