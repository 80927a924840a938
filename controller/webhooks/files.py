"""A certificate that somebody else keeps: two files of a directory, such as a mounted Secret."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from watchfiles import awatch

from controller.webhooks.certificates import TLS_CRT, TLS_KEY, fingerprint_of
from stentor.logging import Log

AGAIN_S: Final = 5.0  # to look without being told: what changed just before the watch began


class BadFilesError(ValueError):
    """Files that are no certificate with its key; the text names the file and what is wrong."""


@attrs.define(eq=False)
class CertificateFiles:
    """Calls `serve` with chain and key (PEM) now, and after every change that makes sense."""

    directory: Path
    serve: Callable[[bytes, bytes], None]
    log: Log
    problem: str = "not read yet"
    _served: tuple[bytes, bytes] = (b"", b"")

    @property
    def obstacle(self) -> str:
        """What keeps us from serving, "" when nothing."""
        return self.problem if self._served == (b"", b"") else ""

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._look()
            if not await asyncio.to_thread(self.directory.is_dir):
                await asyncio.sleep(AGAIN_S)
                continue
            async for _ in awatch(
                self.directory, rust_timeout=int(AGAIN_S * 1000), yield_on_timeout=True
            ):
                await self._look()

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(read_pair, self.directory)
        except BadFilesError as exc:
            if str(exc) != self.problem:
                self.log.error("certificate_files_refused", message=str(exc))
            self.problem = str(exc)
            return
        self.problem = ""
        if found == self._served:
            return
        self.serve(*found)
        self._served = found
        leaf = x509.load_pem_x509_certificate(found[0])
        self.log.info(
            "certificate_served",
            certificate=fingerprint_of(leaf),
            expires=f"{leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        )


def read_pair(directory: Path) -> tuple[bytes, bytes]:
    """Read tls.crt and tls.key of a directory; raises BadFilesError."""
    path = directory / TLS_CRT
    try:
        chain = path.read_bytes()
        leaf = x509.load_pem_x509_certificate(chain)
        path = directory / TLS_KEY
        key = path.read_bytes()
        public = serialization.load_pem_private_key(key, password=None).public_key()
    except OSError as exc:
        raise BadFilesError(f"{path}: {exc.strerror}") from exc
    except (ValueError, TypeError) as exc:
        raise BadFilesError(f"{path}: {exc}") from exc
    if public != leaf.public_key():
        raise BadFilesError(f"{path}: is not the key of the certificate beside it")
    return chain, key
