"""Objects that are there twice: by their name, or by what they say."""

from collections.abc import Iterable, Iterator
from typing import Any

from crds.rules.findings import Finding, error, warning
from crds.rules.objects import Named


def repeated_names(objects: Iterable[Named[Any]], what: str) -> Iterator[Finding]:
    """Names that an earlier one of them has; `what` they are is told."""
    seen: set[str] = set()
    for each in objects:
        if each.name in seen:
            yield error(each.subject, ("metadata", "name"), f"is that of another {what} too")
        seen.add(each.name)


def repeated_specs(objects: Iterable[Named[Any]]) -> Iterator[Finding]:
    """Those that say what an earlier one says: refused for the same object, else only told."""
    first: dict[str, Named[Any]] = {}
    for each in objects:
        twin = first.setdefault(each.model.spec.model_dump_json(), each)
        if twin is not each:
            tell = error if twin.subject == each.subject else warning
            yield tell(each.subject, ("spec",), f"says the same as {twin.subject}; remove one")
