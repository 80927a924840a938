"""What a conversion comes to: objects, and every meaning that was lost or changed on the way."""

from collections.abc import Mapping
from typing import Any

import attrs

from crds.base import Raw
from crds.decode import decode
from crds.errors import ConfigError
from crds.explain import suggestion

NAMESPACE = "metallb-system"


class ConvertError(Exception):
    """Input that cannot be converted; the text says where and what would be right."""


@attrs.define
class Conversion:
    """Objects in the order in which they were made, and warnings for people."""

    namespace: str = NAMESPACE
    objects: list[Raw] = attrs.field(factory=list)
    warnings: list[str] = attrs.field(factory=list)

    def add(self, version: str, kind: str, name: str, spec: Raw) -> None:
        """Make an object; fields without a value are left out."""
        self.objects.append(
            {
                "apiVersion": f"metallb.io/{version}",
                "kind": kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {key: value for key, value in spec.items() if value not in (None, [], {})},
            }
        )

    def warn(self, where: str, message: str) -> None:
        """Tell that something was lost or changed."""
        self.warnings.append(f"{where}: {message}")

    def only(self, where: str, given: object, known: Mapping[str, Any] | set[str]) -> Raw:
        """
        A mapping's entries that we know; the others are warned of.

        Raises ConvertError for what is no mapping. Nothing at all counts as an empty one.
        """
        if given is None:
            return {}
        if not isinstance(given, dict):
            raise ConvertError(f"{where}: is no mapping, need lines of `key: value`")
        for key in given:
            if key not in known:
                hint = suggestion(str(key), sorted(known))
                self.warn(f"{where}.{key}" if where else str(key), f"is not known, left out{hint}")
        return {key: value for key, value in given.items() if key in known}


def entries(where: str, given: object) -> list[Any]:
    """A list, or nothing; raises ConvertError for anything else."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise ConvertError(f"{where}: is no list, need lines that start with a dash")
    return given


def required(where: str, given: Raw, *fields: str) -> list[Any]:
    """The values of fields that must be there; raises ConvertError."""
    for field in fields:
        if given.get(field) in (None, ""):
            raise ConvertError(f"{where}.{field}: is required")
    return [given[field] for field in fields]


def decoded(document: Any, kind: str) -> object:
    """The model of a document of that kind, None for another one; raises ConvertError."""
    if not isinstance(document, dict):
        raise ConvertError("is no Kubernetes object, need a mapping with apiVersion and kind")
    if document.get("kind") != kind:
        return None
    try:
        return decode(document)
    except ConfigError as exc:
        raise ConvertError(str(exc)) from exc
