"""Both ends of the link over a real socket: plans, views, readers, and clients that mean harm."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import attrs
import pytest

from speaker.appliers.herald import Connection, HeraldLink, LinkDown, ask_counters, ask_view
from speaker.herald import link
from speaker.herald.server import LinkServer
from stentor.logging import Level, Log

WITHIN_S = 10.0
PLAN = link.Plan(1, "n1", (link.PlannedVip("192.0.2.100", ("n1", "n2")),))


class Nowhere:
    """Drops every line."""

    def write(self, line: bytes) -> None:
        pass


QUIET = Log(Nowhere(), lambda: 0.0, Level.NONE)


@attrs.define
class Household:
    """What a herald offers to the link, without a herald."""

    plans: list[link.Plan] = attrs.field(factory=list)
    heard: asyncio.Event = attrs.field(factory=asyncio.Event)
    planned: asyncio.Event = attrs.field(factory=asyncio.Event)

    def plan_arrived(self, plan: link.Plan) -> None:
        self.plans.append(plan)
        self.planned.set()

    def agent_heard(self) -> None:
        self.heard.set()

    def view(self) -> link.View:
        return link.View("n1", 1, len(self.plans), started=True, agent_silent=False)

    def counters(self) -> link.Counters:
        return link.Counters(herald={"plans": len(self.plans)})


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / link.SOCKET_NAME


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[LinkServer, Household]]:
    household = Household()
    server = LinkServer(path, household, QUIET, Counter())
    await server.open()
    try:
        yield server, household
    finally:
        server.close()


@asynccontextmanager
async def agent_of(path: Path) -> AsyncIterator[tuple[HeraldLink, "asyncio.Queue[link.View]"]]:
    views: asyncio.Queue[link.View] = asyncio.Queue()
    subject = HeraldLink(path, QUIET, Random(1), views.put_nowait)
    running = asyncio.create_task(subject.run())
    try:
        yield subject, views
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_plan_reaches_the_herald_and_a_view_comes_back(path: Path) -> None:
    async with serving(path) as (_, household), agent_of(path) as (agent, views):
        agent.set_plan(PLAN)

        await asyncio.wait_for(household.planned.wait(), WITHIN_S)
        assert household.plans == [PLAN]
        assert household.heard.is_set()
        assert (await asyncio.wait_for(views.get(), WITHIN_S)).node == "n1"


async def test_a_herald_that_comes_back_gets_the_whole_plan_again(path: Path) -> None:
    async with agent_of(path) as (agent, _):
        agent.set_plan(PLAN)
        for _ in range(2):
            async with serving(path) as (_, household):
                await asyncio.wait_for(household.planned.wait(), WITHIN_S)
                assert household.plans == [PLAN]


async def test_a_change_reaches_agent_and_readers(path: Path) -> None:
    async with serving(path) as (server, household):
        reader = await Connection.open(path, "reader")
        first = await asyncio.wait_for(reader.receive(), WITHIN_S)
        household.plans.append(PLAN)

        server.publish()

        second = await asyncio.wait_for(reader.receive(), WITHIN_S)
        assert isinstance(first, link.View)
        assert isinstance(second, link.View)
        assert (first.plan_generation, second.plan_generation) == (0, 1)
        reader.close()


async def test_status_and_counters_are_asked_for_once(path: Path) -> None:
    async with serving(path):
        assert (await ask_view(path)).node == "n1"
        assert (await ask_counters(path)).herald == {"plans": 0}


async def test_without_a_herald_the_reason_is_said(path: Path) -> None:
    with pytest.raises(LinkDown, match="no herald at"):
        await ask_view(path)


async def test_the_newest_agent_takes_over(path: Path) -> None:
    async with serving(path):
        old = await Connection.open(path, "agent")
        await asyncio.wait_for(old.receive(), WITHIN_S)
        new = await Connection.open(path, "agent")
        await asyncio.wait_for(new.receive(), WITHIN_S)

        with pytest.raises(LinkDown, match="newer agent"):
            await asyncio.wait_for(old.receive(), WITHIN_S)
        new.close()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "frame of", id="http"),
        pytest.param(link.HEADER.pack(0), "frame of 0", id="empty_frame"),
        pytest.param(link.HEADER.pack(3) + b"\xc1\xc1\xc1", "not a message", id="not_msgpack"),
        pytest.param(link.encode(link.Heartbeat()), "Heartbeat before Hello", id="no_hello"),
        pytest.param(link.encode(link.Hello("agent", 99)), "version 99", id="other_version"),
        pytest.param(
            link.encode(link.Hello("reader")) + link.encode(PLAN), "Plan from a reader", id="reader"
        ),
    ],
)
async def test_garbage_is_refused_and_counted_and_others_are_served_on(
    path: Path, octets: bytes, reason: str
) -> None:
    async with serving(path) as (server, household):
        good = await Connection.open(path, "reader")
        await asyncio.wait_for(good.receive(), WITHIN_S)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(octets)

        answer = await asyncio.wait_for(reader.read(), WITHIN_S)

        assert reason.encode() in answer
        assert server.counts["link_garbage"] == 1
        assert household.plans == []
        server.publish()
        assert isinstance(await asyncio.wait_for(good.receive(), WITHIN_S), link.View)
        writer.close()
        good.close()


async def test_the_socket_is_for_its_owner_alone(path: Path) -> None:
    async with serving(path):
        assert path.stat().st_mode & 0o777 == 0o600  # noqa: ASYNC240 - one stat of a local file
