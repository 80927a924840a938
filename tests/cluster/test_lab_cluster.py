"""`stentor lab cluster`: a control plane for people."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stentor.lab import processes
from stentor.lab.control_plane import ControlPlane, programs


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`stentor lab cluster ARGUMENTS`."""
    command = [sys.executable, "-m", "stentor.cli.main", "lab", "--dir", str(directory), "cluster"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.usefixtures("plane")  # skips where the programs are not there
def test_it_comes_up_answers_kubectl_and_goes_without_a_trace(tmp_path: Path) -> None:
    try:
        up = run(tmp_path, "up")
        again = run(tmp_path, "up")
        config = up.stdout.partition("KUBECONFIG=")[2].split()[0]
        listed = subprocess.run(
            [str(programs()["kubectl"]), "--kubeconfig", config, "get", "namespaces", "-o", "name"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    finally:
        down = run(tmp_path, "down")

    assert (up.returncode, down.returncode) == (0, 0), up.stderr + down.stderr
    assert "namespace/default" in listed.stdout.split()
    assert again.returncode == 1
    assert "take it down first" in again.stderr
    assert not (tmp_path / "cluster").exists()


@pytest.mark.usefixtures("plane")  # skips where the programs are not there
def test_it_comes_up_with_webhooks_that_judge(tmp_path: Path) -> None:
    two = yaml.safe_dump_all([pool("st-a", "192.0.2.0/24"), pool("st-b", "192.0.2.7/32")])
    try:
        up = run(tmp_path, "up", "--webhooks")
        config = up.stdout.partition("KUBECONFIG=")[2].split()[0]
        applied = subprocess.run(
            [str(programs()["kubectl"]), "--kubeconfig", config, "apply", "-f", "-"],
            input=two, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        controller = processes.recorded(tmp_path / "cluster" / "controller.pid")
    finally:
        down = run(tmp_path, "down")

    assert (up.returncode, down.returncode) == (0, 0), up.stderr + down.stderr
    assert "st-a created" in applied.stdout
    assert "overlaps IPAddressPool metallb-system/st-a" in applied.stderr
    assert controller is not None
    assert not controller.is_alive


def pool(name: str, entry: str) -> dict[str, object]:
    """A pool as a file has it."""
    metadata = {"name": name, "namespace": "metallb-system"}
    spec = {"addresses": [entry]}
    version = "metallb.io/v1beta1"
    return {"apiVersion": version, "kind": "IPAddressPool", "metadata": metadata, "spec": spec}


def test_programs_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "KUBEBUILDER_ASSETS", str(tmp_path))

    done = run(tmp_path / "lab", "up")

    assert done.returncode == 1
    assert f"no etcd, kube-apiserver, kubectl in KUBEBUILDER_ASSETS={tmp_path}" in done.stderr


def test_a_version_that_was_not_built_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("STENTOR_CACHE", str(tmp_path))
    monkeypatch.setenv("STENTOR_KUBERNETES", "1.35")
    monkeypatch.setenv("PATH", str(tmp_path))

    done = run(tmp_path / "lab", "up")

    assert done.returncode == 1
    assert "no etcd, kube-apiserver, kubectl here of STENTOR_KUBERNETES=1.35; run" in done.stderr


def test_a_plane_that_never_was_is_taken_down_in_silence(tmp_path: Path) -> None:
    ControlPlane(tmp_path / "nowhere").down()

    assert list(tmp_path.iterdir()) == []
