"""Certificates and kubeconfigs of a control plane for tests: short-lived, below one directory."""

import datetime
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import attrs
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID_FOR = datetime.timedelta(days=7)
_SKEW = datetime.timedelta(hours=1)


@attrs.frozen
class Authority:
    """A CA whose certificates lie beside it: NAME.crt and NAME.key."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, directory: Path) -> "Authority":
        """Make a new one, with ca.crt for everybody."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stentor lab")])
        builder = _builder(name, name, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        certificate = builder.sign(key, hashes.SHA256())
        (directory / "ca.crt").write_bytes(_pem(certificate))
        return cls(directory, key, certificate)

    def issue(
        self,
        name: str,
        *,
        common_name: str,
        organization: str = "",
        addresses: Iterable[str] = (),
    ) -> None:
        """Write NAME.crt and NAME.key for a server (with its addresses) or a user."""
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organization:
            parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        builder = _builder(x509.Name(parts), self.certificate.subject, key)
        if names := [x509.IPAddress(ip_address(text)) for text in addresses]:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        (self.directory / f"{name}.crt").write_bytes(_pem(certificate))
        path = self.directory / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + VALID_FOR)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def write_kubeconfig(path: Path, url: str, authority: Authority, user: str) -> None:
    """A kubeconfig for a user whose certificate the authority has issued."""
    at = authority.directory
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [
            {"name": "lab", "cluster": {"server": url, "certificate-authority": str(at / "ca.crt")}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate": str(at / f"{user}.crt"),
                    "client-key": str(at / f"{user}.key"),
                },
            }
        ],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
