"""
One file's text to entries: the objects in it, and findings about the rest. Pure.

A broken object keeps its last good version. A broken document whose object cannot be told keeps
every object that the file held before and does not name now: one of them it was.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import attrs

from crds.base import Raw
from crds.core import SERVICE_NAME_LABEL
from crds.decode import KINDS, decode, subject_of
from crds.errors import ConfigError, Path, Problem, path_text
from stentor.cluster.annotations import PREFERRED_AT
from stentor.cluster.convert import (
    INGRESS,
    SPEC_IP,
    Claim,
    PoolAndAds,
    SliceOf,
    Value,
    convert,
    key_named,
    key_of,
)
from stentor.cluster.findings import Cause, Finding, Severity
from stentor.cluster.kinds import is_to_be_read, note_on
from stentor.cluster.names import name_problems
from stentor.cluster.objects import Key, L2Ad, Pool
from stentor.cluster.yaml_nodes import Node, YamlError, read_documents

Ident = tuple[str, Key]  # kind and key


@attrs.frozen
class Entry:
    """An object and where it stands. `lines` holds those of the fields checked later."""

    ident: Ident
    subject: str
    file: str
    line: int
    value: Value
    lines: Mapping[str, int] = attrs.field(factory=dict)
    is_stopgap: bool = False  # stands for an object that was never read right; never kept

    def finding(
        self,
        path: Path,
        message: str,
        *,
        cause: Cause,
        value: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Finding:
        """Complain about a field of this object."""
        field = path_text(path)
        return Finding(
            self.file,
            self.lines.get(field, self.line),
            self.subject,
            field,
            message,
            severity,
            cause,
            value,
        )


@attrs.frozen
class FileContent:
    """What one file holds: its objects, those kept from before among them."""

    entries: Mapping[Ident, Entry] = MappingProxyType({})
    findings: tuple[Finding, ...] = ()


@attrs.define
class _Reading:
    """The work on one file."""

    file: str
    last: Mapping[Ident, Entry]
    entries: dict[Ident, Entry] = attrs.field(factory=dict)
    seen: dict[Ident, int] = attrs.field(factory=dict)
    findings: list[Finding] = attrs.field(factory=list)
    has_nameless: bool = False  # a broken document of which nobody can say what it was


def read_text(file: str, text: str, last: Mapping[Ident, Entry]) -> FileContent:
    """
    Read the documents of `file`; `last` is what it held when last read.

    A file that held objects and is now empty was caught between truncation and writing, as a
    plain `>` does it: its objects stay. Delete the file to remove them.
    """
    last = {ident: entry for ident, entry in last.items() if not entry.is_stopgap}
    if last and not text.strip():
        message = "is empty; delete the file to remove its objects"
        return keep_all(Finding(file, 0, "", "", message, cause=Cause.BAD_YAML), last)
    return content_of(file, read_documents(text), last)


def content_of(
    file: str, documents: Iterable[Node | YamlError], last: Mapping[Ident, Entry]
) -> FileContent:
    """What the documents of `file` hold; of what is broken in them `last` is kept."""
    reading = _Reading(file, last)
    for document in documents:
        if isinstance(document, YamlError):
            reading.has_nameless = True
            reading.findings.append(
                Finding(
                    file, document.line, "", "", str(document),
                    cause=Cause.BAD_YAML, is_kept=bool(last),
                )
            )  # fmt: skip
        else:
            for node in objects_in(document):
                _read_object(reading, node)
    if reading.has_nameless:
        for ident, entry in last.items():
            if ident not in reading.seen:
                reading.entries[ident] = entry
    return FileContent(reading.entries, tuple(reading.findings))


def keep_all(finding: Finding, last: Mapping[Ident, Entry]) -> FileContent:
    """Return what a file held before, for a file that cannot be read now."""
    return FileContent(last, (attrs.evolve(finding, is_kept=bool(last)),))


def objects_in(document: Node) -> Iterator[Node]:
    """Yield the objects of a document: one, or the items of a List."""
    content = document.content
    if isinstance(content, dict) and "items" in content and "kind" in content:
        kind, items = content["kind"].content, content["items"].content
        if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
            for item in items:
                yield from objects_in(item)
            return
    yield document


def _read_object(reading: _Reading, node: Node) -> None:
    raw = node.plain()
    if not isinstance(raw, dict):
        problem = Problem((), "is no Kubernetes object, need a mapping with apiVersion and kind")
        _refuse(reading, node, "", (attrs.evolve(problem, code="bad_object"),))
        return
    if _is_ignored(reading, node, raw):
        return
    rough = _rough_ident(raw)
    subject = _subject(raw, rough)
    try:
        model = decode(raw)
    except ConfigError as exc:
        _refuse(reading, node, subject, exc.problems, rough)
        if rough is not None and rough not in reading.entries:
            _add_stopgap_slice(reading, node, raw, rough)
        return
    ident = (model.KIND, key_of(model))
    problems = name_problems(model.metadata)
    if problems:
        _refuse(reading, node, subject, problems)
        return
    if ident in reading.seen:
        message = (
            f"stands twice in this file, first in line {reading.seen[ident]}; the first counts"
        )
        reading.findings.append(
            Finding(reading.file, node.line, subject, "", message, cause=Cause.DUPLICATE)
        )
        return
    converted = convert(model)
    lines = _lines(node, converted.value)
    entry = Entry(ident, subject, reading.file, node.line, converted.value, lines)
    for warning in converted.warnings:
        reading.findings.append(_finding(reading, node, subject, warning, Severity.WARNING))
    if converted.problems:
        _refuse(reading, node, subject, converted.problems, ident)
        # A Service that was never read right enters without VIP, so that its status says why.
        if isinstance(converted.value, Claim):
            reading.entries.setdefault(ident, attrs.evolve(entry, is_stopgap=True))
        return
    reading.seen[ident] = node.line
    reading.entries[ident] = entry


def _refuse(
    reading: _Reading,
    node: Node,
    subject: str,
    problems: tuple[Problem, ...],
    ident: Ident | None = None,
) -> None:
    """Tell all problems of an object, and keep its last good version."""
    is_kept = bool(reading.last) if ident is None else ident in reading.last
    for problem in problems:
        finding = _finding(reading, node, subject, problem, Severity.ERROR)
        reading.findings.append(attrs.evolve(finding, is_kept=is_kept))
    if ident is None:
        reading.has_nameless = True
    elif ident not in reading.seen:
        reading.seen[ident] = node.line
        if ident in reading.last:
            reading.entries[ident] = reading.last[ident]


def _finding(
    reading: _Reading, node: Node, subject: str, problem: Problem, severity: Severity
) -> Finding:
    cause = Cause(problem.code)
    if problem.path[:2] == ("metadata", "annotations") and cause is Cause.BAD_VALUE:
        cause = Cause.DEPRECATED if severity is Severity.WARNING else Cause.BAD_ANNOTATION
    return Finding(
        reading.file,
        node.line_of(problem.path),
        subject,
        path_text(problem.path),
        problem.message,
        severity,
        cause,
        problem.value,
    )


def _is_ignored(reading: _Reading, node: Node, raw: Raw) -> bool:
    """Pass over objects of kinds that are none of our business; tell where that may surprise."""
    kind, version = raw.get("kind"), raw.get("apiVersion")
    if not (isinstance(kind, str) and isinstance(version, str)) or is_to_be_read(kind, version):
        return False
    note = note_on(kind, version)
    if note:
        line, cause = node.line_of(("kind",)), Cause.UNKNOWN_KIND
        reading.findings.append(
            Finding(
                reading.file, line, subject_of(raw), "kind", note, Severity.WARNING, cause, kind
            )
        )
    return True


def _add_stopgap_slice(reading: _Reading, node: Node, raw: Raw, ident: Ident) -> None:
    """Let an unusable EndpointSlice count as one without endpoints, not as none at all."""
    labels = raw["metadata"].get("labels")
    owner = labels.get(SERVICE_NAME_LABEL) if isinstance(labels, dict) else None
    if ident[0] == "EndpointSlice" and isinstance(owner, str):
        value = SliceOf(Key(ident[1].namespace, owner), ())
        reading.entries[ident] = Entry(
            ident, _subject(raw, ident), reading.file, node.line, value, is_stopgap=True
        )


def _subject(raw: Raw, ident: Ident | None) -> str:
    """Name an object; the namespace it is in by default counts as given."""
    if ident is None or not ident[1].namespace:
        return subject_of(raw)
    return f"{ident[0]} {ident[1]}"


def _rough_ident(raw: Raw) -> Ident | None:
    """Tell which object a broken one is, if it names itself well enough."""
    metadata = raw.get("metadata")
    versions = KINDS.get(str(raw.get("kind")), {})
    model = versions.get(str(raw.get("apiVersion")))
    if not isinstance(metadata, dict) or model is None:
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace") or ""
    if not (isinstance(name, str) and name and isinstance(namespace, str)):
        return None
    return model.KIND, key_named(model.KIND, namespace, name)


def _lines(node: Node, value: Value) -> dict[str, int]:
    """Keep the lines that checks between objects will want; not all, they cost memory."""
    paths: list[Path] = []
    match value:
        case Claim():
            paths = [INGRESS, SPEC_IP, value.requested_at, value.pool_at, PREFERRED_AT]
        case Pool() | PoolAndAds(pool=Pool()):
            pool = value if isinstance(value, Pool) else value.pool
            paths = [("spec", "addresses", place) for place in range(len(pool.ranges))]
        case L2Ad():
            paths = [("spec", "ipAddressPools", place) for place in range(len(value.pools))]
            paths += [
                ("spec", field)
                for field in ("ipAddressPoolSelectors", "nodeSelectors", "serviceSelectors")
            ]
        case _:
            pass
    lines = {path_text(path): node.line_of(path) for path in paths if path}
    return {field: line for field, line in lines.items() if line != node.line}
