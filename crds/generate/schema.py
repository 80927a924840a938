"""A model's structural schema, as apiextensions.k8s.io/v1 takes it."""

import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from crds import community, durations, ip_address_pool, selectors
from crds.base import Raw, Schema
from crds.generate.comments import descriptions

# What a validator in Python says, as far as a schema can say it too.
_DURATION = r"^[+-]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
_COMMUNITY = r"^([0-9]{1,5}:[0-9]{1,5}|large:[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10})$"
_RANGE = r"^[0-9A-Fa-f.:]+( *- *[0-9A-Fa-f.:]+|/[0-9]{1,3})$"
_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
_SCALARS = {bool: "boolean", int: "integer", str: "string"}
_SAID: dict[Callable[..., Any], Raw] = {
    durations.check_duration: {"pattern": _DURATION},
    community.check_literal: {"pattern": _COMMUNITY},
    ip_address_pool.check_entry: {"pattern": _RANGE},
    selectors.check_key: {"pattern": _LABEL_KEY},
    selectors.check_value: {"pattern": _LABEL_VALUE},
    selectors.distinct: {},  # of texts a set, see below; of objects the webhook's to see
}


def schema_of(model: type[BaseModel]) -> Raw:
    """The schema of an object, with descriptions, defaults and rules."""
    said = descriptions(model)
    properties, required = {}, []
    for name, field in model.model_fields.items():
        key = field.alias or name
        properties[key] = _property(field, said.get(name, ""))
        if field.is_required():
            required.append(key)
    schema: Raw = {"type": "object", "description": _first_line(model), "properties": properties}
    if required:
        schema["required"] = sorted(required)
    if model is selectors.LabelSelector:
        schema["x-kubernetes-map-type"] = "atomic"  # as metav1.LabelSelector is
    if rules := getattr(model, "RULES", ()):
        schema["x-kubernetes-validations"] = [rule.as_raw() for rule in rules]
    return schema


def _property(field: FieldInfo, description: str) -> Raw:
    schema = _of(field.annotation, field.metadata)
    if description:
        schema = {
            "description": description,
            **{k: v for k, v in schema.items() if k != "description"},
        }
    return schema


def _of(annotation: Any, metadata: Iterable[Any] = ()) -> Raw:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):  # Annotated[...]
        return _of(annotation.__origin__, (*annotation.__metadata__, *metadata))
    if origin in {Union, types.UnionType}:
        [kind] = [each for each in arguments if each is not type(None)]
        return _of(kind, metadata)
    schema = _plain(annotation, origin, arguments)
    for constraint in metadata:
        _constrain(schema, constraint)
    return schema


def _plain(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Raw:
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0])}
    if origin is dict:
        values = arguments[1]
        if values is Any:
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return {"type": "object", "additionalProperties": _of(values)}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return schema_of(annotation)
    return dict(
        {bool: {"type": "boolean"}, int: {"type": "integer"}, str: {"type": "string"}}[annotation]
    )


def _constrain(schema: Raw, constraint: Any) -> None:
    match constraint:
        case FieldInfo(metadata=constraints):  # inside Annotated
            for each in constraints:
                _constrain(schema, each)
        case annotated_types.Ge(ge=least):
            schema["minimum"] = least
        case annotated_types.Le(le=int() as most):
            schema["maximum"] = most
            schema["format"] = "int32" if most < 2**31 else "int64"
        case annotated_types.MinLen(min_length=least):
            schema["minItems" if schema["type"] == "array" else "minLength"] = least
        case Schema(raw=raw):
            schema |= raw
        case AfterValidator(func=selectors.distinct) if schema["items"].get("type") == "string":
            schema["x-kubernetes-list-type"] = "set"
        case AfterValidator(func=func):
            schema |= _SAID.get(func, {})
        case _:
            pass


def _first_line(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").replace("\n", " ")
