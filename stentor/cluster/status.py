"""
Status of objects, written as files: DIR/.status/ in place of an API server's status subresource.

    .status/Service/<namespace>_<name>.yaml                addresses given, by a controller
    .status/nodes/<node>/<Kind>/<namespace>_<name>.yaml    what a node does, by its agent
    .status/nodes/<node>/findings.yaml                     what is wrong with the manifests

A name never holds "_", so the two halves of a file name cannot be confused. Each node writes only
below its own folder, so that several may share one directory.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from stentor.cluster.errors import ApplyError
from stentor.cluster.files import STATUS_DIR
from stentor.cluster.findings import Finding
from stentor.cluster.objects import Key

Body = Mapping[str, Any]  # an object in the form of YAML: mappings, lists, scalars
_SUFFIX = ".yaml"
_FINDINGS = "findings"


@attrs.frozen
class StatusWriter:
    """
    Writes the status of one writer: a node's, or with no node the controller's.

    Every write is atomic (a reader sees the old file or the new one) and skipped when the file
    holds the same already. Blocking; raises ApplyError when the file system refuses.
    """

    directory: Path
    node: str = ""

    @property
    def root(self) -> Path:
        """The folder that is this writer's own."""
        base = self.directory / STATUS_DIR
        return base / "nodes" / self.node if self.node else base

    def path_of(self, kind: str, key: Key) -> Path:
        """Return where the status of an object lies; one without namespace is `_<name>.yaml`."""
        return self.root / kind / f"{key.namespace}_{key.name}{_SUFFIX}"

    def write(self, kind: str, key: Key, body: Body) -> bool:
        """Write one object; tell whether the file had to change."""
        return _replace(self.path_of(kind, key), body)

    def remove(self, kind: str, key: Key) -> bool:
        """Remove one object; tell whether it was there."""
        return _unlink(self.path_of(kind, key))

    def sync(self, kind: str, bodies: Mapping[Key, Body]) -> int:
        """
        Make `bodies` all that there is of `kind`; return how many files changed.

        Writes first and removes last, so that a reader never misses what stays. Carries on past
        what fails and raises ApplyError for the first failure at the end.
        """
        changes, failures = 0, []
        wanted = {self.path_of(kind, key): body for key, body in bodies.items()}
        work = [(path, body) for path, body in sorted(wanted.items())]
        for path, body in work:
            try:
                changes += _replace(path, body)
            except ApplyError as exc:
                failures.append(exc)
        for path in _files_in(self.root / kind):
            if path in wanted:
                continue
            try:
                changes += _unlink(path)
            except ApplyError as exc:
                failures.append(exc)
        if failures:
            raise failures[0]
        return changes

    def write_findings(self, findings: Iterable[Finding]) -> bool:
        """Write what is wrong with the manifests; an empty list says that nothing is."""
        body = {"findings": [_finding_body(finding) for finding in findings]}
        return _replace(self.root / f"{_FINDINGS}{_SUFFIX}", body)


def _finding_body(finding: Finding) -> dict[str, Any]:
    fields = attrs.asdict(finding)
    fields["severity"], fields["cause"] = finding.severity.value, finding.cause.value
    fields["kept"] = fields.pop("is_kept")
    return {name: value for name, value in fields.items() if value or name == "message"}


def _replace(path: Path, body: Body) -> bool:
    data = yaml.safe_dump(dict(body), sort_keys=False, allow_unicode=True).encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if _bytes_of(path) == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as exc:
        raise ApplyError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    return True


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise ApplyError(f"{path}: cannot be removed: {exc.strerror or exc}") from exc
    return True


def _files_in(folder: Path) -> list[Path]:
    """List the status files of a folder, drafts of a writer that died among them."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  names, not paths
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise ApplyError(f"{folder}: cannot be listed: {exc.strerror or exc}") from exc
    return [folder / name for name in names if _SUFFIX in name]
