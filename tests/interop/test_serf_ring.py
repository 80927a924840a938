"""
A Stentor node in a ring of `serf` agents: an older memberlist (0.2.2 in Debian 12).

serf's delegate has versions 2 to 5, so ours must say so too: 1,5,2,2,5,4. There is no serf layer
on our side; serf does not mind. Timers are serf's local profile.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import pytest

from speaker.gossip.config import LOCAL, VERSIONS_SERF
from speaker.gossip.keyring import Keyring
from speaker.gossip.messages import NodeState
from speaker.gossip.wire import Wire
from tests.interop.go_node import find_tool
from tests.unit.speaker.gossip.loopback import Node, free_port, make_node, reached, running

HOST = "127.0.0.1"
KEY = bytes(range(16))
FLAGS = {"clear": (), "encrypted": ("-encrypt", base64.b64encode(KEY).decode())}


@pytest.fixture(scope="module")
def serf() -> str:
    found: str = find_tool("serf")
    return found


@attrs.define(eq=False)
class Agent:
    """A running serf agent."""

    program: str
    port: int
    rpc: str
    process: asyncio.subprocess.Process

    async def run(self, *words: str) -> str:
        """Run a serf command against the agent; what it prints, nothing when it failed."""
        command = await asyncio.create_subprocess_exec(
            self.program,
            *(words[0], f"-rpc-addr={self.rpc}", *words[1:]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        printed, _ = await command.communicate()
        return "" if command.returncode else printed.decode()

    async def statuses(self) -> dict[str, str]:
        """Name and status of each member, as `serf members` shows them."""
        printed = await self.run("members", "-format=json")
        rows: list[dict[str, Any]] = json.loads(printed)["members"] if printed else []
        return {row["name"]: row["status"] for row in rows}

    async def shows(self, wanted: dict[str, str], within_s: float = 30.0) -> None:
        """Wait until `serf members` shows this."""
        deadline = asyncio.get_running_loop().time() + within_s
        while (seen := await self.statuses()) != wanted:
            assert asyncio.get_running_loop().time() < deadline, f"serf shows {seen}"

    async def kill(self) -> None:
        """SIGKILL: a crash for the others."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def agent(program: str, name: str, *flags: str) -> AsyncIterator[Agent]:
    """Run an agent on loopback; it is gone at the end of the block."""
    port, rpc = free_port(HOST), f"{HOST}:{free_port(HOST)}"
    process = await asyncio.create_subprocess_exec(
        program,
        *("agent", f"-node={name}", f"-bind={HOST}:{port}", f"-rpc-addr={rpc}"),
        *("-profile=local", *flags),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    running_agent = Agent(program, port, rpc, process)
    try:
        await running_agent.shows({name: "alive"})
        yield running_agent
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def stentor(ring: str) -> Node:
    wire = Wire(keyring=Keyring.of(KEY) if ring == "encrypted" else None)
    return make_node("st1", config=LOCAL, versions=VERSIONS_SERF, wire=wire)


@pytest.mark.parametrize("ring", ["clear", "encrypted"])
async def test_a_ring_with_serf_agrees_through_joins_a_death_and_a_goodbye(
    serf: str, ring: str
) -> None:
    """Without serf's own goodbye on top, who leaves memberlist shows as failed there."""
    node = stentor(ring)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(agent(serf, "serf1", *FLAGS[ring]))
        await stack.enter_async_context(running(node))
        assert await node.gossip.join(HOST, first.port) is None
        second = await stack.enter_async_context(agent(serf, "serf2", *FLAGS[ring]))
        await second.run("join", "{}:{}".format(*node.gossip.swim.endpoint))
        alive = dict.fromkeys(["serf1", "serf2", "st1"], "alive")
        await first.shows(alive)
        await second.shows(alive)
        await reached(lambda: node.up, lambda up: up == sorted(alive))

        await second.kill()
        await reached(lambda: node.up, lambda up: up == ["serf1", "st1"], within_s=40.0)
        await first.shows({**alive, "serf2": "failed"})
        assert {m.name: m.state for m in node.gossip.swim.members}["serf2"] == NodeState.DEAD

        assert await node.gossip.leave(within_s=5.0)
        await first.shows({"serf1": "alive", "serf2": "failed", "st1": "failed"})

    refused = [name for name in node.gossip.counts if name.startswith("gossip_refused")]
    assert refused == []


async def test_a_serf_agent_that_leaves_is_seen_to_leave(serf: str) -> None:
    node = stentor("clear")
    async with agent(serf, "serf1") as first, running(node):
        await node.gossip.join(HOST, first.port)
        await first.shows({"serf1": "alive", "st1": "alive"})

        await first.run("leave")
        await reached(lambda: node.up, lambda up: up == ["st1"])

    assert {m.name: m.state for m in node.gossip.swim.members}["serf1"] == NodeState.LEFT


async def test_serf_is_not_joined_with_metallb_versions_and_the_reason_told(serf: str) -> None:
    """Its answer looks like a success; the check of versions on our side tells the truth."""
    node = make_node("st1", config=LOCAL)
    async with agent(serf, "serf1") as first, running(node):
        why = await node.gossip.join(HOST, first.port)

        assert why is not None
        assert "delegate version" in why
        assert await first.statuses() == {"serf1": "alive"}
    assert node.up == ["st1"]
