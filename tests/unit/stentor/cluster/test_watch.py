"""Hot reload, with real files and the kernel's own notices."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from stentor.cluster.manifests import ManifestSource
from stentor.cluster.objects import World
from stentor.cluster.source import Source
from stentor.cluster.status import StatusWriter
from tests.eventually import DEADLINES
from tests.unit.stentor.cluster.yaml_of import WEB, joined, l2_ad, old_pool, pool, service, vips

GOOD = joined(pool(), l2_ad(), service())
OTHER = GOOD.replace("192.0.2.5", "192.0.2.6")


@asynccontextmanager
async def watching(root: Path) -> AsyncIterator[AsyncGenerator[World, None]]:
    async with aclosing(ManifestSource(root).worlds()) as worlds:
        yield worlds


async def world_where(worlds: AsyncGenerator[World, None], holds: Callable[[World], bool]) -> World:
    """Return the first World of which `holds` is true; those before it are let go by."""
    latest: World | None = None
    try:
        async with asyncio.timeout(DEADLINES.file_seen):
            async for latest in worlds:
                if holds(latest):
                    return latest
    except TimeoutError:
        pytest.fail(f"not seen within {DEADLINES.file_seen} s; the last world was {latest}")
    pytest.fail("the source ended")


def has_vip(vip: str) -> Callable[[World], bool]:
    return lambda world: bool(world.services) and vips(world) == [vip]


def test_the_manifest_source_is_a_source() -> None:
    source: Source = ManifestSource(Path("/nowhere"))

    assert source


async def test_a_change_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    async with watching(tmp_path) as worlds:
        await world_where(worlds, has_vip("192.0.2.5"))
        (tmp_path / "a.yaml").write_text(OTHER)

        seen = await world_where(worlds, has_vip("192.0.2.6"))

    assert seen.findings == ()


async def test_a_file_that_an_editor_renames_into_place_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    async with watching(tmp_path) as worlds:
        await world_where(worlds, has_vip("192.0.2.5"))
        (tmp_path / ".a.yaml.swp").write_text(OTHER)
        (tmp_path / ".a.yaml.swp").rename(tmp_path / "a.yaml")

        assert await world_where(worlds, has_vip("192.0.2.6"))


async def test_a_file_in_a_new_folder_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad()))
    async with watching(tmp_path) as worlds:
        await world_where(worlds, lambda world: not world.services)
        (tmp_path / "new/deep").mkdir(parents=True)
        (tmp_path / "new/deep/web.yaml").write_text(service())

        assert await world_where(worlds, has_vip("192.0.2.5"))


async def test_a_broken_change_keeps_what_worked_and_a_mended_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    async with watching(tmp_path) as worlds:
        await world_where(worlds, has_vip("192.0.2.5"))
        (tmp_path / "a.yaml").write_text("kind: [")
        broken = await world_where(worlds, lambda world: bool(world.findings))
        (tmp_path / "a.yaml").write_text(OTHER)

        mended = await world_where(worlds, has_vip("192.0.2.6"))

    assert vips(broken) == ["192.0.2.5"]
    assert mended.findings == ()


async def test_an_address_given_by_a_controller_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad(), service(vips="")))
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}
    given = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer"}, "status": status,
    }  # fmt: skip
    async with watching(tmp_path) as worlds:
        await world_where(worlds, lambda world: bool(world.findings))
        StatusWriter(tmp_path).write("Service", WEB, given)

        assert await world_where(worlds, has_vip("192.0.2.9"))


async def test_a_burst_of_changes_ends_in_the_last_state(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad()))
    async with watching(tmp_path) as worlds:
        await world_where(worlds, lambda world: bool(world.pools))
        for number in range(50):
            (tmp_path / f"{number}.yaml").write_text(
                service(f"s{number}", f"2001:db8::{number + 1:x}")
            )

        seen = await world_where(worlds, lambda world: len(world.services) == 50)

    assert all(one.vips for one in seen.services.values())


async def test_a_directory_put_in_place_later_is_taken(tmp_path: Path) -> None:
    """
    As git-sync does it: the name leads to another directory from one moment to the next.

    The long time between looks leaves it to the watch on the new directory to see the last change.
    """
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one/a.yaml").write_text(GOOD)
    (tmp_path / "two/a.yaml").write_text(OTHER)
    (tmp_path / "link").symlink_to("one")
    async with aclosing(ManifestSource(tmp_path / "link", rescan_s=600).worlds()) as worlds:
        await world_where(worlds, has_vip("192.0.2.5"))
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "link")
        await world_where(worlds, has_vip("192.0.2.6"))
        (tmp_path / "two/a.yaml").write_text(GOOD)

        assert await world_where(worlds, has_vip("192.0.2.5"))


async def test_a_change_that_the_kernel_does_not_tell_is_seen_by_looking(tmp_path: Path) -> None:
    """The target of a link lies outside of what is watched; so does a file on NFS."""
    root = tmp_path / "manifests"
    root.mkdir()
    (tmp_path / "target.yaml").write_text(GOOD)
    (root / "a.yaml").symlink_to(tmp_path / "target.yaml")
    async with aclosing(ManifestSource(root, rescan_s=0.1).worlds()) as worlds:
        await world_where(worlds, has_vip("192.0.2.5"))
        (tmp_path / "target.yaml").write_text(OTHER)

        assert await world_where(worlds, has_vip("192.0.2.6"))


async def test_a_directory_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async with aclosing(ManifestSource(tmp_path / "later", rescan_s=0.1).worlds()) as worlds:
        missing = await world_where(worlds, lambda world: bool(world.findings))
        (tmp_path / "later").mkdir()
        (tmp_path / "later/a.yaml").write_text(GOOD)

        seen = await world_where(worlds, has_vip("192.0.2.5"))

    assert [finding.message for finding in missing.findings] == [
        "cannot be read: No such file or directory"
    ]
    assert seen.findings == ()


async def test_a_source_at_rest_yields_nothing_and_ends_when_it_is_cancelled(
    tmp_path: Path,
) -> None:
    worlds = ManifestSource(tmp_path, rescan_s=0.01).worlds()
    await anext(worlds)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(worlds)

    with pytest.raises(StopAsyncIteration):
        await anext(worlds)


async def test_an_old_pool_is_seen_as_a_pool_and_its_advertisement(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(joined(old_pool().replace("v1beta1", "v1alpha1"), service()))
    async with watching(tmp_path) as worlds:
        first = await world_where(worlds, has_vip("192.0.2.5"))
        path.write_text(joined(old_pool(autoAssign=False), service(vips="192.0.2.6")))

        second = await world_where(worlds, has_vip("192.0.2.6"))

    [ad] = second.l2_ads.values()
    assert (first.findings, second.findings) == ((), ())
    assert (first.pools["old"].auto_assign, second.pools["old"].auto_assign) == (True, False)
    assert (ad.name, ad.selects_pool(second.pools["old"])) == ("AddressPool/old", True)


async def test_an_old_pool_that_breaks_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(joined(old_pool(), service()))
    async with watching(tmp_path) as worlds:
        await world_where(worlds, has_vip("192.0.2.5"))
        path.write_text(joined(old_pool(addresses=["192.0.2.0/33"]), service(vips="192.0.2.6")))

        seen = await world_where(worlds, has_vip("192.0.2.6"))

    assert [str(finding.field) for finding in seen.findings] == ["spec.addresses[0]"]
    assert (set(seen.pools), set(seen.l2_ads)) == ({"old"}, {"AddressPool/old"})
