"""Bad input to a speaker: the message is shown, and what worked before still works."""

import os
import socket
import subprocess
import sys
from functools import partial

import pytest

from speaker.herald.link import SOCKET_NAME
from stentor.exits import ExitCode
from tests.eventually import DEADLINES, eventually
from tests.process.rig import VIP, VIP6, Rig, objects, sh

pytestmark = pytest.mark.root


def test_a_second_speaker_with_the_same_state_directory_is_refused(rig: Rig) -> None:
    first = rig.start().holds(VIP)

    second = rig.start()

    assert second.process.wait(DEADLINES.process_down) == ExitCode.UNAVAILABLE
    [complaint] = second.events("state_dir_taken")
    assert f"in use by the supervisor with pid {first.pid}" in complaint["message"]
    assert first.holds(VIP).process.poll() is None


def test_a_gossip_port_that_is_taken_is_named(rig: Rig) -> None:
    hold_port = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.bind(('0.0.0.0', 7946)); print('bound', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [*rig.inside(rig.node), sys.executable, "-c", hold_port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as squatter:
        assert squatter.stdout is not None
        squatter.stdout.readline()
        speaker = rig.start()

        assert speaker.process.wait(DEADLINES.process_up) == ExitCode.UNAVAILABLE
        squatter.kill()

    [complaint] = speaker.events("port_taken")
    assert "7946" in complaint["message"]
    assert "--ml-bindport" in complaint["message"]


def test_a_metrics_port_that_is_taken_is_named(rig: Rig) -> None:
    speaker = rig.start("--port", "7946", "--health-probe-port", "7946")

    assert speaker.process.wait(DEADLINES.process_up) == ExitCode.UNAVAILABLE
    assert any("7946" in event["message"] for event in speaker.events("port_taken"))


def test_an_advertised_interface_that_does_not_exist_is_a_warning_in_status(rig: Rig) -> None:
    rig.write(objects([VIP], interfaces=["eth7"]))

    speaker = rig.start()

    view = eventually(
        speaker.view, until=lambda v: v is not None and bool(v.warnings), within_s=30.0
    )
    assert view is not None
    assert view.warnings == (
        "interface eth7 is advertised for 1 VIPs but not served: it does not exist on this node",
    )
    assert speaker.held() == set()
    shown = rig.command("status", "--state-dir", str(rig.state_dir)).stdout
    assert "warning: interface eth7" in shown


def test_without_cap_bpf_the_missing_capabilities_are_named(rig: Rig) -> None:
    capsh = ["setpriv", "--bounding-set", "-bpf,-sys_admin,-perfmon", "--inh-caps", "-all"]
    done = subprocess.run(
        [
            *rig.inside(rig.node),
            *capsh,
            *(sys.executable, "-m", "stentor.cli.main", "speaker", *rig.flags()),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == ExitCode.NO_PERM, done.stderr
    assert "this process lacks CAP_PERFMON, CAP_BPF" in done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "complaint"),
    [
        (("--xdp-mode", "fast"), ExitCode.USAGE, "'fast' is not one of"),
        (("--join", "192.0.2.9:port"), ExitCode.USAGE, "need HOST[:PORT]"),
        (("--ml-bindaddr", "everywhere"), ExitCode.USAGE, "need an IPv4 or IPv6 address"),
        (("--ml-bindport", "0"), ExitCode.USAGE, "1<=x<=65535"),
        (("--exclude-interfaces", "("), ExitCode.USAGE, "--exclude-interfaces"),
        (("--manifests", "/nowhere"), ExitCode.USAGE, "does not exist"),
        (("--node-name", "n" * 254), ExitCode.USAGE, "need 1 to 253 octets"),
        (("--ml-secret-key-path", "/nowhere"), ExitCode.CONFIG, "No such file"),
        (("--frobnicate",), ExitCode.USAGE, "No such option"),
    ],
)
def test_a_wrong_flag_is_refused_with_what_would_be_right(
    rig: Rig, flags: tuple[str, ...], code: ExitCode, complaint: str
) -> None:
    done = rig.command("speaker", *rig.flags(*flags), check=False)

    assert (code, True) == (done.returncode, complaint in done.stderr), done.stderr


def test_without_manifests_the_command_says_what_is_missing(rig: Rig) -> None:
    done = rig.command("speaker", *rig.directories(), check=False)

    assert done.returncode == ExitCode.USAGE
    assert "--manifests DIR is required" in done.stderr


def test_a_key_of_wrong_length_is_refused(rig: Rig) -> None:
    path = rig.root / "key"
    path.write_text("base64:c2hvcnQ=")

    done = rig.command("speaker", *rig.flags("--ml-secret-key-path", str(path)), check=False)

    assert done.returncode == ExitCode.CONFIG
    assert "5 bytes, need 16, 24 or 32" in done.stderr


def test_garbage_on_the_herald_socket_is_counted_and_harms_nobody(rig: Rig) -> None:
    speaker = rig.start().holds(VIP)
    for garbage in (b"\xff" * 64, b"GET / HTTP/1.0\r\n\r\n", b"\x00\x00\x00\x05hello"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(rig.state_dir / SOCKET_NAME))
            client.sendall(garbage)
            client.recv(1024)

    assert speaker.counters().herald["link_garbage"] == 3
    assert {VIP, VIP6} == speaker.held()


def test_cleanup_beside_a_running_speaker_is_refused(rig: Rig) -> None:
    speaker = rig.start().holds(VIP)

    done = rig.command("speaker", *rig.directories(), "--cleanup", check=False)

    assert done.returncode == ExitCode.UNAVAILABLE
    assert "in use by the supervisor" in done.stderr
    assert rig.lladdr() == eventually(partial(rig.resolve, VIP), within_s=DEADLINES.answered)
    assert speaker.process.poll() is None


def test_a_broken_manifest_keeps_what_worked_and_says_where_it_is_wrong(rig: Rig) -> None:
    speaker = rig.start().holds(VIP)

    (rig.manifests / "all.yaml").write_text("kind: [")

    eventually(lambda: speaker.events("input_refused"), within_s=DEADLINES.file_seen)
    assert "all.yaml:1" in speaker.events("input_refused")[0]["message"]
    assert {VIP, VIP6} == speaker.held()


def test_a_reader_of_the_log_that_stops_reading_stops_nobody(rig: Rig) -> None:
    """The lease must not wait for a log."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)
    process = subprocess.Popen(
        [
            *rig.inside(rig.node),
            *(sys.executable, "-m", "stentor.cli.main", "speaker", *rig.flags("--log-level=all")),
        ],
        stdout=write_end,
        stderr=write_end,
    )
    rig.processes.append(process)
    try:
        eventually(partial(rig.resolve, VIP), until=rig.lladdr().__eq__, within_s=30.0)
        process.terminate()
        eventually(lambda: rig.on_lo() == set(), within_s=DEADLINES.process_down)
    finally:
        os.close(read_end)
        os.close(write_end)


def test_status_without_a_speaker_says_so(rig: Rig) -> None:
    done = rig.command("status", "--state-dir", str(rig.state_dir), check=False)

    assert done.returncode == ExitCode.UNAVAILABLE
    assert "no herald at" in done.stderr


def test_a_foreign_xdp_program_is_left_alone_and_reported(rig: Rig) -> None:
    xdp_pass = (sys.executable, "-m", "stentor.lab.xdp_pass", "eth0")
    sh(*rig.inside(rig.node), *xdp_pass)

    speaker = rig.start()

    view = eventually(
        speaker.view, until=lambda v: v is not None and bool(v.attachments), within_s=30.0
    )
    assert view is not None
    [attachment] = view.attachments
    assert attachment.reason == "foreign_program"
    assert attachment.rung in {"tcx", "clsact"}
    assert rig.links("eth0")[0]["xdp"]
