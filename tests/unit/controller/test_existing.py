"""What a new object is judged beside, and what happens where that cannot be read."""

import asyncio
from random import Random
from typing import Any, cast

import attrs
import pytest

from controller.webhooks.existing import NODES, LiveNeighbours
from stentor.cluster.api import Api, Raw
from stentor.cluster.errors import ApiError
from stentor.cluster.reflector import Reflector
from stentor.logging import Log
from tests.log_lines import Lines

GROUP = "/apis/metallb.io"
PEERS = f"{GROUP}/v1beta2/namespaces/lb/bgppeers"
PROFILES = f"{GROUP}/v1beta1/namespaces/lb/bfdprofiles"
OLD_POOLS = f"{GROUP}/v1beta1/namespaces/lb/addresspools"
SECRET = "/api/v1/namespaces/lb/secrets/pw"
KINDS = {
    PEERS: "BGPPeer",
    PROFILES: "BFDProfile",
    OLD_POOLS: "AddressPool",
    f"{GROUP}/v1beta1/namespaces/lb/ipaddresspools": "IPAddressPool",
}


@attrs.frozen
class Refusing:
    """Answers as an API server does whose roles, or whose kinds, lack something."""

    statuses: dict[str, int]

    async def list(self, path: str, *_: Any, **__: Any) -> tuple[tuple[Raw, ...], str]:
        self._refuse(path)
        kind = KINDS.get(path, "Node")
        return ({"kind": kind, "metadata": {"name": "x"}},), "7"

    async def get(self, path: str) -> Raw:
        self._refuse(path)
        return {"metadata": {"name": "pw"}, "type": "Opaque"}

    def _refuse(self, path: str) -> None:
        if status := self.statuses.get(path):
            raise ApiError(path, status, "Because", "of that")


def neighbours(statuses: dict[str, int]) -> LiveNeighbours:
    api = cast("Api", Refusing(statuses))
    nodes = Reflector(api, NODES, asyncio.Event(), Log(Lines(), lambda: 0.0), Random(1))
    return LiveNeighbours(api, "lb", nodes)


def peer(**spec: Any) -> Raw:
    return {"apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer", "spec": spec}


async def test_a_kind_that_may_not_be_read_is_named_with_the_reason() -> None:
    found = await neighbours({PROFILES: 403}).beside(peer())

    assert found.unread == (
        f"not compared with any BFDProfile, which cannot be read: {PROFILES}: 403 Because: of that",
    )
    assert {each["kind"] for each in found.objects} == {"BGPPeer", "Node"}


async def test_a_kind_that_is_not_installed_is_nothing_to_tell_of() -> None:
    pool = {"kind": "IPAddressPool", "spec": {}}

    found = await neighbours({OLD_POOLS: 404}).beside(pool)

    assert found.unread == ()
    assert [each["kind"] for each in found.objects] == ["IPAddressPool"]


async def test_without_nodes_peers_are_not_compared() -> None:
    """Rules would take all nodes for one, and refuse peers that never meet."""
    live = neighbours({"/api/v1/nodes": 403})

    found = await live.beside(peer())

    assert {each["kind"] for each in found.objects} == {"BFDProfile"}
    assert len(found.unread) == 1


async def test_the_nodes_of_the_watch_are_taken_as_soon_as_it_has_all() -> None:
    live = neighbours({"/api/v1/nodes": 403})
    live.nodes.objects = {("", "n1"): {"kind": "Node", "metadata": {"name": "n1"}}}
    live.nodes.is_synced = True

    found = await live.beside(peer())

    assert {"kind": "Node", "metadata": {"name": "n1"}} in found.objects
    assert found.unread == ()


@pytest.mark.parametrize(
    ("reference", "is_read"),
    [({"name": "pw"}, True), ({"name": ""}, False), ({"name": 7}, False), ("pw", False)],
)
async def test_of_secrets_only_the_one_that_is_named_is_read(
    reference: Any, *, is_read: bool
) -> None:
    found = await neighbours({}).beside(peer(passwordSecret=reference))

    assert is_read is ("Secret" in {each["kind"] for each in found.objects})


async def test_a_secret_of_a_strange_name_reads_no_other_path() -> None:
    found = await neighbours({SECRET: 403}).beside(peer(passwordSecret={"name": "../secrets/pw"}))

    assert found.unread == ()
