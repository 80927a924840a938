"""From pydantic's errors to problems that a person with a YAML file can act on."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from crds.errors import Path, Problem

_VALUE_MAX = 80

_WANTED = {
    "bool_type": "true or false, without quotes",
    "int_type": "a whole number, without quotes",
    "string_type": "text; put it in quotes",
    "list_type": "a list: lines that start with a dash",
    "dict_type": "a mapping: lines of `key: value`",
    "model_type": "a mapping: lines of `key: value`",
    "model_attributes_type": "a mapping: lines of `key: value`",
}


def explain(model: type[BaseModel], error: ValidationError) -> tuple[Problem, ...]:
    """Say each error of `model` in YAML's terms, in the order of the fields."""
    return tuple(_problem(model, details) for details in error.errors(include_url=False))


def nearest(word: str, words: list[str]) -> str | None:
    """Return the one of `words` that was probably meant, if one is near."""
    by_lower = {candidate.lower(): candidate for candidate in words}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def suggestion(word: str, words: list[str]) -> str:
    """The end of a sentence that names the one of `words` that was probably meant, if any."""
    guess = nearest(word, words)
    return f"; did you mean {guess}?" if guess else ""


def value_text(value: object) -> str:
    """Show a value as YAML would, cut to a length that a line can hold."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case dict() | list():
            text = f"{'a mapping' if isinstance(value, dict) else 'a list'} of {len(value)}"
        case _:
            text = str(value)
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}…"


def _problem(model: type[BaseModel], details: ErrorDetails) -> Problem:
    context: dict[str, Any] = details.get("ctx", {})
    path: Path = details["loc"]
    value = details["input"]
    shown = value_text(value)
    code = "bad_value"
    match details["type"]:
        case "missing":
            message, shown = "is required", ""
        case "extra_forbidden":
            message, code = _unknown_field(model, path), "unknown_field"
        case "literal_error":
            message = _none_of(shown, str(context["expected"]))
        case "greater_than_equal":
            message = f"{shown} is too small, the least is {context['ge']}"
        case "less_than_equal":
            message = f"{shown} is too large, the most is {context['le']}"
        case "too_short" | "string_too_short":
            message = "is empty, need at least one entry" if value == [] else "is empty"
        case kind if kind in _WANTED:
            message = f"{_typed(value)}, need {_WANTED[kind]}"
        case _:  # a check of ours, which may concern one entry or field of what it was given
            message = details["msg"]
            if "index" in context:
                path, shown = (*path, context["index"]), value_text(value[context["index"]])
            elif "field" in context:
                path = (*path, context["field"])
    return Problem(path, message, shown, code)


def _typed(value: object) -> str:
    match value:
        case None:
            return "is empty"
        case bool() | int() | float():
            return f"{value_text(value)} is a {'boolean' if isinstance(value, bool) else 'number'}"
        case str():
            return f"{value!r} is text"
        case _:
            return f"is {value_text(value)}"


def _none_of(shown: str, expected: str) -> str:
    """`expected` is pydantic's list: 'In', 'NotIn' or 'Exists'."""
    choices = expected.replace("'", "").replace(" or ", ", ").split(", ")
    return f"{shown!r} is none of {', '.join(choices)}{suggestion(shown, choices)}"


def _unknown_field(model: type[BaseModel], path: Path) -> str:
    """What was meant: a field of another spelling here, or of this one elsewhere in the object."""
    name = str(path[-1])
    owner = _model_at(model, path[:-1])
    names = [field.alias or key for key, field in owner.model_fields.items()] if owner else []
    if hint := suggestion(name, names):
        return f"no such field{hint}"
    here = tuple(str(step) for step in path[:-1] if not isinstance(step, int))
    if places := [place for place in _places(model, name) if place[:-1] != here]:
        nearest_place = min(places, key=len)
        parent = nearest_place[:-1]
        is_below = parent[: len(here)] == here
        remedy = f" (indent it below {parent[-1]})" if parent and is_below else ""
        return f"no such field here; did you mean {'.'.join(nearest_place)}?{remedy}"
    if ":" in name:
        return "no such field; a colon ends a key only before a blank or the end of the line"
    return f"no such field; fields here are {', '.join(names)}"


def _places(model: type[BaseModel], name: str) -> Iterator[tuple[str, ...]]:
    """Where in an object of `model` there is a field `name`, lists passed through."""
    for key, field in model.model_fields.items():
        spelt = field.alias or key
        if spelt == name:
            yield (spelt,)
        elif (part := _model_in(field.annotation)) is not None:
            yield from ((spelt, *place) for place in _places(part, name))


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Find the model that stands at `path` below `model`."""
    found: type[BaseModel] | None = model
    for step in path:
        if found is None:
            return None
        if isinstance(step, int):
            continue  # an entry of the list whose model we already have
        field = next((f for f in found.model_fields.values() if f.alias == step), None)
        found = _model_in(field.annotation) if field else None
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the model inside `Model`, `Model | None`, `list[Model]` and annotated forms."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found is not None:
            return found
    return None
