"""
Everything that is wrong with manifests, of whatever kind, before anybody applies them.

What one object, or a set of objects of our kinds, has wrong is said by `crds.rules`, as the webhook
would; what Services, EndpointSlices and the files themselves have wrong by the manifest source.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from crds.base import Raw
from crds.decode import KINDS, OUR_KINDS
from crds.errors import path_text
from crds.rules import Finding as Complaint
from crds.rules import Options, Severity, check, gather
from crds.rules.objects import subject_of
from stentor.cluster import files
from stentor.cluster.assemble import assemble
from stentor.cluster.documents import FileContent, content_of, keep_all, objects_in
from stentor.cluster.findings import Cause, Finding
from stentor.cluster.findings import Severity as Weight
from stentor.cluster.yaml_nodes import Node, YamlError, read_documents

STDIN: Final = "-"
_OURS: Final = frozenset(model.KIND for model in OUR_KINDS)
# What the manifest source says of our kinds and the rules say too, or better.
_SAID_BY_RULES: Final = frozenset(
    {Cause.UNKNOWN_FIELD, Cause.SELECTS_NOTHING, Cause.NOT_ADVERTISED, Cause.OVERLAP}
)


@attrs.frozen
class File:
    """The documents of one file, or why it could not be read."""

    name: str
    documents: tuple[Node | YamlError, ...] = ()
    trouble: Finding | None = None

    @classmethod
    def of(cls, name: str, text: str) -> "File":
        """Read a text, once for all who look at it."""
        return cls(name, tuple(read_documents(text)))


def lint(paths: Iterable[str], options: Options | None = None) -> list[Finding]:
    """
    All findings on the files and directories named, by file and line; "-" is standard input.

    Never raises for what is in them: what cannot be read is a finding with cause UNREADABLE.
    """
    read = [file for path in paths for file in _files(path)]
    contents = {file.name: _content(file) for file in read}
    found = [f for f in assemble(contents, {}).findings if not _is_said_by_rules(f)]
    found += _by_rules(read, options or Options())
    return sorted(set(found))


def _files(path: str) -> Iterator[File]:
    if path == STDIN:
        yield File.of("<stdin>", sys.stdin.read())
        return
    root = Path(path)
    if not root.is_dir():
        yield _file(root.parent, root.name, shown=path)
        return
    listing = files.scan(root)
    for finding in listing.findings:
        yield File(finding.file, trouble=finding)
    for name in listing.files:
        yield _file(root, name, shown=name)


def _file(root: Path, name: str, *, shown: str) -> File:
    try:
        return File.of(shown, files.read_text(root, name))
    except files.UnreadableError as exc:
        return File(shown, trouble=attrs.evolve(exc.finding, file=shown))


def _content(file: File) -> FileContent:
    if file.trouble is not None:
        return keep_all(file.trouble, {})
    return content_of(file.name, file.documents, {})


def _is_said_by_rules(finding: Finding) -> bool:
    if finding.object.partition(" ")[0] not in _OURS:
        return False
    is_refusal = finding.cause is Cause.BAD_VALUE and finding.severity is Weight.ERROR
    is_unread = finding.cause is Cause.UNKNOWN_KIND and finding.severity is Weight.WARNING
    return is_refusal or is_unread or finding.cause in _SAID_BY_RULES


def _by_rules(read: Iterable[File], options: Options) -> Iterator[Finding]:
    placed = [(file.name, node, raw) for file in read for node, raw in _objects(file)]
    where: dict[object, tuple[str, Node]] = {}
    for file, node, raw in placed:
        where.setdefault(subject_of(raw), (file, node))
    objects, complaints = gather(raw for _, _, raw in placed)
    for complaint in [*complaints, *check(objects, options)]:
        if complaint.subject.kind in _OURS:
            yield _finding(complaint, where)


def _objects(file: File) -> Iterator[tuple[Node, Raw]]:
    for document in file.documents:
        for node in () if isinstance(document, YamlError) else objects_in(document):
            raw = node.plain()
            if isinstance(raw, dict) and str(raw.get("kind")) in KINDS:
                yield node, raw


def _finding(complaint: Complaint, where: Mapping[object, tuple[str, Node]]) -> Finding:
    file, node = where[complaint.subject]
    problem = complaint.problem
    return Finding(
        file,
        node.line_of(problem.path),
        str(complaint.subject),
        path_text(problem.path),
        problem.message,
        Weight.ERROR if complaint.severity is Severity.ERROR else Weight.WARNING,
        Cause(problem.code),
        problem.value,
    )
