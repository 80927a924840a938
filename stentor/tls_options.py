"""TLS of our servers as the flags --tls-* give it, in MetalLB's words."""

import ssl
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

import attrs

DEFAULT_VERSION: Final = "VersionTLS13"
VERSIONS: Final = MappingProxyType(
    {"VersionTLS12": ssl.TLSVersion.TLSv1_2, "VersionTLS13": ssl.TLSVersion.TLSv1_3}
)
# IANA's name -> OpenSSL's, of the suites of TLS 1.2 that Go's library thinks safe.
CIPHER_SUITES: Final = MappingProxyType(
    {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    }
)
# IANA TLS Supported Groups: number -> Go's name.
CURVES: Final = MappingProxyType(
    {
        23: "CurveP256",
        24: "CurveP384",
        25: "CurveP521",
        29: "X25519",
        4587: "SecP256r1MLKEM768",
        4588: "X25519MLKEM768",
        4589: "SecP384r1MLKEM1024",
    }
)


class TlsFlagError(ValueError):
    """A flag that cannot be used; the text names it, its value and what would be right."""


@attrs.frozen
class TlsOptions:
    """What a server offers; empty lists leave the choice to the library."""

    min_version: str = DEFAULT_VERSION
    cipher_suites: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()

    @classmethod
    def of(cls, min_version: str, cipher_suites: str, curve_preferences: str) -> "TlsOptions":
        """Read the three flags; raises TlsFlagError."""
        version = parse_version(min_version or DEFAULT_VERSION)
        suites = parse_cipher_suites(cipher_suites)
        if suites and version != "VersionTLS12":
            raise TlsFlagError(
                f"--tls-cipher-suites with --tls-min-version {version}: TLS 1.3 chooses its own; "
                "remove the suites or say VersionTLS12"
            )
        return cls(version, suites, parse_curves(curve_preferences))


def parse_version(text: str) -> str:
    """Read --tls-min-version; raises TlsFlagError."""
    if text not in VERSIONS:
        raise TlsFlagError(f"--tls-min-version {text!r}, need {' or '.join(VERSIONS)}")
    return text


def parse_cipher_suites(text: str) -> tuple[str, ...]:
    """Read --tls-cipher-suites, IANA names with commas between; raises TlsFlagError."""
    suites = _distinct("--tls-cipher-suites", _parts(text))
    for suite in suites:
        if suite not in CIPHER_SUITES:
            known = ", ".join(CIPHER_SUITES)
            raise TlsFlagError(f"--tls-cipher-suites {suite!r}, there are {known}")
    return suites


def parse_curves(text: str) -> tuple[str, ...]:
    """Read --tls-curve-preferences, IANA's group numbers with commas; raises TlsFlagError."""
    numbers = _distinct("--tls-curve-preferences", _parts(text))
    for number in numbers:
        if not (number.isascii() and number.isdigit() and int(number) in CURVES):
            known = ", ".join(f"{value} ({name})" for value, name in CURVES.items())
            raise TlsFlagError(f"--tls-curve-preferences {number!r}, need numbers of {known}")
    return tuple(CURVES[int(number)] for number in numbers)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _distinct(flag: str, parts: Iterable[str]) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for part in parts:
        if part in seen:
            raise TlsFlagError(f"{flag} names {part!r} twice")
        seen[part] = None
    return tuple(seen)
