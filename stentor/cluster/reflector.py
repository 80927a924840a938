"""
A copy of objects of the API server, kept up to date: list, then watch, and again when need be.

                 +----------- 410 Gone -----------+
                 v                                |
    start --> listing --> watching --- ended ---> watching (from the last version seen)
                 ^            |
                 +- back-off -+-- no answer, refused, or ended at once

No informer of the kubernetes package backs off, lists in pages and asks for bookmarks at once, so
this is our own. Until something better comes the copy stands as it was.
"""

import asyncio
from http import HTTPStatus
from random import Random
from typing import Final

import attrs
import msgspec

from stentor.cluster.api import Api, Query, Raw
from stentor.cluster.errors import ApiError
from stentor.logging import Log

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 30.0
HEALTHY_AFTER_S: Final = 10.0  # a watch that lasted so long was a good one: back-off starts anew
WATCH_S: Final = (300, 600)  # the server ends a watch after a time between these; client-go's idea
Key = tuple[str, str]  # namespace, name


@attrs.frozen
class Collection:
    """
    Which objects to copy: a collection's path, perhaps narrowed by `query`.

    Items of a list do not say what they are, and metadata alone not of what, so that it is said
    here.
    """

    path: str
    api_version: str
    kind: str
    query: Query = ()
    only_metadata: bool = False


class _Event(msgspec.Struct, frozen=True):
    """One line of a watch, metav1.WatchEvent."""

    type: str
    object: Raw


@attrs.define
class BackOff:
    """Delays that double from 0.5 s to 30 s, each with jitter, so that nobody comes in step."""

    rng: Random
    failures: int = 0

    def next_s(self) -> float:
        """Give the delay before the next try."""
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.failures, 10))
        self.failures += 1
        return delay * self.rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start anew: it went well."""
        self.failures = 0


@attrs.define(eq=False)
class Reflector:
    """
    Keeps `objects` as the server has them; sets `changed` after every change of theirs.

    `is_synced` is False until the first list is complete. Losing the server changes nothing.
    """

    api: Api
    collection: Collection
    changed: asyncio.Event
    log: Log
    rng: Random
    objects: dict[Key, Raw] = attrs.field(factory=dict)
    is_synced: bool = False
    _version: str = ""  # of the last event seen; "" = list first

    async def run(self) -> None:
        """Work until cancelled."""
        now = asyncio.get_running_loop().time
        back_off = BackOff(self.rng)
        while True:
            began, problem = now(), ""
            try:
                if not self._version:
                    await self._list()
                    continue
                await self._watch()
            except ApiError as exc:
                if exc.is_gone:
                    self._version = ""
                problem = str(exc)
            if now() - began > HEALTHY_AFTER_S:
                back_off.reset()
                if not problem:
                    continue
            delay_s = back_off.next_s()
            if problem:
                self.log.warn("watch_failed", message=problem, again_in_s=round(delay_s, 2))
            await asyncio.sleep(delay_s)

    async def _list(self) -> None:
        """Replace the copy by a complete list."""
        wanted = self.collection
        items, version = await self.api.list(
            wanted.path, wanted.query, only_metadata=wanted.only_metadata
        )
        found = {key_of(item): self._stamped(item) for item in items}
        if not self.is_synced or self.objects != found:
            self.objects, self.is_synced = found, True
            self.changed.set()
        self._version = version

    async def _watch(self) -> None:
        """Follow changes until the server ends the watch."""
        wanted = self.collection
        query = [
            *wanted.query,
            ("watch", "true"),
            ("resourceVersion", self._version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(self.rng.randint(*WATCH_S))),
        ]
        watch = self.api.lines(wanted.path, query, only_metadata=wanted.only_metadata)
        async with watch as lines:
            async for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        """Do what one event of a watch says."""
        try:
            event = msgspec.json.decode(line, type=_Event)
        except msgspec.MsgspecError as exc:
            raise ApiError(self.collection.path, 0, "", f"no event of a watch: {exc}") from exc
        raw = event.object
        match event.type:
            case "ADDED" | "MODIFIED":
                self.objects[key_of(raw)] = self._stamped(raw)
                self.changed.set()
            case "DELETED":
                self.objects.pop(key_of(raw), None)
                self.changed.set()
            case "BOOKMARK":
                pass
            case _:  # ERROR, with a metav1.Status: mostly 410, the version is too old
                raise ApiError(
                    self.collection.path,
                    int(raw.get("code") or HTTPStatus.GONE),
                    str(raw.get("reason", "")),
                    str(raw.get("message", "")),
                )
        self._version = str((raw.get("metadata") or {}).get("resourceVersion") or self._version)

    def _stamped(self, raw: Raw) -> Raw:
        is_what = {"apiVersion": self.collection.api_version, "kind": self.collection.kind}
        return {**raw, **is_what}


def key_of(raw: Raw) -> Key:
    """Namespace and name of an object; "" for what it does not have."""
    metadata = raw.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
