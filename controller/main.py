"""
The controller: `stentor controller`. One process, and any number of replicas of it.

So far it serves the webhooks and keeps their certificate; addresses are not given out yet.
"""

import asyncio
import contextlib
import signal
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import attrs
from prometheus_client import CollectorRegistry

from controller.config import Settings, WebhookMode
from controller.webhooks.admission import Admission
from controller.webhooks.certificates import KeyKind, Lifetime, Pair, Policy
from controller.webhooks.existing import NODES, LiveNeighbours
from controller.webhooks.files import CertificateFiles
from controller.webhooks.keeper import Keeper, secret_place
from controller.webhooks.server import WebhookServer
from controller.webhooks.trust import Waits
from stentor.cluster.api import Api, connect
from stentor.cluster.errors import KubeconfigError
from stentor.cluster.reflector import Reflector
from stentor.daemon import exit_code_of, until_signalled
from stentor.exits import ExitCode, FatalError
from stentor.logging import Log, bridge_libraries, of_process
from stentor.metrics import Endpoint, Page, Reply, exposition
from stentor.tls_context import server_context, use_certificate
from stentor.tls_options import CIPHER_SUITES, TlsFlagError, TlsOptions

Work = Callable[[], Coroutine[Any, Any, None]]


@attrs.define(eq=False)
class Controller:
    """All parts of one process; `run` keeps them going."""

    settings: Settings
    log: Log
    rng: Random
    lifetime: Lifetime = attrs.field(factory=Lifetime)
    waits: Waits = attrs.field(factory=Waits)
    registry: CollectorRegistry = attrs.field(factory=CollectorRegistry)
    _obstacle: Callable[[], str] = attrs.field(default=lambda: "starting")

    @property
    def obstacle(self) -> str:
        """What keeps us from our work, "" when nothing."""
        return self._obstacle()

    async def run(self) -> None:
        """Work until cancelled; raises FatalError when a port is taken or no API is known."""
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            await self._serve_pages(stack)
            for work in await self._parts(stack):
                group.create_task(work())
            self.log.info(
                "controller_started",
                version=self.settings.version,
                namespace=self.settings.namespace,
                webhook_mode=self.settings.webhook_mode,
            )
            await asyncio.Event().wait()  # until cancelled: it may be that nothing else is to do

    async def _parts(self, stack: contextlib.AsyncExitStack) -> list[Work]:
        if self.settings.webhook_mode is WebhookMode.DISABLED:
            self._obstacle = lambda: ""
            self.log.warn("nothing_to_do", message="this version has nothing but webhooks")
            return []
        try:
            api = await stack.enter_async_context(connect(self.settings.kubeconfig))
            context = server_context(self.settings.tls)
        except KubeconfigError as exc:
            raise FatalError(ExitCode.CONFIG, "settings_refused", str(exc)) from exc
        except TlsFlagError as exc:
            raise FatalError(ExitCode.USAGE, "settings_refused", str(exc)) from exc
        return await self._webhooks(api, context, stack)

    async def _webhooks(
        self, api: Api, context: ssl.SSLContext, stack: contextlib.AsyncExitStack
    ) -> list[Work]:
        settings = self.settings
        nodes = Reflector(api, NODES, asyncio.Event(), self.log, self.rng)
        keeper: Keeper | CertificateFiles
        if settings.rotates:
            keeper = Keeper(
                api,
                secret_place(settings.namespace, settings.webhook_secret),
                Policy(settings.server_names, key_kind_for(settings.tls), self.lifetime),
                lambda pair: _serve(context, pair),
                self.log,
                self.rng,
                wall=_wall,
                monotonic=time.monotonic,
                waits=self.waits,
            )
        else:
            keeper = CertificateFiles(
                settings.cert_dir,
                lambda chain, key: use_certificate(context, chain, key),
                self.log,
            )
        self._obstacle = lambda: keeper.obstacle
        server = WebhookServer(
            Admission(settings.namespace),
            LiveNeighbours(api, settings.namespace, nodes),
            context,
            self.log,
            self._obstacle,
            self.registry,
        )
        with self._ports(settings.webhook_host, settings.webhook_port):
            runner = await server.start(settings.webhook_host or None, settings.webhook_port)
        stack.push_async_callback(runner.cleanup)
        return [nodes.run, keeper.run]

    # --- what others see

    async def _serve_pages(self, stack: contextlib.AsyncExitStack) -> None:
        endpoints: list[Endpoint] = []
        if self.settings.port:
            endpoints.append(Endpoint("", self.settings.port, {"/metrics": self._metrics}))
        if self.settings.health_port:
            pages: dict[str, Page] = {"/healthz": self._healthy, "/readyz": self._ready}
            endpoints.append(Endpoint("", self.settings.health_port, pages))
        for endpoint in endpoints:
            with self._ports(endpoint.host, endpoint.port):
                server = await endpoint.start()
            stack.callback(server.close)

    @contextlib.contextmanager
    def _ports(self, host: str, port: int) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise FatalError(
                ExitCode.UNAVAILABLE,
                "port_taken",
                f"{host or 'any address'} port {port}: {exc.strerror}; "
                "see --webhook-port, --port and --health-probe-port",
            ) from exc

    async def _healthy(self) -> Reply:
        return Reply(200, b"ok\n")

    async def _ready(self) -> Reply:
        obstacle = self.obstacle
        return Reply(503 if obstacle else 200, f"{obstacle or 'ok'}\n".encode())

    async def _metrics(self) -> Reply:
        return exposition(self.registry, frozenset())


def key_kind_for(options: TlsOptions) -> KeyKind:
    """EC, or RSA where the suites of --tls-cipher-suites leave no other choice."""
    suites = [CIPHER_SUITES[suite] for suite in options.cipher_suites]
    only_rsa = bool(suites) and not any("ECDSA" in suite for suite in suites)
    return KeyKind.RSA if only_rsa else KeyKind.EC


def _serve(context: ssl.SSLContext, pair: Pair) -> None:
    use_certificate(context, pair.chain, pair.key)


def _wall() -> datetime:
    return datetime.now(UTC)


def run(settings: Settings) -> int:
    """Run a controller until it is told to stop; returns the exit code."""
    log = of_process("controller", settings.log_level, time.time)
    bridge_libraries(log)
    controller = Controller(settings, log, Random())
    told = (signal.SIGTERM, signal.SIGINT)
    code = exit_code_of(lambda: asyncio.run(until_signalled(controller.run(), *told)), log)
    if code is ExitCode.OK:
        log.info("controller_stopped")
    return code
