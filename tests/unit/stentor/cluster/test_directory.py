"""A directory on disk, read again and again: what changed, what stays, what is told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stentor.cluster import files
from stentor.cluster.findings import Cause
from stentor.cluster.manifests import DirectoryReader, read_directory
from stentor.cluster.objects import World
from tests.unit.stentor.cluster.yaml_of import joined, l2_ad, node, pool, service, vips

GOOD = joined(pool(), l2_ad(), service())


def read(root: Path) -> tuple[DirectoryReader, World]:
    """Return a reader that has read `root`, and what it saw."""
    reader = DirectoryReader(root)
    seen = reader.refresh()
    assert seen is not None
    return reader, seen


def refreshed(reader: DirectoryReader, *suspects: str) -> World:
    """Return what the reader sees now, failing when it sees no change."""
    seen = reader.refresh(frozenset(suspects))
    assert seen is not None
    return seen


def told(world: World) -> list[str]:
    return [str(finding) for finding in world.findings]


def test_files_of_all_depths_and_suffixes_are_read(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "pool.yml").write_text(joined(pool(), l2_ad()))
    (tmp_path / "a/web.yaml").write_text(service())
    (tmp_path / "a/b/node.json").write_text(
        '{\n\t"apiVersion": "v1",\n\t"kind": "Node",\n\t"metadata": {"name": "n1"}\n}\n'
    )

    _, seen = read(tmp_path)

    assert vips(seen) == ["192.0.2.5"]
    assert set(seen.nodes) == {"n1"}
    assert seen.findings == ()


@pytest.mark.parametrize(
    "name", [".web.yaml", ".web.yaml.swp", "web.yaml~", "#web.yaml#", "web.txt", ".git/web.yaml"]
)
def test_leftovers_of_editors_and_hidden_files_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("kind: [")

    assert read_directory(tmp_path).findings == ()


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())

    assert vips(read_directory(tmp_path)) == ["192.0.2.5"]


def test_nothing_changed_gives_no_world(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD + "---\nkind: [\n")
    reader, _ = read(tmp_path)

    assert reader.refresh() is None
    assert reader.refresh(frozenset({"a.yaml"})) is None


def test_a_rewrite_that_looks_unchanged_is_seen_when_it_is_suspected(tmp_path: Path) -> None:
    """Same size, same inode, same time: only the watcher knows."""
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    reader, _ = read(tmp_path)
    before = path.stat()
    path.write_text(GOOD.replace("192.0.2.5", "192.0.2.6"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert reader.refresh() is None
    assert vips(refreshed(reader, "a.yaml")) == ["192.0.2.6"]


def test_a_deleted_file_takes_its_objects_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad()))
    (tmp_path / "b.yaml").write_text(service())
    reader, _ = read(tmp_path)
    (tmp_path / "b.yaml").unlink()

    seen = refreshed(reader)

    assert seen.services == {}
    assert set(seen.pools) == {"lan"}


def test_a_file_mended_is_good_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)
    reader, first = read(tmp_path)
    path.write_text(GOOD[:-20])
    broken = refreshed(reader)
    path.write_text(GOOD)

    seen = refreshed(reader)

    assert broken.services == first.services
    assert broken.findings
    assert seen == first


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def in_latin_1(path: Path) -> None:
    path.write_bytes(b"# fine\n# caf\xe9\n")


def too_large(path: Path) -> None:
    os.truncate(path, files.MAX_FILE_BYTES + 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            loop, "b.yaml: error: cannot be read: Too many levels of symbolic links", id="a_loop"
        ),
        pytest.param(
            in_latin_1,
            "b.yaml:2: error: byte 0xe9 is not UTF-8; save the file as UTF-8",
            id="another_encoding",
        ),
        pytest.param(too_large, "b.yaml: error: is larger than 16 MiB; split it", id="too_large"),
    ],
)
def test_a_file_that_gives_no_text_keeps_its_objects(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad()))
    (tmp_path / "b.yaml").write_text(service())
    reader, first = read(tmp_path)
    spoil(tmp_path / "b.yaml")

    seen = refreshed(reader)

    assert seen.services == first.services
    assert told(seen) == [f"{message} (the last good version stays in use)"]


def test_a_directory_that_goes_away_keeps_everything_until_it_is_back(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    (root / "a.yaml").write_text(GOOD)
    reader, first = read(root)
    root.rename(tmp_path / "elsewhere")

    gone = refreshed(reader)
    root.mkdir()
    (root / "a.yaml").write_text(GOOD.replace("192.0.2.5", "192.0.2.6"))
    back = refreshed(reader)

    assert gone.services == first.services
    assert told(gone) == [
        ".: error: cannot be read: No such file or directory (the last good version stays in use)"
    ]
    assert vips(back) == ["192.0.2.6"]
    assert back.findings == ()


def test_a_directory_that_never_was_is_told(tmp_path: Path) -> None:
    [finding] = read_directory(tmp_path / "nowhere").findings

    assert str(finding) == ".: error: cannot be read: No such file or directory"
    assert finding.cause is Cause.UNREADABLE


def test_a_file_in_place_of_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)

    [finding] = read_directory(tmp_path / "a.yaml").findings

    assert finding.message == "cannot be read: Not a directory"


def test_a_folder_that_cannot_be_listed_keeps_what_lay_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad()))
    (tmp_path / "sub.yaml").mkdir()  # named so that its loss is not taken for a file's
    (tmp_path / "sub.yaml/b.yaml").write_text(service())
    reader, first = read(tmp_path)
    (tmp_path / "sub.yaml").rename(tmp_path / ".hidden")
    (tmp_path / "sub.yaml").symlink_to("sub.yaml")

    seen = refreshed(reader)

    assert seen.services == first.services
    assert told(seen) == [
        "sub.yaml: error: cannot be read: Too many levels of symbolic links "
        "(the last good version stays in use)"
    ]


def test_links_that_lead_round_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/up").symlink_to(tmp_path)

    assert set(files.scan(tmp_path).files) == {"a.yaml"}


def test_a_mounted_configmap_is_read_and_swapped_whole(tmp_path: Path) -> None:
    """Kubernetes mounts files as links through `..data`, and swaps that link by a rename."""

    def fill(version: str, text: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(text)
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    fill("..1", GOOD)
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    reader, first = read(tmp_path)
    fill("..2", GOOD.replace("192.0.2.5", "192.0.2.6"))

    seen = refreshed(reader)

    assert vips(first) == ["192.0.2.5"]
    assert vips(seen) == ["192.0.2.6"]
    assert seen.findings == ()


def test_a_broken_status_file_keeps_the_address_it_gave(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(joined(pool(), l2_ad(), service(vips="")))
    given = tmp_path / ".status/Service/default_web.yaml"
    given.parent.mkdir(parents=True)
    given.write_text(service(vips="", status=("192.0.2.9",)))
    reader, _ = read(tmp_path)
    given.write_text("status: [")

    seen = refreshed(reader)

    assert vips(seen) == ["192.0.2.9"]
    assert [finding.file for finding in seen.findings] == [".status/Service/default_web.yaml"]


def test_a_good_file_added_beside_a_broken_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: [")
    reader, first = read(tmp_path)
    (tmp_path / "b.yaml").write_text(node("n1"))

    seen = refreshed(reader)

    assert set(seen.nodes) == {"n1"}
    assert seen.findings == first.findings
