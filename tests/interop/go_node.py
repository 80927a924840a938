"""A memberlist node in Go, as a process of ours."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from stentor.lab.control_plane import cache_directory
from tests.unit.speaker.gossip.loopback import free_port, reached

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
Line = dict[str, Any]


def find_program() -> Path:
    """The Go node, built if it is not; without a Go toolchain: skip, and fail in CI."""
    built = subprocess.run(
        [ROOT / "scripts/build_peers"], capture_output=True, text=True, check=False
    )
    program = cache_directory() / "memberlist"
    if built.returncode or not program.exists():
        miss(f"scripts/build_peers: {built.stderr}")
    return program


def find_tool(name: str) -> str:
    """A program of the system; without it: skip, and fail in CI."""
    path = shutil.which(name)
    return path if path is not None else miss(f"{name} is not installed")


def miss(why: str) -> Any:
    """Skip the test for want of a tool, or fail where all tools have to be there."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@attrs.define(eq=False)
class GoNode:
    """The running node: what it printed, and a way to ask it."""

    name: str
    port: int
    process: asyncio.subprocess.Process
    lines: list[Line] = attrs.field(factory=list)

    @property
    def target(self) -> tuple[str, int]:
        """Where its gossip port is."""
        return HOST, self.port

    def printed(self, event: str) -> list[Line]:
        """The lines of one event."""
        return [line for line in self.lines if line["event"] == event]

    def told(self, event: str) -> list[str]:
        """Names of the nodes that it told an event of."""
        return [line["node"] for line in self.printed(event)]

    def complaints(self) -> list[str]:
        """What memberlist logged at ERR, such as messages it could not read."""
        return [line["text"] for line in self.printed("log") if line["level"] == "ERR"]

    async def ask(self, command: str, event: str, within_s: float = 20.0) -> Line:
        """Give a command and return the line that answers it."""
        seen = len(self.printed(event))
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        await self.process.stdin.drain()
        lines = await reached(
            lambda: self.printed(event), lambda lines: len(lines) > seen, within_s=within_s
        )
        return lines[seen]

    async def members(self) -> list[str]:
        """Names of the members that it believes to be up."""
        return sorted((await self.ask("members", "members"))["members"])

    async def sees(self, names: list[str], within_s: float = 30.0) -> None:
        """Wait until these are the members it believes to be up."""
        deadline = asyncio.get_running_loop().time() + within_s
        while (seen := await self.members()) != names:
            assert asyncio.get_running_loop().time() < deadline, f"{self.name} sees {seen}"

    async def kill(self) -> None:
        """SIGKILL: a crash for the others."""
        self.process.kill()
        await self.process.wait()

    async def read(self) -> None:
        """Collect what it prints."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))


@asynccontextmanager
async def go_node(program: Path, name: str, *flags: str) -> AsyncIterator[GoNode]:
    """Run a Go node on loopback with more flags of its own; it is gone at the end of the block."""
    port = free_port(HOST)
    process = await asyncio.create_subprocess_exec(
        program,
        *("-name", name, "-bind", HOST, "-port", str(port), *flags),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    node = GoNode(name, port, process)
    reading = asyncio.create_task(node.read())
    try:
        await reached(lambda: node.printed("ready"))
        yield node
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
