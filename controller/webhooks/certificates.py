"""
The webhooks' certificate: what a Secret holds, and what is to be done about it. Pure.

Each serving certificate has a CA of its own, whose key is thrown away once it has signed: what
nobody has nobody can steal, and rotation is always the same one step. The Secret's keys are
MetalLB's:

    ca.crt   every CA that clients shall trust, the newest first (MetalLB: one)
    tls.crt  the serving certificate, signed by one of them
    tls.key  its key

A new pair stands in the Secret at once, beside the old CA. Each replica goes on serving the old
pair until the API server has trusted the new CA for a while (`controller.webhooks.trust`).
"""

import base64
import binascii
import enum
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

CA_CRT: Final = "ca.crt"
TLS_CRT: Final = "tls.crt"
TLS_KEY: Final = "tls.key"
AUTHORITY_PREFIX: Final = "stentor-webhook-ca-"  # of the common name
MOST_AUTHORITIES: Final = (
    8  # a bundle of caBundle stays small, whoever deletes the Secret how often
)


class KeyKind(enum.StrEnum):
    """What a serving key is; the suites of TLS 1.2 are for one or the other."""

    EC = "EC"
    RSA = "RSA"


class Fault(enum.StrEnum):
    """Why a new certificate is made; the log's `reason`."""

    MISSING = "missing"  # there is no Secret, or it is empty: the first start, or asked for
    UNREADABLE = "unreadable"  # not base64, not PEM, not a certificate or a key
    KEY_MISMATCH = "key_mismatch"  # the key is not that of the certificate
    UNTRUSTED = "untrusted"  # no CA of ca.crt has signed it
    WRONG_NAMES = "wrong_names"  # a name under which we are called is missing
    WRONG_KEY_KIND = "wrong_key_kind"  # no cipher suite of --tls-cipher-suites goes with it
    NOT_VALID = "not_valid"  # it, or its CA, has expired or is of the future
    DUE = "due"  # it expires before long


@attrs.frozen
class Lifetime:
    """Of a certificate, and how long before its end the next one is made."""

    valid_for: timedelta = timedelta(days=90)
    renew_before: timedelta = timedelta(days=30)


@attrs.frozen
class Policy:
    """What a certificate must be like."""

    names: tuple[str, ...]  # DNS names and addresses under which the API server calls us
    key_kind: KeyKind = KeyKind.EC
    lifetime: Lifetime = attrs.field(factory=Lifetime)


@attrs.frozen(eq=False)
class Pair:
    """A serving certificate with its key and the CA that signed it."""

    certificate: x509.Certificate
    authority: x509.Certificate
    key: bytes = attrs.field(repr=False)  # PEM

    @property
    def chain(self) -> bytes:
        """As a server sends it: the certificate alone, since clients have the CA."""
        return pem_of(self.certificate)

    @property
    def expires(self) -> datetime:
        """When either of them stops to be valid."""
        return min(self.certificate.not_valid_after_utc, self.authority.not_valid_after_utc)

    def is_valid(self, now: datetime) -> bool:
        """Whether clients take it at that moment."""
        return all(_is_valid(each, now) for each in (self.certificate, self.authority))


@attrs.frozen(eq=False)
class Stored:
    """What a good Secret holds."""

    pair: Pair
    authorities: tuple[x509.Certificate, ...]  # the pair's own among them

    @property
    def bundle(self) -> bytes:
        """All CAs, as caBundle takes them."""
        return b"".join(map(pem_of, self.authorities))

    def with_authorities(self, more: Iterable[x509.Certificate]) -> "Stored":
        """Trust `more` too."""
        return attrs.evolve(self, authorities=_distinct((*self.authorities, *more)))

    def data(self) -> dict[str, str]:
        """As a Secret's `data` has it."""
        content = {CA_CRT: self.bundle, TLS_CRT: self.pair.chain, TLS_KEY: self.pair.key}
        return {name: base64.b64encode(value).decode() for name, value in content.items()}


@attrs.frozen
class Nothing:
    """The Secret is as it should be."""

    stored: Stored


@attrs.frozen
class Renew:
    """Make a new pair; what clients trust now they go on to trust."""

    reason: Fault
    keep: tuple[x509.Certificate, ...] = ()
    detail: str = ""
    meanwhile: Stored | None = None  # what is there, where it serves until it ends


@attrs.frozen
class Trust:
    """The pair is good, but a replica still serves what the Secret does not know the CA of."""

    stored: Stored


Plan = Nothing | Renew | Trust


def plan(
    data: Mapping[str, str] | None,
    policy: Policy,
    now: datetime,
    held: Pair | None,
    remembered: Iterable[x509.Certificate] = (),
) -> Plan:
    """
    Say what is to be done about a Secret with that `data` (None: there is none).

    `held` is what this process serves: as long as it is valid, its CA must stay trusted. The CAs
    `remembered` are those that the Secret had when it was last good, and those that are trusted
    now: another replica may serve what one of them has signed, though the Secret is gone.
    """
    mine = (held.authority,) if held is not None and held.is_valid(now) else ()
    stored, fault, detail = _read(data)
    if stored is not None:
        fault = fault_of(stored.pair, policy, now)
    if stored is None or fault is not None:
        old = (*authorities_in(data), *remembered)
        valid = [each for each in old if _is_valid(each, now)]
        kept = _distinct((*mine, *valid))[: MOST_AUTHORITIES - 1]
        meanwhile = stored if fault is Fault.DUE else None
        return Renew(fault or Fault.UNREADABLE, kept, detail, meanwhile)
    if all(each in stored.authorities for each in mine):
        return Nothing(stored)
    return Trust(stored.with_authorities(mine))


def fault_of(pair: Pair, policy: Policy, now: datetime) -> Fault | None:
    """Say what is wrong with a pair that was read, None: nothing."""
    if not pair.is_valid(now):
        return Fault.NOT_VALID
    if not set(policy.names) <= names_of(pair.certificate):
        return Fault.WRONG_NAMES
    if key_kind_of(pair.certificate) is not policy.key_kind:
        return Fault.WRONG_KEY_KIND
    if pair.expires - now < policy.lifetime.renew_before:
        return Fault.DUE
    return None


def authorities_in(data: Mapping[str, str] | None) -> tuple[x509.Certificate, ...]:
    """Those CAs of ca.crt that can be read; none where it cannot."""
    try:
        return _certificates((data or {}).get(CA_CRT, ""))
    except ValueError:
        return ()


def _read(data: Mapping[str, str] | None) -> tuple[Stored | None, Fault | None, str]:
    if not data:
        return None, Fault.MISSING, ""
    for name in (CA_CRT, TLS_CRT, TLS_KEY):
        if not data.get(name):
            return None, Fault.UNREADABLE, f"{name} is not there"
    name = CA_CRT
    try:
        authorities = _certificates(data[CA_CRT])
        name = TLS_CRT
        certificate = _certificates(data[TLS_CRT])[0]
        name = TLS_KEY
        key = _decoded(data[TLS_KEY])
        public = serialization.load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError) as exc:  # TypeError: a key with a password
        return None, Fault.UNREADABLE, f"{name}: {exc}"
    if public != certificate.public_key():
        return None, Fault.KEY_MISMATCH, ""
    for authority in authorities:
        if _signed(authority, certificate):
            return Stored(Pair(certificate, authority, key), authorities), None, ""
    return None, Fault.UNTRUSTED, ""


def _signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _certificates(text: str) -> tuple[x509.Certificate, ...]:
    """Read base64 of PEM; raises ValueError, also where there is none."""
    return _distinct(x509.load_pem_x509_certificates(_decoded(text)))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"not base64: {exc}") from exc


def _distinct(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    return tuple(dict.fromkeys(certificates))


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """DNS names and addresses that it is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    names = found.get_values_for_type(x509.DNSName)
    return frozenset((*names, *map(str, found.get_values_for_type(x509.IPAddress))))


def key_kind_of(certificate: x509.Certificate) -> KeyKind | None:
    """EC or RSA; None for what we never make."""
    match certificate.public_key():
        case ec.EllipticCurvePublicKey():
            return KeyKind.EC
        case rsa.RSAPublicKey():
            return KeyKind.RSA
        case _:
            return None


def general_name(text: str) -> x509.GeneralName:
    """A DNS name, or an address where it is one."""
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def pem_of(certificate: x509.Certificate) -> bytes:
    """As files and bundles have it."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def is_ours(certificate: x509.Certificate) -> bool:
    """Whether it is a CA that a controller has made, by its name alone."""
    return any(
        str(each.value).startswith(AUTHORITY_PREFIX)
        for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    )


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 of its DER, in hexadecimal: names it in logs, and in what is trusted."""
    return certificate.fingerprint(hashes.SHA256()).hex()
