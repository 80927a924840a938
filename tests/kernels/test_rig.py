"""The rig itself: what goes wrong ends with a clear message and leaves nothing behind."""

import os
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.kernels import images, recipe
from tests.kernels.conftest import find_images
from tests.kernels.errors import ImageError, VmError
from tests.kernels.recipe import KERNELS
from tests.kernels.table import Table
from tests.kernels.vm import Vm
from tests.process.rig import sh

DEB822 = """\
# where this image came from
Types: deb
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.invalid/security
Suites: bookworm-security
Components: main
"""
ONE_LINE = "deb [arch=amd64] http://mirror.invalid/debian bookworm contrib main\n"


def made_of(path: Path) -> images.Images:
    """Images that are all one file."""
    return images.Images(root=path, packages=path, vmlinuz=path, initrd=path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STENTOR_CACHE", str(tmp_path))
    return tmp_path / "kernels"


@pytest.mark.parametrize(
    ("name", "text"), [("x.sources", DEB822), ("x.list", ONE_LINE)], ids=["deb822", "one_line"]
)
def test_the_mirror_is_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    release = tmp_path / "os-release"
    release.write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    monkeypatch.setattr(recipe, "OS_RELEASE", release)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / name).write_text(text)

    mirror = recipe.find_mirror(tmp_path)

    assert (mirror.url, mirror.suite) == ("http://mirror.invalid/debian", "bookworm")


def test_a_machine_that_is_no_debian_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "os-release"
    release.write_text("ID=ubuntu\n")
    monkeypatch.setattr(recipe, "OS_RELEASE", release)

    with pytest.raises(ImageError, match="on Debian only"):
        recipe.find_mirror(tmp_path)


def test_a_full_disk_is_said_before_anything_is_built(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 5 << 20))

    with pytest.raises(ImageError, match="5 MiB free, need"):
        images.kept("root.img", lambda _out, _work: None)


def test_a_disk_that_fills_up_leaves_no_half_image(cache: Path) -> None:
    def build(out: Path, _work: Path) -> None:
        out.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ImageError, match=r"building root.img .*No space left"):
        images.kept("root.img", build)

    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_what_a_killed_builder_left_is_removed_by_the_next_one(cache: Path) -> None:
    (cache / ".building-x").mkdir(parents=True)
    (cache / ".building-x" / "out").write_bytes(b"half")

    def build(out: Path, _work: Path) -> None:
        out.write_bytes(b"whole")

    path = images.kept("root.img", build)

    assert path.read_bytes() == b"whole"
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "root.img"]


def test_a_builder_that_fails_shows_its_last_words() -> None:
    with pytest.raises(ImageError, match=r"exit 3:\nno such suite"):
        images.run("sh", "-c", "echo no such suite >&2; exit 3")


def test_a_kernel_that_is_none_is_an_error_with_qemus_words(tmp_path: Path) -> None:
    for name in ("vmlinuz", "initrd", "disk"):
        (tmp_path / name).write_bytes(b"not a kernel" * 100)
    broken = attrs.evolve(
        made_of(tmp_path / "disk"), vmlinuz=tmp_path / "vmlinuz", initrd=tmp_path / "initrd"
    )

    ours = f"st-k{os.getpid()}-*"
    before = set(Path("/run").glob(ours))

    with pytest.raises(VmError, match="qemu has ended"), Vm(broken, tmp_path / "initrd"):
        pass

    assert set(Path("/run").glob(ours)) == before


def test_a_guest_that_does_not_come_up_in_time_is_an_error_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    """A real kernel without a single file: it boots and has nobody to answer us."""
    (tmp_path / "nothing").write_bytes(b"")
    whole = find_images(KERNELS[0])
    mute = attrs.evolve(whole, initrd=tmp_path / "nothing")
    before = set(Path("/run").glob(f"st-k{os.getpid()}-*"))

    with (
        pytest.raises(VmError, match="boot: no answer in 1 s; console:"),
        Vm(mute, tmp_path / "nothing", boot_s=1.0),
    ):
        pass

    assert set(Path("/run").glob(f"st-k{os.getpid()}-*")) == before


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "initrd"

    with (
        pytest.raises(VmError, match=f"cannot be prepared: .*{gone}"),
        Vm(made_of(gone), gone),
    ):
        pass


def test_a_disk_too_full_for_a_vm_is_said_and_left_as_it_was(
    tmp_path: Path, small_disk: Path
) -> None:
    (tmp_path / "part").write_bytes(bytes(1 << 20))
    big = made_of(tmp_path / "part")

    with (
        pytest.raises(VmError, match=r"cannot be prepared: .*No space left"),
        Vm(big, tmp_path / "part", place=small_disk),
    ):
        pass

    assert list(small_disk.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=64k", "st-small", str(place))
    yield place
    sh("umount", str(place))


def test_the_table_has_a_row_for_each_case_and_a_column_for_each_kernel(tmp_path: Path) -> None:
    page = tmp_path / "kernels.md"
    page.write_text(
        "before\n<!-- generated by `make kernels`: do not edit -->\nold\n"
        "<!-- end of the generated part -->\nafter\n"
    )
    table = Table()
    table.note("t.py::test_a_card[6.1-veth]", has_passed=True, rung="native")
    table.note("t.py::test_a_card[6.12-veth]", has_passed=False, rung="native")
    table.note("t.py::test_of_the_rig", has_passed=True, rung="")

    table.write(page)

    text = page.read_text()
    assert "| a card (veth) | native | FAILED |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
