"""Make a CA and the serving certificate that it signs; the CA's key does not leave this module."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.webhooks.certificates import (
    AUTHORITY_PREFIX,
    KeyKind,
    Pair,
    Policy,
    Stored,
    general_name,
)

_SKEW: Final = timedelta(hours=1)  # that clocks of API servers may be behind ours
_RSA_BITS: Final = 2048
_LONGEST_CN: Final = 64  # ub-common-name, RFC 5280 appendix A.1
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def issue(policy: Policy, now: datetime, keep: Iterable[x509.Certificate] = ()) -> Stored:
    """Make a new pair, valid from now on; the CAs to `keep` stay trusted beside its own."""
    serial = x509.random_serial_number()
    valid = (now - _SKEW, now + policy.lifetime.valid_for)
    authority_key = _new_key(policy.key_kind)
    # Named anew each time: verifiers look for a CA by its name first.
    authority_name = _name(f"{AUTHORITY_PREFIX}{serial % 10**8:08}")
    authority = (
        _builder(authority_name, authority_name, authority_key, authority_key, valid=valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = _new_key(policy.key_kind)
    alternatives = x509.SubjectAlternativeName([general_name(name) for name in policy.names])
    certificate = (
        _builder(_name(policy.names[0]), authority_name, key, authority_key, valid=valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pair = Pair(certificate, authority, text)
    return Stored(pair, (authority,)).with_authorities(keep)


def _new_key(kind: KeyKind) -> PrivateKey:
    if kind is KeyKind.RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_LONGEST_CN])])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    authority_key: PrivateKey,
    *,
    valid: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    public = authority_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
