"""A server's TLS context by the flags --tls-*; its certificate can be exchanged while it serves."""

import _ssl
import ctypes
import os
import ssl
from collections.abc import Iterable
from typing import Final

from stentor.tls_options import CIPHER_SUITES, VERSIONS, TlsFlagError, TlsOptions

# Go's names of groups -> OpenSSL's.
_GROUPS: Final = {"CurveP256": "P-256", "CurveP384": "P-384", "CurveP521": "P-521"}
_SET_GROUPS_LIST: Final = 92  # SSL_CTRL_SET_GROUPS_LIST of openssl/ssl.h


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """Make a context without a certificate. Raises TlsFlagError for what OpenSSL does not have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[options.min_version]
    if options.cipher_suites:
        context.set_ciphers(":".join(CIPHER_SUITES[suite] for suite in options.cipher_suites))
    if options.curves:
        _set_groups(context, options.curves)
    return context


def use_certificate(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """
    Serve `chain` (PEM, leaf first) to every connection that begins from now on.

    Python's ssl reads files only: these are in memory, so that no disk holds the key. Raises
    ssl.SSLError when the two do not belong together.
    """
    with _Memory(chain) as certificate_file, _Memory(key) as key_file:
        context.load_cert_chain(certificate_file, key_file)


class _Memory:
    """A file that has a path but is on no disk, memfd_create(2)."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __enter__(self) -> str:
        self._fd = os.memfd_create("pem")
        os.write(self._fd, self._content)
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _set_groups(context: ssl.SSLContext, curves: Iterable[str]) -> None:
    """
    Offer these groups and no others, as SSL_CTX_set1_groups_list(3) does.

    Python has no call for more than one before 3.15 (set_ecdh_curve takes one). The pointer to
    OpenSSL's context has followed the object's head in all versions that we run on.
    """
    names = [_GROUPS.get(curve, curve) for curve in curves]
    library = ctypes.CDLL(_ssl.__file__)  # and with it the libssl that it is linked to
    control = library.SSL_CTX_ctrl
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]
    control.restype = ctypes.c_long
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    for text in (*names, ":".join(names)):  # one by one first, to name what is missing
        if control(pointer, _SET_GROUPS_LIST, 0, text.encode()) != 1:
            raise TlsFlagError(f"--tls-curve-preferences: {ssl.OPENSSL_VERSION} has no {text}")
