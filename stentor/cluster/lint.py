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
from stentor.cluster.documents import FileContent, keep_all, objects_in, read_text
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
class Text:
    """One file as read, or why it could not be."""

    name: str
    text: str = ""
    trouble: Finding | None = None


def lint(paths: Iterable[str], options: Options | None = None) -> list[Finding]:
    """
    All findings on the files and directories named, by file and line; "-" is standard input.

    Never raises for what is in them: what cannot be read is a finding with cause UNREADABLE.
    """
    texts = [text for path in paths for text in _texts(path)]
    contents = {each.name: _content(each) for each in texts}
    found = [f for f in assemble(contents, {}).findings if not _is_said_by_rules(f)]
    found += _by_rules(texts, options or Options())
    return sorted(set(found))


def _texts(path: str) -> Iterator[Text]:
    if path == STDIN:
        yield Text("<stdin>", sys.stdin.read())
        return
    root = Path(path)
    if not root.is_dir():
        yield _text(root.parent, root.name, shown=path)
        return
    listing = files.scan(root)
    for finding in listing.findings:
        yield Text(finding.file, trouble=finding)
    for name in listing.files:
        yield _text(root, name, shown=name)


def _text(root: Path, name: str, *, shown: str) -> Text:
    try:
        return Text(shown, files.read_text(root, name))
    except files.UnreadableError as exc:
        return Text(shown, trouble=attrs.evolve(exc.finding, file=shown))


def _content(text: Text) -> FileContent:
    if text.trouble is not None:
        return keep_all(text.trouble, {})
    return read_text(text.name, text.text, {})


def _is_said_by_rules(finding: Finding) -> bool:
    if finding.object.partition(" ")[0] not in _OURS:
        return False
    is_refusal = finding.cause is Cause.BAD_VALUE and finding.severity is Weight.ERROR
    is_unread = finding.cause is Cause.UNKNOWN_KIND and finding.severity is Weight.WARNING
    return is_refusal or is_unread or finding.cause in _SAID_BY_RULES


def _by_rules(texts: Iterable[Text], options: Options) -> Iterator[Finding]:
    placed = [(text.name, node, raw) for text in texts for node, raw in _objects(text)]
    where: dict[object, tuple[str, Node]] = {}
    for file, node, raw in placed:
        where.setdefault(subject_of(raw), (file, node))
    objects, complaints = gather(raw for _, _, raw in placed)
    for complaint in [*complaints, *check(objects, options)]:
        if complaint.subject.kind in _OURS:
            yield _finding(complaint, where)


def _objects(text: Text) -> Iterator[tuple[Node, Raw]]:
    for document in read_documents(text.text):
        for node in () if isinstance(document, YamlError) else objects_in(document):
            raw = node.plain()
            if isinstance(raw, dict) and raw.get("kind") in KINDS:
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
