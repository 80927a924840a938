"""What the agent makes of the world and of who is alive."""

import tempfile
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from random import Random

from speaker.agent import Agent
from speaker.appliers.status import StatusApplier
from speaker.config import Settings
from speaker.herald.link import Member, View
from stentor.cluster.objects import Node, World
from stentor.logging import Level, Log


class Nowhere:
    """Drops every line."""

    def write(self, line: bytes) -> None:
        pass


class Still:
    """A source with nothing to tell."""

    async def worlds(self) -> AsyncIterator[World]:
        yield World()


def agent(gossip_bind: str = "192.0.2.1") -> Agent:
    log = Log(Nowhere(), lambda: 0.0, Level.NONE)
    made = Settings(node="n1", state_dir=tempfile.gettempdir(), gossip_bind=gossip_bind)
    return Agent(made, Still(), StatusApplier(Path("nowhere"), "n1", log), log, Random(1))


def view(*members: Member) -> View:
    return View("n1", 1, 0, started=True, agent_silent=False, members=members)


ALIVE = Member("n1", "192.0.2.1:7946", "alive")
SUSPECT = Member("n2", "192.0.2.2:7946", "suspect")
DEAD = Member("n3", "192.0.2.3:7946", "dead")
METALLB = Member("n4", "192.0.2.4:7946", "alive", stentor=False)


def test_before_the_herald_has_spoken_everybody_counts_as_alive() -> None:
    snapshot = agent().snapshot(World())

    assert snapshot.is_alive("n7")
    assert "n1" in snapshot.world.nodes


def test_members_without_a_node_object_are_nodes_with_a_hostname() -> None:
    subject = agent()
    subject.view = view(ALIVE, SUSPECT, DEAD)
    known = Node("n2", internal_ips=(ip_address("192.0.2.2"),))

    world = subject.snapshot(World(nodes={"n2": known})).world

    assert world.nodes["n2"] is known
    assert world.nodes["n3"].labels == {"kubernetes.io/hostname": "n3"}


def test_the_suspected_are_alive_and_the_dead_are_not() -> None:
    subject = agent()
    subject.view = view(ALIVE, SUSPECT, DEAD)

    assert subject.snapshot(World()).alive == frozenset({"n1", "n2"})


def test_members_that_are_not_stentor_are_known_as_such() -> None:
    subject = agent()
    subject.view = view(ALIVE, METALLB)

    assert subject.snapshot(World()).foreign == {"n4"}


def test_without_a_ring_everybody_counts_as_alive() -> None:
    subject = agent(gossip_bind="")
    subject.view = view()

    assert subject.snapshot(World()).alive is None
