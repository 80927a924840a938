"""Read of a broken object whatever is right in it, so that checks between objects still see it."""

from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

M = TypeVar("M", bound=BaseModel)

_MISSING = object()


def read_loosely(model: type[M], raw: object) -> M:
    """
    Build `model` of the fields that fit; the others have their default.

    A field that is required and does not fit is empty: 0, "", [] or {}. Rules of several fields
    are not asked. The result is for looking at, not for acting on.
    """
    given = raw if isinstance(raw, dict) else {}
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        value = _read(model, name, field, given.get(field.alias or name, _MISSING))
        if value is not _MISSING:
            values[name] = value
    return model.model_construct(**values)


def _read(model: type[BaseModel], name: str, field: FieldInfo, given: object) -> object:
    if given is not _MISSING:
        try:
            return _adapter(model, name).validate_python(given)
        except ValidationError:
            pass
    part = _model_of(field.annotation)
    if part is not None and (given is not _MISSING or field.is_required()):
        return read_loosely(part, given)
    if get_origin(field.annotation) is list and isinstance(given, list):
        return [entry for one in given if (entry := _entry(field, one)) is not _MISSING]
    return _empty(field) if field.is_required() else _MISSING


def _entry(field: FieldInfo, given: object) -> object:
    """One entry of a list, as far as it fits by itself."""
    (kind,) = get_args(field.annotation)
    if (part := _model_of(kind)) is not None:
        return read_loosely(part, given)
    try:
        return TypeAdapter(kind).validate_python(given)
    except ValidationError:
        return _MISSING


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    annotated: Any = field.annotation
    for constraint in field.metadata:
        annotated = Annotated[annotated, constraint]
    return TypeAdapter(annotated)


def _model_of(annotation: object) -> type[BaseModel] | None:
    kinds = (annotation, *get_args(annotation)) if get_origin(annotation) is not list else ()
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def _empty(field: FieldInfo) -> object:
    kind = get_origin(field.annotation) or field.annotation
    return kind() if isinstance(kind, type) and kind in {int, str, list, dict} else None
