"""`stentor controller`: MetalLB's flags, and how it ends when they are wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from controller.config import Settings, WebhookMode
from stentor.cli.controller import controller, settings_of
from stentor.exits import ExitCode
from stentor.tls_options import TlsOptions


def settings(*arguments: str, **environment: str) -> Settings:
    """Settings of a command line, without running it."""
    with click.Context(controller) as context, CliRunner().isolation(env=environment):
        controller.parse_args(context, list(arguments))
        return settings_of(context.params)


def test_defaults_are_metallbs() -> None:
    made = settings(KUBECONFIG="")

    assert (made.namespace, made.webhook_mode) == ("metallb-system", WebhookMode.ENABLED)
    assert (made.port, made.health_port, made.webhook_port) == (9120, 17472, 9443)
    assert (made.webhook_secret, made.rotates) == ("metallb-webhook-cert", True)
    assert made.cert_dir == Path("/tmp/k8s-webhook-server/serving-certs")  # noqa: S108
    assert made.tls == TlsOptions()
    assert made.server_names == (
        "metallb-webhook-service.metallb-system.svc",
        "metallb-webhook-service.metallb-system.svc.cluster.local",
    )


def test_flags_and_variables_are_read() -> None:
    made = settings(
        *("--webhook-mode", "onlywebhook", "--disable-cert-rotation=true", "--webhook-http2"),
        *("--tls-min-version", "VersionTLS12", "--tls-curve-preferences", "23,29"),
        *("--cert-extra-name", "192.0.2.1", "--cert-extra-name", "x.example"),
        METALLB_NAMESPACE="lb",
        KUBECONFIG="/nowhere",
    )

    assert (made.namespace, made.kubeconfig) == ("lb", "/nowhere")
    assert (made.webhook_mode, made.rotates) == (WebhookMode.ONLYWEBHOOK, False)
    assert made.tls == TlsOptions("VersionTLS12", (), ("CurveP256", "X25519"))
    assert made.server_names[0] == "metallb-webhook-service.lb.svc"
    assert made.server_names[2:] == ("192.0.2.1", "x.example")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command itself, which is to end by itself."""
    quiet = ("--port", "0", "--health-probe-port", "0")
    return subprocess.run(
        [sys.executable, "-m", "stentor.cli.main", "controller", *quiet, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def last_event(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What it said last."""
    event: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return event


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--tls-min-version", "VersionTLS11"], "--tls-min-version 'VersionTLS11', need"),
        (["--tls-curve-preferences", "23,23"], "--tls-curve-preferences names '23' twice"),
        (["--webhook-mode", "on"], "'on' is not one of 'enabled', 'disabled', 'onlywebhook'"),
        (["--webhook-port", "0"], "0 is not in the range 1<=x<=65535"),
    ],
)
def test_a_wrong_flag_ends_with_ex_usage(arguments: list[str], part: str) -> None:
    done = run(*arguments)

    assert (done.returncode, part in done.stderr) == (ExitCode.USAGE, True), done.stderr


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "there is no such file"),
        ("", "not a kubeconfig"),
        ("{", "not a kubeconfig"),
        ("clusters: 7", "not a kubeconfig"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, part: str
) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)

    done = run("--kubeconfig", str(path))

    assert done.returncode == ExitCode.CONFIG, done.stderr
    assert "Traceback" not in done.stderr
    event = last_event(done)
    assert event["event"] == "settings_refused"
    assert str(path) in event["message"]
    assert part in event["message"]


def test_outside_a_pod_a_kubeconfig_is_asked_for() -> None:
    done = run(KUBECONFIG="")

    assert done.returncode == ExitCode.CONFIG
    assert "not in a pod, and no --kubeconfig" in last_event(done)["message"]
