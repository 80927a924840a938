"""`stentor lab cluster up --webhooks`: our kinds on the lab's API server, with webhooks by url."""

import subprocess
import sys
import time
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import attrs
import yaml

from controller.config import NAMESPACE
from controller.webhooks.manifests import configuration
from crds.base import Raw
from crds.generate import FILES, definition
from stentor.lab import processes
from stentor.lab.control_plane import LOOPBACK, ControlPlane, free_ports, programs
from stentor.lab.errors import LabError

READY_WITHIN_S: Final = 60.0
_STOP_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.1


@attrs.define
class Webhooks:
    """A controller beside a control plane, its files in the same directory."""

    plane: ControlPlane
    namespace: str = NAMESPACE
    port: int = 0  # chosen by `up`
    health_port: int = 0

    @property
    def url(self) -> str:
        """Of the webhooks."""
        return f"https://{LOOPBACK}:{self.port}"

    def objects(self) -> list[Raw]:
        """What the API server has to know: a namespace, our kinds, whom to ask about them."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        definitions = [definition(kind, webhook_url=self.url) for kind in FILES]
        return [namespace, *definitions, configuration(url=self.url)]

    def up(self) -> None:
        """Apply the objects, start the controller, wait until it is ready. Raises LabError."""
        self.port, self.health_port = free_ports(2)
        self._apply()
        self.start()

    def start(self) -> None:
        """Start the controller alone."""
        command = [
            *(sys.executable, "-m", "stentor.cli.main", "controller"),
            *("--kubeconfig", str(self.plane.kubeconfig), "--namespace", self.namespace),
            *("--webhook-mode", "onlywebhook", "--webhook-bind-address", LOOPBACK),
            *("--webhook-port", str(self.port), "--cert-extra-name", LOOPBACK),
            *("--port", "0", "--health-probe-port", str(self.health_port)),
        ]
        log = self.plane.directory / "controller.log"
        process = processes.start(command, pid_file=self.pid_file, log=log, environment={})
        deadline = time.monotonic() + READY_WITHIN_S
        while (obstacle := self._obstacle()) and time.monotonic() < deadline:
            if not process.is_alive:
                raise LabError(f"the controller ended; see {log}")
            time.sleep(_POLL_S)
        if obstacle:
            raise LabError(f"the webhooks are not ready: {obstacle}; see {log}")

    def stop(self) -> None:
        """End the controller, and leave what it has written."""
        process = processes.recorded(self.pid_file)
        if process is not None and process.is_alive:
            process.stop(_STOP_WITHIN_S)

    @property
    def pid_file(self) -> Path:
        """Of the controller."""
        return self.plane.directory / "controller.pid"

    def _apply(self) -> None:
        done = subprocess.run(
            [
                *(str(programs()["kubectl"]), "--kubeconfig", str(self.plane.kubeconfig)),
                *("apply", "--server-side", "-f", "-"),
            ],
            input=yaml.safe_dump_all(self.objects()),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"our kinds cannot be applied: {done.stderr.strip()}")

    def _obstacle(self) -> str:
        connection = HTTPConnection(LOOPBACK, self.health_port, timeout=5.0)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace").strip()
        except OSError as exc:
            return str(exc)
        finally:
            connection.close()
        return "" if answer.status == HTTPStatus.OK else text
