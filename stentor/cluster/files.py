"""
The files of a manifest directory, as they stand on disk.

Names that start with a dot are not looked at (editors' swap files, `.git`, the `..data` of a
mounted ConfigMap), nor is what does not end in .yaml, .yml or .json. Links are followed.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import attrs

from stentor.cluster.findings import Cause, Finding

STATUS_DIR = ".status"
ALLOCATIONS = f"{STATUS_DIR}/Service"  # written by a controller, read here
SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 16 * 2**20  # some 70,000 services
MAX_FILES = 20_000
MAX_DIR_DEPTH = 16


class UnreadableError(Exception):
    """A file that gives no text; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        """Carry the finding."""
        self.finding = finding
        super().__init__(str(finding))


@attrs.frozen
class Signature:
    """Tells whether a file may have changed since it was read."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> "Signature":
        """Take it from a stat of the file a link leads to."""
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


@attrs.frozen
class Listing:
    """What a scan found: files by path relative to the root, and what it could not look at."""

    files: Mapping[str, Signature] = attrs.field(factory=dict)
    findings: tuple[Finding, ...] = ()
    # Folders that could not be listed, "" for the root: what lay in them may still be there.
    unlisted: tuple[str, ...] = ()


def scan(root: Path, under: str = "") -> Listing:
    """
    List the manifest files below `root`/`under`; for bad folders and links, findings.

    Never raises OSError. A missing `under` holds nothing; a missing root is a finding.
    """
    work = _Scan(root)
    if under and not (root / under).is_dir():
        return Listing()
    work.folder(under, frozenset())
    return Listing(dict(sorted(work.files.items())), tuple(work.findings), tuple(work.unlisted))


def read_text(root: Path, name: str) -> str:
    """Return the text of a manifest file. Raises UnreadableError."""
    try:
        with (root / name).open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise UnreadableError(_unreadable(name, exc)) from exc
    if len(data) > MAX_FILE_BYTES:
        message = f"is larger than {MAX_FILE_BYTES // 2**20} MiB; split it"
        raise UnreadableError(Finding(name, 0, "", "", message, cause=Cause.UNREADABLE))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        bad = data[exc.start]
        message = f"byte 0x{bad:02x} is not UTF-8; save the file as UTF-8"
        finding = Finding(
            name, line, "", "", message, cause=Cause.BAD_ENCODING, value=f"0x{bad:02x}"
        )
        raise UnreadableError(finding) from exc
    # JSON allows tabs between values, YAML does not; inside a JSON string a raw tab is no JSON.
    return text.replace("\t", " ") if name.endswith(".json") else text


@attrs.define
class _Scan:
    root: Path
    files: dict[str, Signature] = attrs.field(factory=dict)
    findings: list[Finding] = attrs.field(factory=list)
    unlisted: list[str] = attrs.field(factory=list)
    is_full: bool = False

    def folder(self, name: str, above: frozenset[tuple[int, int]]) -> None:
        """Walk one folder; `above` holds those on the way here, so that a loop of links ends."""
        try:
            info = (self.root / name).stat()
            entries = sorted(os.listdir(self.root / name))  # noqa: PTH208  names, not paths
        except OSError as exc:
            self.findings.append(_unreadable(name or ".", exc))
            self.unlisted.append(name)
            return
        identity = (info.st_dev, info.st_ino)
        if identity in above or len(above) >= MAX_DIR_DEPTH:
            return
        for entry in entries:
            if entry.startswith("."):
                continue
            self._entry(f"{name}/{entry}" if name else entry, above | {identity})

    def _entry(self, name: str, above: frozenset[tuple[int, int]]) -> None:
        try:
            info = (self.root / name).stat()
        except FileNotFoundError:
            return  # gone since it was listed, or a link to nothing (an editor's lock)
        except OSError as exc:
            if name.endswith(SUFFIXES):
                self.findings.append(_unreadable(name, exc))
                self.unlisted.append(name)
            return
        if stat.S_ISDIR(info.st_mode):
            self.folder(name, above)
        elif name.endswith(SUFFIXES) and stat.S_ISREG(info.st_mode):
            if len(self.files) < MAX_FILES:
                self.files[name] = Signature.of(info)
            elif not self.is_full:
                self.is_full = True
                message = f"holds more than {MAX_FILES} files; the others are not read"
                self.findings.append(Finding(".", 0, "", "", message, cause=Cause.UNREADABLE))


def _unreadable(name: str, exc: OSError) -> Finding:
    reason = exc.strerror or str(exc)
    return Finding(
        name, 0, "", "", f"cannot be read: {reason}", cause=Cause.UNREADABLE, value=reason
    )


def lies_in(name: str, folders: tuple[str, ...]) -> bool:
    """Tell whether the file `name` is, or lies in, one of `folders`; "" is the root."""
    return any(not folder or name == folder or name.startswith(f"{folder}/") for folder in folders)
