"""What an operator reads when the machine cannot give what the data plane needs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speaker.dataplane import ApplyError, DataPlane, Options, cleanup
from tests.dataplane.conftest import Start
from tests.dataplane.net import Pair

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]


def open_plane(options: Options) -> DataPlane:
    return DataPlane.open(options, instance_id=1, generation=1, now_ns=time.monotonic_ns())


def test_a_missing_object_says_how_to_build_it(net: Pair, tmp_path: Path) -> None:
    options = Options(net.bpffs, net.state_dir, object_path=tmp_path / "none.o")

    with pytest.raises(ApplyError, match=r"no BPF object at .*none\.o: run scripts/build_bpf"):
        open_plane(options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "not a little-endian 64-bit ELF", id="empty"),
        pytest.param(b"#!/bin/sh\n", "not a little-endian 64-bit ELF", id="a_script"),
        pytest.param(b"\x7fELF\x02\x01" + bytes(90), "not a whole BPF object", id="cut_off"),
    ],
)
def test_a_broken_object_is_named(net: Pair, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.o"
    path.write_bytes(content)

    with pytest.raises(ApplyError, match=f"broken.o is {message}"):
        open_plane(Options(net.bpffs, net.state_dir, object_path=path))


def test_another_bpf_object_is_not_taken_for_the_responder(net: Pair) -> None:
    with pytest.raises(ApplyError, match=r"pass\.o is not"):
        open_plane(Options(net.bpffs, net.state_dir, object_path=net.pass_object))


def test_a_directory_that_cannot_be_bpffs_says_what_would_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(ApplyError, match=r"no bpffs at .*file/bpf.*--bpffs"):
        open_plane(Options(file / "bpf", tmp_path))


def test_bpffs_is_mounted_where_it_is_not_and_cleanup_unmounts_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from speaker.dataplane import *\n"
        "options = Options(Path(sys.argv[1]), Path(sys.argv[2]), excludes=())\n"
        "plane = DataPlane.open(options, instance_id=1, generation=1, now_ns=1)\n"
        "assert next(options.bpffs.glob('v*/maps/vips4'), None)\n"
        "plane.close()\n"
        "print(cleanup(options.bpffs, options.state_dir))\n"
        "assert not options.bpffs.is_mount()\n"
    )
    words = ["unshare", "--mount", "--net", sys.executable, "-c", code]

    done = subprocess.run(
        [*words, str(tmp_path / "bpf"), str(tmp_path / "state")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert f"bpffs on {tmp_path}/bpf" in done.stdout


def test_missing_capabilities_are_named(net: Pair) -> None:
    """As in a container that was given CAP_BPF and CAP_NET_ADMIN only."""
    code = (
        "import sys; from pathlib import Path; from speaker.dataplane import *\n"
        "options = Options(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "try:\n"
        "    DataPlane.open(options, instance_id=1, generation=1, now_ns=1)\n"
        "except ApplyError as exc:\n"
        "    print(exc)\n"
    )
    words = ["setpriv", "--bounding-set", "-all,+net_admin,+bpf", sys.executable, "-c", code]

    done = subprocess.run(
        [*words, str(net.bpffs), str(net.state_dir)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert "missing CAP_PERFMON: run as root, or give the container CAP_BPF" in done.stdout


def test_a_broken_state_file_is_named_and_answers_go_on(net: Pair, start: Start) -> None:
    herald = start()
    herald.put("192.0.2.200")
    (net.state_dir / "dataplane.json").write_text("{")

    with pytest.raises(ApplyError, match=r"dataplane\.json.*remove it to go on"):
        cleanup(net.bpffs, net.state_dir)

    assert net.neighbour("192.0.2.200")


def test_an_excluded_or_absent_interface_is_reported(net: Pair, start: Start) -> None:
    net.add_link("eth9", "02:00:00:00:00:09")
    net.in_node("ip", "link", "set", "eth9", "down")
    herald = start()

    assert herald.plane.refused() == {"eth9": "not_up", "lo": "excluded"}
