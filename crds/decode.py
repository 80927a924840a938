"""From an object as YAML or JSON gives it to the model of its kind, or to what is wrong with it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from crds.base import CoreResource, Raw, Resource
from crds.core import EndpointSlice, Namespace, Node, Service
from crds.errors import ConfigError, Problem
from crds.explain import explain, nearest
from crds.ip_address_pool import IPAddressPool
from crds.l2_advertisement import L2Advertisement

AnyKind = Resource | CoreResource
KINDS: Mapping[str, type[AnyKind]] = MappingProxyType(
    {
        model.KIND: model
        for model in (
            IPAddressPool, L2Advertisement, Service, EndpointSlice, Node, Namespace,
        )
    }
)  # fmt: skip


def subject_of(raw: Raw) -> str:
    """Name an object as findings do, "Kind namespace/name", as far as it names itself."""
    metadata = raw.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    parts = [str(named[part]) for part in ("namespace", "name") if named.get(part)]
    return " ".join(filter(None, (str(raw.get("kind") or "object"), "/".join(parts))))


def decode(raw: Raw) -> AnyKind:
    """
    Check an object against its kind and return its model.

    Keys without a value (null) count as absent, as the API server takes them. Raises ConfigError
    with every problem of the object, not just the first.
    """
    model = _model_of(raw)
    try:
        return model.model_validate(without_nulls(raw))
    except ValidationError as exc:
        raise ConfigError(subject_of(raw), explain(model, exc)) from exc


def without_nulls(value: Any) -> Any:
    """Drop keys whose value is null, at every depth."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [without_nulls(part) for part in value]
    return value


def _model_of(raw: Raw) -> type[AnyKind]:
    kind, version = raw.get("kind"), raw.get("apiVersion")
    for field, text in (("apiVersion", version), ("kind", kind)):
        if not isinstance(text, str) or not text:
            problem = Problem((field,), "is required, as text", code="bad_object")
            raise ConfigError(subject_of(raw), (problem,))
    model = KINDS.get(str(kind))
    if model is None:
        guess = nearest(str(kind), list(KINDS))
        hint = f"did you mean {guess}?" if guess else f"known: {', '.join(sorted(KINDS))}"
        problem = Problem(("kind",), f"unknown kind; {hint}", str(kind), "unknown_kind")
        raise ConfigError(subject_of(raw), (problem,))
    if version != model.API_VERSION:
        problem = Problem(
            ("apiVersion",),
            f"{version!r} has no {kind} that Stentor reads; write {model.API_VERSION}",
            str(version),
            "unknown_kind",
        )
        raise ConfigError(subject_of(raw), (problem,))
    return model
