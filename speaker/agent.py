"""
The policy process: `python -m speaker.agent SETTINGS`. Objects in, plan to the herald, status out.

    manifests --World--> Snapshot --plan_l2--> herald (plan)
    herald --View--> Snapshot (who is alive), status, metrics

It may be slow and it may crash: the herald goes on with the last plan. Changes only mark the world
as dirty, so that a burst of them is one run of the planner.
"""

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from random import Random

import attrs
import msgspec

from speaker import lifeline
from speaker.appliers import metrics
from speaker.appliers.herald import HeraldLink, LinkDown, ask_counters
from speaker.appliers.planned import to_link
from speaker.appliers.status import Report, StatusApplier
from speaker.config import Settings, from_json
from speaker.herald.link import SOCKET_NAME, View
from speaker.planners.l2 import plan_l2
from speaker.planners.l2_plan import L2Plan
from speaker.snapshot import Snapshot
from stentor.cluster.errors import ApplyError
from stentor.cluster.manifests import ManifestSource
from stentor.cluster.objects import World
from stentor.cluster.source import Source
from stentor.daemon import exit_code_of, until_signalled
from stentor.exits import ExitCode, FatalError
from stentor.logging import Log, bridge_libraries, of_process
from stentor.metrics import Endpoint, Page, Reply

UP = frozenset({"alive", "suspect"})
STATUS_RETRY_S = 5.0
LOOPBACK = "127.0.0.1"


@attrs.define(eq=False)
class Agent:
    """Holds the latest of everything; `run` keeps it so."""

    settings: Settings
    source: Source
    status: StatusApplier
    log: Log
    rng: Random
    world: World | None = None
    view: View | None = None
    plan: L2Plan | None = None
    link: HeraldLink = attrs.field(init=False)
    _planning: asyncio.Event = attrs.field(factory=asyncio.Event)
    _reporting: asyncio.Event = attrs.field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        path = self.settings.state_path / SOCKET_NAME
        self.link = HeraldLink(path, self.log, self.rng, self._see)

    async def run(self) -> None:
        """Work until cancelled; raises FatalError when a port is taken."""
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for endpoint in self._endpoints():
                try:
                    server = await endpoint.start()
                except OSError as exc:
                    raise FatalError(
                        ExitCode.UNAVAILABLE,
                        "port_taken",
                        f"{endpoint.host or 'any address'} port {endpoint.port}: {exc.strerror}; "
                        "see --port and --health-probe-port",
                    ) from exc
                stack.callback(server.close)
            for work in (self._follow_source, self.link.run, self._keep_planned, self._report):
                group.create_task(work())
            lifeline.tell_ready()

    # --- inputs

    async def _follow_source(self) -> None:
        async for world in self.source.worlds():
            self.world = world
            self._planning.set()

    def _see(self, view: View) -> None:
        is_news = self.view is None or _members(view) != _members(self.view)
        self.view = view
        if is_news:
            self._planning.set()
        self._reporting.set()

    # --- the plan

    async def _keep_planned(self) -> None:
        while True:
            await self._planning.wait()
            self._planning.clear()
            if self.world is not None:
                self._plan(self.snapshot(self.world))
                self._reporting.set()

    def snapshot(self, world: World) -> Snapshot:
        """Return this moment as the planner sees it; ring members without a Node are nodes too."""
        view = self.view
        seen = () if view is None else view.members
        up = frozenset(member.name for member in seen if member.state in UP)
        return Snapshot(
            node=self.settings.node,
            world=world.with_members({self.settings.node, *(member.name for member in seen)}),
            # Until the herald has told who is alive, everybody is: the herald decides on its own.
            alive=up if self.settings.gossip_bind and view is not None else None,
            foreign=frozenset(m.name for m in seen if m.name in up and not m.stentor),
            ignore_exclude_lb=self.settings.ignore_exclude_lb,
        )

    def _plan(self, snapshot: Snapshot) -> None:
        self.plan = plan_l2(snapshot)
        last = self.link.plan
        told = max(0 if last is None else last.generation, self._last_told())
        fresh = to_link(self.plan, snapshot, generation=told + 1)
        if last is None or msgspec.structs.replace(fresh, generation=last.generation) != last:
            self.link.set_plan(fresh)
            self.log.info("plan_made", plan=fresh.generation, vips=len(fresh.vips))

    def _last_told(self) -> int:
        return 0 if self.view is None else self.view.plan_generation

    # --- what others see

    async def _report(self) -> None:
        while True:
            await self._reporting.wait()
            self._reporting.clear()
            if self.plan is None or self.world is None:
                continue
            try:
                await self.status.apply(Report(self.plan, self.view, self.world.findings))
            except ApplyError as exc:
                self.log.warn("status_not_written", message=str(exc))
                await asyncio.sleep(STATUS_RETRY_S * self.rng.uniform(0.8, 1.2))
                self._reporting.set()

    def _endpoints(self) -> list[Endpoint]:
        health: dict[str, Page] = {"/healthz": self._healthy, "/readyz": self._ready}
        endpoints = []
        if self.settings.port:
            pages = {"/metrics": self._metrics}
            endpoints.append(Endpoint("", self.settings.port, pages))
        if self.settings.health_port:
            endpoints.append(Endpoint(LOOPBACK, self.settings.health_port, health))
        return endpoints

    async def _healthy(self) -> Reply:
        return Reply(200, b"ok\n")

    async def _ready(self) -> Reply:
        obstacles = {
            "the manifests have not been read": self.world is None,
            "no herald is connected": not self.link.connected,
            "the herald is still in its start": self.view is None or not self.view.started,
        }
        missing = [text for text, is_in_the_way in obstacles.items() if is_in_the_way]
        if missing:
            return Reply(503, "".join(f"{text}\n" for text in missing).encode())
        return Reply(200, b"ok\n")

    async def _metrics(self) -> Reply:
        try:
            counters = await ask_counters(self.settings.state_path / SOCKET_NAME)
        except LinkDown:
            counters = None
        findings = 0 if self.world is None else len(self.world.findings)
        moment = metrics.Moment(self.settings.node, self.plan, self.view, counters, findings)
        return metrics.render(moment)


def _members(view: View) -> object:
    return tuple((m.name, m.state in UP, m.stentor) for m in view.members)


def main() -> int:
    """Run an agent until it is told to stop; returns the exit code."""
    lifeline.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the supervisor's affair
    settings = from_json(sys.argv[1])
    log = of_process("agent", settings.log_level, time.time, node=settings.node)
    bridge_libraries(log)
    assert settings.manifests is not None  # the command line asks for it
    directory = Path(settings.manifests)
    status = StatusApplier(directory, settings.node, log)
    agent = Agent(settings, ManifestSource(directory, settings.lb_class), status, log, Random())
    code = exit_code_of(lambda: asyncio.run(until_signalled(agent.run(), signal.SIGTERM)), log)
    if code is ExitCode.OK:
        status.clear()
    return code


if __name__ == "__main__":
    sys.exit(main())
