"""Controllers on a real API server, in a loop of their own beside the test."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from random import Random
from typing import Any, TypeVar

import attrs

from controller.config import Settings, WebhookMode
from controller.main import Controller
from controller.webhooks.certificates import Lifetime
from controller.webhooks.injection import CONFIGURATION_NAME
from controller.webhooks.server import PATHS
from controller.webhooks.trust import Waits
from stentor.cluster.api import Api, connect
from stentor.cluster.errors import ApiError
from stentor.lab.control_plane import LOOPBACK, free_ports
from stentor.logging import Level, Log
from tests.cluster.kubectl import Kubectl
from tests.cluster.relay import Relay
from tests.eventually import DEADLINES, eventually
from tests.log_lines import Event, Lines

T = TypeVar("T")
NAMESPACE = "metallb-system"
SECRET = "metallb-webhook-cert"
QUICK = Waits(settled_s=1.0, hurried_s=0.1, patience_s=5.0)


@attrs.define(eq=False)
class Background:
    """An event loop in a thread."""

    loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.new_event_loop)

    def call(self, work: Coroutine[Any, Any, T], within_s: float = 60.0) -> T:
        """Do `work` there and give what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(within_s)

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin `work` there."""

        async def begin() -> "asyncio.Task[T]":
            return asyncio.create_task(work)

        return self.call(begin())

    def stop(self, task: "asyncio.Task[Any]") -> None:
        """End it, and wait until it has."""

        async def end() -> None:
            task.cancel()
            await asyncio.wait([task])

        self.call(end())

    def wait(self, task: "asyncio.Task[T]") -> T:
        """Let it come to its end."""

        async def end() -> T:
            return await task

        return self.call(end())


@contextlib.contextmanager
def background() -> Iterator[Background]:
    """Run one while the context lasts."""
    made = Background()
    thread = threading.Thread(target=made.loop.run_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join()
        made.loop.close()


@attrs.define(eq=False)
class Replica:
    """One controller that runs."""

    controller: Controller
    lines: Lines
    port: int
    task: "asyncio.Task[None]"

    @property
    def served(self) -> list[str]:
        """Fingerprints of the certificates that it has served, in order."""
        return [event["certificate"] for event in self.lines.of("certificate_served")]

    def wait_until_ready(self) -> None:
        """Fails the test when it is not in time."""
        eventually(
            lambda: "it has ended" if self.task.done() else self.controller.obstacle,
            until="".__eq__,
            within_s=DEADLINES.process_up,
            what="what the controller waits for",
        )


@attrs.define(eq=False)
class Judged:
    """An API server that asks the relay's targets about every object of ours."""

    kubectl: Kubectl
    relay: Relay
    background: Background
    replicas: list[Replica] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        """Where the API server asks."""
        return f"https://{LOOPBACK}:{self.relay.port}"

    def start(
        self, *, lifetime: Lifetime | None = None, waits: Waits = QUICK, kubeconfig: str = ""
    ) -> Replica:
        """Start a controller; it is not aimed at yet."""
        [port] = free_ports(1)
        settings = Settings(
            namespace=NAMESPACE,
            kubeconfig=kubeconfig or str(self.kubectl.plane.kubeconfig),
            webhook_mode=WebhookMode.ONLYWEBHOOK,
            webhook_host=LOOPBACK,
            webhook_port=port,
            cert_names=(LOOPBACK,),
            port=0,
            health_port=0,
        )
        lines = Lines()
        log = Log(lines, time.time, Level.INFO)
        controller = Controller(settings, log, Random(port), lifetime or Lifetime(), waits)
        made = Replica(controller, lines, port, self.background.start(controller.run()))
        self.replicas.append(made)
        return made

    def aim(self, *replicas: Replica) -> None:
        """Have the API server ask these, in turn, once they are ready."""
        for replica in replicas:
            replica.wait_until_ready()
        self.background.call(_do(lambda: self.relay.aim(*(each.port for each in replicas))))

    def stop_all(self) -> None:
        """End the controllers; nobody answers the API server then."""
        for replica in self.replicas:
            self.background.stop(replica.task)
        self.replicas.clear()
        self.relay.aim()

    @contextlib.contextmanager
    def policy(self, word: str) -> Iterator[None]:
        """Have every webhook of ours say so for failurePolicy meanwhile."""
        self._set_policy(word)
        try:
            yield
        finally:
            self._set_policy("Fail")

    def _set_policy(self, word: str) -> None:
        steps = [
            {"op": "replace", "path": f"/webhooks/{number}/failurePolicy", "value": word}
            for number in range(len(PATHS))
        ]
        target = ("validatingwebhookconfiguration", CONFIGURATION_NAME)
        self.kubectl.good("patch", *target, "--type=json", "-p", json.dumps(steps))

    def secret(self) -> Event:
        """The Secret with the certificate."""
        return self.kubectl.get("secret", SECRET, "-n", NAMESPACE)

    @contextlib.contextmanager
    def load(self, workers: int = 4) -> Iterator["Load"]:
        """Ask to create pools, and to read peers as v1beta1, again and again meanwhile."""
        load = Load()
        running = self.background.start(load.run(str(self.kubectl.plane.kubeconfig), workers))
        try:
            eventually(lambda: load.answers > 10, within_s=DEADLINES.answered, what="load")
            yield load
        finally:
            load.is_over = True
            self.background.wait(running)


async def _do(action: Any) -> None:
    action()


@attrs.define(eq=False)
class Load:
    """Requests that each make the API server call a webhook, and how they went."""

    answers: int = 0
    failures: list[str] = attrs.field(factory=list)
    is_over: bool = False

    async def run(self, kubeconfig: str, workers: int) -> None:
        """Work until it is over."""
        async with connect(kubeconfig) as api, asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(api, number))

    async def _work(self, api: Api, number: int) -> None:
        pool = {
            "apiVersion": "metallb.io/v1beta1",
            "kind": "IPAddressPool",
            "metadata": {"name": f"st-load-{number}", "namespace": NAMESPACE},
            "spec": {"addresses": ["203.0.113.0/24"]},
        }
        pools = f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/ipaddresspools"
        peers = f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/bgppeers"
        while not self.is_over:
            try:
                await api.create(pools, pool, [("dryRun", "All")])
                await api.list(peers)
            except ApiError as exc:
                self.failures.append(str(exc))
            else:
                self.answers += 1
