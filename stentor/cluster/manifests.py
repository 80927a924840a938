"""
A directory of manifests as a source of objects: read, watched, re-read.

What a bad file held when it was good stays in force; see docs/reference/manifests.md.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import blake2b
from pathlib import Path

import attrs
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from stentor.cluster import files
from stentor.cluster.assemble import assemble
from stentor.cluster.documents import FileContent, keep_all, read_text
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.objects import World

SETTLE_MS = 100  # quiet for this long after a change, so that a file under way is complete
SETTLE_MAX_MS = 1000  # but no longer, however busy the directory is
RESCAN_S = 5.0  # what inotify cannot see: NFS, targets of links, a directory put in place anew


@attrs.frozen
class _Read:
    """A file as last read."""

    signature: files.Signature
    digest: bytes
    content: FileContent


@attrs.define
class DirectoryReader:
    """Holds the last good state of a directory. Blocking; owned by one task at a time."""

    root: Path
    lb_class: str = ""
    _manifests: dict[str, _Read] = attrs.field(factory=dict, init=False)
    _allocations: dict[str, _Read] = attrs.field(factory=dict, init=False)
    _trouble: tuple[Finding, ...] = attrs.field(default=(), init=False)
    _is_read: bool = attrs.field(default=False, init=False)

    def refresh(
        self, suspects: frozenset[str] = frozenset(), trouble: tuple[Finding, ...] = ()
    ) -> World | None:
        """
        Read what changed, and return the new World, or None when nothing did.

        `suspects` are files, relative to the root, that are read even if they look unchanged;
        `trouble` are findings about the watching itself.
        """
        manifests = files.scan(self.root)
        allocations = files.scan(self.root, files.ALLOCATIONS)
        is_changed = self._update(self._manifests, manifests, suspects)
        is_changed |= self._update(self._allocations, allocations, suspects)
        is_kept = bool(self._manifests)
        unseen = (*manifests.findings, *allocations.findings)
        found = (*trouble, *(attrs.evolve(finding, is_kept=is_kept) for finding in unseen))
        if self._is_read and not is_changed and found == self._trouble:
            return None
        self._trouble, self._is_read = found, True
        return assemble(
            {name: read.content for name, read in self._manifests.items()},
            {name: read.content for name, read in self._allocations.items()},
            lb_class=self.lb_class,
            trouble=found,
        )

    def _update(
        self, known: dict[str, _Read], listing: files.Listing, suspects: frozenset[str]
    ) -> bool:
        """Bring `known` up to `listing`; tell whether anything changed."""
        gone = [
            name
            for name in known
            if name not in listing.files and not files.lies_in(name, listing.unlisted)
        ]
        for name in gone:
            del known[name]
        is_changed = bool(gone)
        for name, signature in listing.files.items():
            last = known.get(name)
            if last is not None and last.signature == signature and name not in suspects:
                continue
            read = self._read(name, signature, last)
            is_changed |= last is None or read.content is not last.content
            known[name] = read
        return is_changed

    def _read(self, name: str, signature: files.Signature, last: _Read | None) -> _Read:
        entries = last.content.entries if last else {}
        try:
            text = files.read_text(self.root, name)
        except files.UnreadableError as exc:
            content = keep_all(exc.finding, entries)
            if last is not None and last.content == content:
                content = last.content
            return _Read(signature, b"", content)
        digest = blake2b(text.encode(), digest_size=16).digest()
        if last is not None and last.digest == digest:
            return attrs.evolve(last, signature=signature)
        return _Read(signature, digest, read_text(name, text, entries))


@attrs.frozen
class _Hint:
    """Something may have changed: these files for sure, others perhaps."""

    suspects: frozenset[str] = frozenset()
    trouble: tuple[Finding, ...] = ()


@attrs.define
class ManifestSource:
    """
    The objects of a directory of YAML and JSON files, at any depth, with hot reload.

    `lb_class` is MetalLB's: empty takes the Services without loadBalancerClass, else those with
    exactly that one. Every `rescan_s` seconds the files are looked at unasked.
    """

    directory: Path
    lb_class: str = ""
    rescan_s: float = RESCAN_S

    async def worlds(self) -> AsyncGenerator[World, None]:
        """
        Yield the World now, then after each change that means something.

        Bursts are one World. Bad input never ends it nor raises: see `World.findings`.
        """
        root = self.directory.absolute()
        reader = DirectoryReader(root, self.lb_class)
        world: World | None = None
        async with aclosing(_changes(root, self.rescan_s)) as changes:
            async for hint in changes:
                fresh = await asyncio.to_thread(reader.refresh, hint.suspects, hint.trouble)
                if fresh is not None and fresh != world:
                    world = fresh
                    yield world


async def _changes(root: Path, rescan_s: float) -> AsyncGenerator[_Hint, None]:
    """Yield at once, then whenever files may have changed."""
    while True:
        identity = _identity(root)
        trouble: tuple[Finding, ...] = ()
        try:
            async with aclosing(_watch(root, rescan_s)) as events:
                async for suspects in events:
                    yield _Hint(suspects)
                    if _identity(root) != identity:
                        break  # another directory has taken its name: watch that one
        except (OSError, WatchfilesRustInternalError) as exc:
            trouble = (_unwatched(exc, rescan_s),) if identity is not None else ()
            yield _Hint(trouble=trouble)
            await asyncio.sleep(rescan_s)


async def _watch(root: Path, rescan_s: float) -> AsyncGenerator[frozenset[str], None]:
    """
    Yield nothing once the watch stands, then the files that changed, relative to `root`.

    Yields nothing every `rescan_s` seconds too. Nothing is filtered out: a look at what did not
    change costs a stat a file. Not watchfiles.awatch, which starts to watch only after the first
    look.
    Raises OSError or WatchfilesRustInternalError when `root` cannot be watched.
    """
    stop = threading.Event()
    with RustNotify(
        [str(root)], debug=False, force_polling=False, poll_delay_ms=300, recursive=True,
        ignore_permission_denied=True,
    ) as watcher:  # fmt: skip
        yield frozenset()
        while True:
            work = asyncio.ensure_future(
                asyncio.to_thread(
                    watcher.watch, SETTLE_MAX_MS, SETTLE_MS, int(rescan_s * 1000), stop
                )
            )
            try:
                changes = await asyncio.shield(work)
            except asyncio.CancelledError:
                stop.set()  # seen within SETTLE_MS; the thread must be out before the watcher goes
                await asyncio.wait([work])
                raise
            if isinstance(changes, set):
                yield frozenset(path.removeprefix(f"{root}/") for _, path in changes)
            else:
                yield frozenset()  # "timeout"


def read_directory(directory: Path | str, lb_class: str = "") -> World:
    """Read a directory once. Never raises for what is in it, nor when it is not there."""
    world = DirectoryReader(Path(directory).absolute(), lb_class).refresh()
    assert world is not None, "the first reading always gives a World"
    return world


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _unwatched(exc: Exception, rescan_s: float) -> Finding:
    message = f"cannot be watched ({exc}); looked at every {rescan_s:g} s instead"
    return Finding(".", 0, "", "", message, Severity.WARNING, Cause.UNREADABLE, value=str(exc))
