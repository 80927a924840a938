"""Names of objects, as the API server takes them."""

import re
from typing import Final

from crds.base import ObjectMeta
from crds.errors import Problem

_DNS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_DNS_MAX: Final = 253  # RFC 1123 §2.1 as Kubernetes takes it


def name_problems(metadata: ObjectMeta) -> tuple[Problem, ...]:
    """Check name and namespace against what the API server takes."""
    return tuple(
        Problem(("metadata", field), _complaint(text), text)
        for field, text in (("name", metadata.name), ("namespace", metadata.namespace))
        if text and not (len(text) <= _DNS_MAX and _DNS_NAME.fullmatch(text))
    )


def _complaint(text: str) -> str:
    if text.startswith("<") and text.endswith(">"):
        return f"{text!r} is a placeholder: write a name in its place"
    return (
        f"{text!r} is not a name: up to {_DNS_MAX} of a-z, 0-9, '-', '.', starting and ending "
        "with a letter or digit"
    )
