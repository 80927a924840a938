"""The shape that all kinds share, and the two ways of treating fields we do not know."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import attrs
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from crds.errors import Problem

M = TypeVar("M", bound=BaseModel)
Raw = dict[str, Any]  # an object as YAML or JSON gives it


@attrs.frozen(eq=False)  # typing wants annotations that can be hashed
class Schema:
    """What only the generated schema says of a field: a default that the API server fills in."""

    raw: Raw


@attrs.frozen
class Rule:
    """A CEL rule of the generated schema; `problems` of the kind says the same in Python."""

    rule: str
    message: str
    field: str = ""  # where it is reported

    def as_raw(self) -> Raw:
        """As x-kubernetes-validations lists it."""
        raw: Raw = {"rule": self.rule, "message": self.message}
        return {**raw, "fieldPath": f".{self.field}"} if self.field else raw


# pydantic asks each factory for its signature when a class is made: those of built-in types and
# of models cost more than the rest of a field. Nor is a default built before it is needed.
def empty_list() -> list[Any]:
    """A list of its own for each object."""
    return []


def empty_dict() -> dict[str, Any]:
    """A mapping of its own for each object."""
    return {}


def made(model: type[M]) -> Callable[[], M]:
    """What makes a part that is not given, all of it at its defaults."""

    def make() -> M:
        return model()

    return make


class Strict(BaseModel):
    """
    Part of a kind of ours: a field it does not have is refused, as `kubectl apply` refuses it.

    Nothing is coerced: "yes" is no boolean and 5 no text.
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True
    )


class Lenient(BaseModel):
    """Part of a Kubernetes kind, of which we read a few fields and ignore the others."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, alias_generator=to_camel, defer_build=True
    )


class ObjectMeta(Lenient):
    """What we read of metadata."""

    name: str = Field(min_length=1)
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=empty_dict)
    annotations: dict[str, str] = Field(default_factory=empty_dict)
    creation_timestamp: str = ""  # RFC 3339, UTC


@attrs.frozen
class Column:
    """A column of `kubectl get`; `priority` 1 shows it with -o wide alone."""

    name: str
    path: str  # JSONPath
    type: str = "string"
    priority: int = 0


class Kind:
    """What the registry and the CRD generator need to know of a kind."""

    API_VERSION: ClassVar[str]
    KIND: ClassVar[str]
    NAMESPACED: ClassVar[bool] = True
    PLURAL: ClassVar[str] = ""
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ()
    COLUMNS: ClassVar[tuple[Column, ...]] = ()


class Resource(Strict, Kind):
    """A kind of ours. Subclasses add `spec` and `status`, and set the class constants."""

    api_version: str
    kind: str
    metadata: ObjectMeta

    def problems(self) -> Iterator[Problem]:
        """Say what is wrong though every field by itself is right; subclasses know."""
        return iter(())


class CoreResource(Lenient, Kind):
    """A kind of Kubernetes that we only read."""

    api_version: str
    kind: str
    metadata: ObjectMeta
