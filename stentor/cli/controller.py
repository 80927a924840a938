"""`stentor controller`: flags and environment into Settings, then the controller itself."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from controller import config
from controller.config import Settings, WebhookMode
from crds.generate.manifest import WEBHOOK_SERVICE
from stentor.cli.options import PORT, go_bool, log_level
from stentor.tls_options import DEFAULT_VERSION, TlsFlagError, TlsOptions
from stentor.version import installed


@click.command()
@click.option(
    "--namespace",
    envvar="METALLB_NAMESPACE",
    metavar="NAME",
    help="Where our objects live; by default a pod's own namespace, elsewhere metallb-system.",
)
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    default="",
    metavar="FILE",
    help="How to reach the API server; without it as a pod of the cluster does.",
)
@click.option(
    "--webhook-mode",
    type=click.Choice([str(mode) for mode in WebhookMode]),
    default=str(WebhookMode.ENABLED),
    show_default=True,
    help="Serve webhooks beside all else, serve none, or do nothing else.",
)
@click.option(
    "--webhook-bind-address",
    default="",
    metavar="ADDRESS",
    help="Address of the webhooks; by default all.",
)
@click.option(
    "--webhook-port",
    default=config.WEBHOOK_PORT,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="HTTPS port of the webhooks.",
)
@click.option(
    "--webhook-secret",
    default=config.SECRET_NAME,
    show_default=True,
    metavar="NAME",
    help="Secret that replicas share the certificate by; deleting it makes a new one.",
)
@go_bool("--webhook-http2", "Accepted for MetalLB's sake; the webhooks speak HTTP/1.1.")
@go_bool("--disable-cert-rotation", "Serve tls.crt and tls.key of --cert-dir, and make none.")
@click.option(
    "--cert-dir",
    default=config.CERT_DIR,
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Certificate that somebody else keeps; read again when it changes.",
)
@click.option(
    "--cert-service-name",
    default=WEBHOOK_SERVICE,
    show_default=True,
    metavar="NAME",
    help="Service by which the API server reaches the webhooks.",
)
@click.option(
    "--cert-extra-name",
    "cert_names",
    multiple=True,
    metavar="NAME",
    help="DNS name or address that the certificate is for too, of a url; repeatable.",
)
@click.option(
    "--tls-min-version",
    default=DEFAULT_VERSION,
    show_default=True,
    metavar="VERSION",
    help="VersionTLS12 or VersionTLS13.",
)
@click.option(
    "--tls-cipher-suites",
    default="",
    metavar="NAMES",
    help="IANA's names with commas between, for TLS 1.2 alone; by default OpenSSL's choice.",
)
@click.option(
    "--tls-curve-preferences",
    default="",
    metavar="NUMBERS",
    help="IANA's group numbers with commas between; by default OpenSSL's choice.",
)
@click.option(
    "--port", default=config.METRICS_PORT, show_default=True, type=PORT, help="/metrics; 0 = off."
)
@click.option(
    "--health-probe-port",
    default=config.HEALTH_PORT,
    show_default=True,
    type=PORT,
    help="/healthz and /readyz; 0 = off.",
)
@log_level
def controller(**flags: Any) -> None:
    """
    Serve the webhooks: MetalLB's rules for objects, conversion of BGPPeer.

    Addresses are not given to Services yet: so far `enabled` does what `onlywebhook` does, and
    `disabled` nothing but to wait. Any number of replicas may run. Runs until SIGTERM. Exit codes:
    0 stopped, 64 wrong flag, 69 port taken, 70 bug, 78 no way to the API server.
    """
    try:
        settings = settings_of(flags)
        from controller import main  # noqa: PLC0415 - not for --help
    except TlsFlagError as exc:
        raise click.UsageError(str(exc)) from exc
    except ImportError as exc:
        raise click.UsageError(
            f"{exc.name} is not installed: pip install stentor[kubernetes]"
        ) from exc
    sys.exit(main.run(settings))


def settings_of(flags: Mapping[str, Any]) -> Settings:
    """Turn parsed flags into Settings; raises TlsFlagError and UsageError."""
    tls = TlsOptions.of(
        flags["tls_min_version"], flags["tls_cipher_suites"], flags["tls_curve_preferences"]
    )
    return Settings(
        version=installed(),
        namespace=flags["namespace"] or _own_namespace(),
        kubeconfig=flags["kubeconfig"],
        log_level=flags["log_level"],
        port=flags["port"],
        health_port=flags["health_probe_port"],
        webhook_mode=WebhookMode(flags["webhook_mode"]),
        webhook_host=flags["webhook_bind_address"],
        webhook_port=flags["webhook_port"],
        webhook_secret=flags["webhook_secret"],
        cert_service_name=flags["cert_service_name"],
        cert_names=tuple(flags["cert_names"]),
        rotates=not flags["disable_cert_rotation"],
        cert_dir=flags["cert_dir"].absolute(),
        tls=tls,
    )


def _own_namespace() -> str:
    try:
        return config.NAMESPACE_FILE.read_text().strip() or config.NAMESPACE
    except OSError:
        return config.NAMESPACE
