"""A certificate that somebody else keeps in two files."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.webhooks.certificates import Policy
from controller.webhooks.files import BadFilesError, CertificateFiles, read_pair
from controller.webhooks.issue import issue
from stentor.logging import Log
from tests.eventually import DEADLINES
from tests.log_lines import Lines

NOW = datetime.now(UTC)
ONE, OTHER = issue(Policy(("x",)), NOW).pair, issue(Policy(("x",)), NOW).pair


def write(folder: Path, chain: bytes = ONE.chain, key: bytes = ONE.key) -> None:
    (folder / "tls.crt").write_bytes(chain)
    (folder / "tls.key").write_bytes(key)


@pytest.mark.parametrize(
    ("chain", "key", "file", "part"),
    [
        (b"x", ONE.key, "tls.crt", "PEM"),
        (ONE.chain, b"x", "tls.key", "PEM"),
        (ONE.chain, OTHER.key, "tls.key", "is not the key of the certificate"),
    ],
)
def test_files_that_do_not_serve_are_named(
    tmp_path: Path, chain: bytes, key: bytes, file: str, part: str
) -> None:
    write(tmp_path, chain, key)

    with pytest.raises(BadFilesError, match=part) as caught:
        read_pair(tmp_path)

    assert str(caught.value).startswith(f"{tmp_path / file}: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFilesError, match=r"tls\.crt: No such file"):
        read_pair(tmp_path)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator["asyncio.Queue[tuple[bytes, bytes]]"]:
    """What is served, one after the other, while somebody writes to `tmp_path`."""
    queue: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
    files = CertificateFiles(
        tmp_path, lambda *pair: queue.put_nowait(pair), Log(Lines(), lambda: 0.0)
    )
    running = asyncio.create_task(files.run())
    try:
        yield queue
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_what_is_there_is_served_and_what_comes_after_it(
    tmp_path: Path, served: "asyncio.Queue[tuple[bytes, bytes]]"
) -> None:
    """A half of a change is not served: the key then belongs to another certificate."""
    for pair in (ONE, OTHER):
        write(tmp_path, pair.chain, pair.key)
        async with asyncio.timeout(DEADLINES.process_up):
            assert (pair.chain, pair.key) == await served.get()
