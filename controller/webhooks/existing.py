"""
The objects that a new one is judged beside, read from the API server when they are needed.

Read anew for each review and not from a copy that a watch keeps: `kubectl apply` sends the second
of two pools a few milliseconds after the first was stored, before any watch has told of it. Nodes
are the exception: they are many, change by themselves, and only their labels matter.
"""

import asyncio
from typing import Any, Final, Protocol
from urllib.parse import quote

import attrs

from controller.webhooks.admission import LOOKS_AT
from crds.base import Raw, Resource
from crds.decode import KINDS
from stentor.cluster.api import Api
from stentor.cluster.errors import ApiError
from stentor.cluster.reflector import Collection, Reflector

SECRET: Final = "Secret"  # noqa: S105 - a kind
NODE: Final = "Node"
PEER: Final = "BGPPeer"
NODES: Final = Collection("/api/v1/nodes", "v1", NODE, only_metadata=True)


@attrs.frozen
class Existing:
    """What was found, and for each kind that could not be read, why."""

    objects: tuple[Raw, ...] = ()
    unread: tuple[str, ...] = ()


class Neighbours(Protocol):
    """Whoever knows what there is."""

    async def beside(self, raw: Raw) -> Existing:
        """Find what the rules of this object's kind look at. Never raises."""


@attrs.frozen(eq=False)
class LiveNeighbours:
    """Asks the API server; of nodes it takes what a watch has, as soon as that has all."""

    api: Api
    namespace: str
    nodes: Reflector

    async def beside(self, raw: Raw) -> Existing:
        """See Neighbours."""
        kinds = sorted(LOOKS_AT.get(str(raw.get("kind")), frozenset()))
        readings = await asyncio.gather(*(self._read(kind, raw) for kind in kinds))
        objects = [each for reading in readings for each in reading.objects]
        unread = [text for reading in readings for text in reading.unread]
        if any(
            kind == NODE and reading.unread for kind, reading in zip(kinds, readings, strict=True)
        ):
            # Peers that no node has both of may say the same. Where nodes are not known the rules
            # take all for one, which would refuse what is right.
            objects = [each for each in objects if each.get("kind") != PEER]
        return Existing(tuple(objects), tuple(unread))

    async def _read(self, kind: str, raw: Raw) -> Existing:
        try:
            if kind == NODE:
                return Existing(await self._nodes())
            if kind == SECRET:
                return Existing(await self._secret_of(raw))
            return Existing(await self._all(kind))
        except ApiError as exc:
            if exc.is_missing:  # the CRD of an old kind is not installed: there are none
                return Existing()
            return Existing(unread=(f"not compared with any {kind}, which cannot be read: {exc}",))

    async def _nodes(self) -> tuple[Raw, ...]:
        if self.nodes.is_synced:
            return tuple(self.nodes.objects.values())
        items, _ = await self.api.list(NODES.path, only_metadata=True)
        return tuple({**item, "apiVersion": "v1", "kind": NODE} for item in items)

    async def _all(self, kind: str) -> tuple[Raw, ...]:
        items, _ = await self.api.list(collection_path(kind, self.namespace))
        return items

    async def _secret_of(self, raw: Raw) -> tuple[Raw, ...]:
        """The one that a peer names; those of others cannot make it wrong."""
        reference: Any = raw.get("spec")
        for key in ("passwordSecret",):
            reference = reference.get(key) if isinstance(reference, dict) else None
        name = reference.get("name") if isinstance(reference, dict) else None
        if not isinstance(name, str) or not name:
            return ()
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{quote(name, safe='')}"
        secret = await self.api.get(path)
        return ({**secret, "apiVersion": "v1", "kind": SECRET},)


def collection_path(kind: str, namespace: str) -> str:
    """Where the objects of one of our kinds are, in the version that is stored."""
    version, model = next(iter(KINDS[kind].items()))
    assert issubclass(model, Resource)
    return f"/apis/{version}/namespaces/{namespace}/{model.PLURAL}"
