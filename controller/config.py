"""What the command line says to the controller."""

import enum
from pathlib import Path
from typing import Final

import attrs

from crds.generate.manifest import WEBHOOK_SERVICE
from stentor.tls_options import TlsOptions

METRICS_PORT: Final = 9120
HEALTH_PORT: Final = 17472
WEBHOOK_PORT: Final = 9443
NAMESPACE: Final = "metallb-system"
SECRET_NAME: Final = "metallb-webhook-cert"  # noqa: S105 - a name
CERT_DIR: Final = "/tmp/k8s-webhook-server/serving-certs"  # noqa: S108 - MetalLB's default
# Where a pod finds its own namespace.
NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class WebhookMode(enum.StrEnum):
    """What of the controller runs; MetalLB's words."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    ONLYWEBHOOK = "onlywebhook"


@attrs.frozen
class Settings:
    """See `stentor controller --help`."""

    version: str = ""
    namespace: str = NAMESPACE
    kubeconfig: str = ""  # "" = as a pod of the cluster
    log_level: str = "info"
    port: int = METRICS_PORT  # 0 = off
    health_port: int = HEALTH_PORT  # 0 = off
    webhook_mode: WebhookMode = WebhookMode.ENABLED
    webhook_host: str = ""  # "" = every address
    webhook_port: int = WEBHOOK_PORT
    webhook_secret: str = SECRET_NAME
    cert_service_name: str = WEBHOOK_SERVICE
    cert_names: tuple[str, ...] = ()  # beside those of the Service
    rotates: bool = True  # False: the certificate is in cert_dir, and somebody else's care
    cert_dir: Path = Path(CERT_DIR)
    tls: TlsOptions = attrs.field(factory=TlsOptions)

    @property
    def server_names(self) -> tuple[str, ...]:
        """Names by which the API server calls us; it says NAME.NAMESPACE.svc of a Service."""
        service = f"{self.cert_service_name}.{self.namespace}.svc"
        return (service, f"{service}.cluster.local", *self.cert_names)
