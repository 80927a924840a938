"""The copy of the API server's objects: lists in pages, watches, and survives what happens."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import attrs
import pytest
import yaml

from stentor.cluster.api import Api, connect
from stentor.cluster.errors import ApiError
from stentor.cluster.reflector import Collection, Reflector
from stentor.logging import Log
from tests.cluster.kubectl import Kubectl
from tests.cluster.relay import Relay, relay
from tests.eventually import DEADLINES
from tests.log_lines import Lines

VERSION, KIND = "metallb.io/v1beta1", "IPAddressPool"
PATH = "/apis/metallb.io/v1beta1/namespaces/{}/ipaddresspools"


@attrs.define
class Seen:
    """A reflector at work on the pools of a namespace, and how to change them."""

    reflector: Reflector
    api: Api
    relay: Relay
    lines: Lines
    path: str

    async def make(self, name: str) -> None:
        metadata = {"name": name, "labels": {"st": name}}
        what = {"apiVersion": VERSION, "kind": KIND, "metadata": metadata}
        await self.api.create(self.path, {**what, "spec": {"addresses": ["192.0.2.0/24"]}})

    async def until(self, is_so: Callable[[set[str]], bool]) -> set[str]:
        """Wait until the copy's names are as they should be."""
        async with asyncio.timeout(DEADLINES.process_up):
            while not is_so(names := {name for _, name in self.reflector.objects}):
                self.reflector.changed.clear()
                await self.reflector.changed.wait()
        return names


@contextlib.asynccontextmanager
async def at_work(
    kubectl: Kubectl, namespace: str, folder: Path, *, only_metadata: bool = False
) -> AsyncIterator[Seen]:
    """Reflect through a relay, and change things past it."""
    path = PATH.format(namespace)
    collection = Collection(path, VERSION, KIND, only_metadata=only_metadata)
    async with contextlib.AsyncExitStack() as stack:
        between = await stack.enter_async_context(relay(kubectl.plane.port))
        config = yaml.safe_load(kubectl.plane.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{between.port}"
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        api = await stack.enter_async_context(connect(str(kubectl.plane.kubeconfig)))
        relayed = await stack.enter_async_context(connect(str(folder / "kubeconfig")))
        lines = Lines()
        log = Log(lines, time.time)
        reflector = Reflector(relayed, collection, asyncio.Event(), log, Random(1))
        running = asyncio.create_task(reflector.run())
        try:
            yield Seen(reflector, api, between, lines, path)
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_it_sees_what_comes_changes_and_goes(
    kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    async with at_work(kubectl, namespace, tmp_path) as seen:
        await seen.until(lambda _: seen.reflector.is_synced)
        await seen.make("st-a")
        await seen.until(lambda names: "st-a" in names)
        await asyncio.to_thread(kubectl.good, "delete", "ipaddresspool", "st-a", "-n", namespace)
        await seen.until(lambda names: "st-a" not in names)


async def test_a_version_that_the_server_has_forgotten_is_listed_anew(
    kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    """The real 410: a version from before the kind was there."""
    async with at_work(kubectl, namespace, tmp_path) as seen:
        await seen.until(lambda _: seen.reflector.is_synced)
        await seen.make("st-before")
        await seen.until(lambda names: "st-before" in names)
        seen.reflector._version = "1"
        seen.relay.cut()
        seen.relay.heal()

        await seen.make("st-after")
        await seen.until(lambda names: {"st-before", "st-after"} <= names)

    told = [event["message"] for event in seen.lines.of("watch_failed")]
    assert any("410" in message for message in told), told


async def test_what_happens_while_the_server_is_out_of_reach_is_seen_afterwards(
    kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    """And until then the copy stands as it was."""
    async with at_work(kubectl, namespace, tmp_path) as seen:
        await seen.until(lambda _: seen.reflector.is_synced)
        await seen.make("st-before")
        before = await seen.until(lambda names: "st-before" in names)
        seen.relay.cut()
        await seen.make("st-meanwhile")

        assert {name for _, name in seen.reflector.objects} == before
        seen.relay.heal()
        await seen.until(lambda names: "st-meanwhile" in names)

    assert seen.reflector.is_synced


async def test_a_long_list_comes_in_pages(
    kubectl: Kubectl, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stentor.cluster.api.PAGE", 2)
    async with at_work(kubectl, namespace, tmp_path) as seen:
        for number in range(5):
            await seen.make(f"st-{number}")

        items, version = await seen.api.list(seen.path, [("labelSelector", "st")])

    assert {item["metadata"]["name"] for item in items} == {f"st-{n}" for n in range(5)}
    assert int(version) > 0


async def test_metadata_alone_has_names_and_labels_and_says_what_it_is_of(
    kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    async with at_work(kubectl, namespace, tmp_path, only_metadata=True) as seen:
        await seen.make("st-listed")
        await seen.until(lambda names: "st-listed" in names)
        await seen.make("st-watched")
        await seen.until(lambda names: "st-watched" in names)

    for name in ("st-listed", "st-watched"):
        raw = seen.reflector.objects[namespace, name]
        assert (raw["apiVersion"], raw["kind"]) == (VERSION, KIND)
        assert (raw["metadata"]["labels"], "spec" in raw) == ({"st": name}, False)


async def test_a_refusal_says_what_was_asked_and_why_not(kubectl: Kubectl, namespace: str) -> None:
    async with connect(str(kubectl.plane.kubeconfig)) as api:
        path = f"/api/v1/namespaces/{namespace}/configmaps/st-none"
        with pytest.raises(ApiError, match=f"{path}: 404 NotFound: configmaps") as missing:
            await api.get(path)
        made = {"metadata": {"name": "st-a"}}
        await api.create(path.rpartition("/")[0], made)
        with pytest.raises(ApiError) as again:
            await api.create(path.rpartition("/")[0], made)

    assert missing.value.is_missing
    assert (again.value.is_conflict, again.value.reason) == (True, "AlreadyExists")
