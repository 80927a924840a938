"""LabelSelector of the Kubernetes API, checked as the API server checks it."""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from crds import matching
from crds.base import Strict, empty_dict, empty_list

T = TypeVar("T")

# Kubernetes: a name of at most 63 characters, for keys with an optional DNS prefix and a slash.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PREFIX_MAX = 253

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


def check_key(key: str) -> str:
    """Refuse what is no label key, in pydantic's terms."""
    prefix, slash, name = key.rpartition("/")
    prefix_fits = not slash or (len(prefix) <= _PREFIX_MAX and _PREFIX.fullmatch(prefix))
    if not (prefix_fits and _NAME.fullmatch(name)):
        raise PydanticCustomError(
            "label_key",
            "{key} is not a label key; one looks like app or example.com/app",
            {"key": repr(key)},
        )
    return key


def check_value(value: str) -> str:
    """Refuse what is no label value, in pydantic's terms."""
    if value and not _NAME.fullmatch(value):
        raise PydanticCustomError(
            "label_value",
            "{value} is not a label value: up to 63 letters, digits, '-', '_', '.', starting and "
            "ending with a letter or digit",
            {"value": repr(value)},
        )
    return value


def distinct(entries: list[T]) -> list[T]:
    """Refuse a list that says something twice; the error points at the second one."""
    seen: list[T] = []
    for place, entry in enumerate(entries):
        if entry in seen:
            raise PydanticCustomError(
                "repeated",
                "says the same as entry [{first}]; remove one of them",
                {"first": seen.index(entry), "index": place},
            )
        seen.append(entry)
    return entries


LabelKey = Annotated[str, AfterValidator(check_key)]
LabelValue = Annotated[str, AfterValidator(check_value)]


class LabelSelectorRequirement(Strict):
    """One of matchExpressions."""

    key: LabelKey  # of the label
    operator: Operator  # how the label's value is compared with values
    # At least one for In and NotIn, none for Exists and DoesNotExist.
    values: Annotated[list[LabelValue], AfterValidator(distinct)] = Field(
        default_factory=empty_list
    )

    @model_validator(mode="after")
    def _check_values(self) -> "LabelSelectorRequirement":
        if self.operator in ("In", "NotIn") and not self.values:
            raise PydanticCustomError(
                "values_missing",
                "operator {operator} needs values",
                {"operator": self.operator, "field": "values"},
            )
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise PydanticCustomError(
                "values_unwanted",
                "operator {operator} takes no values; remove them or write {other}",
                {
                    "operator": self.operator,
                    "other": "In" if self.operator == "Exists" else "NotIn",
                    "field": "values",
                },
            )
        return self

    def __eq__(self, other: object) -> bool:
        """Equal when they say the same: the order of values means nothing."""
        if not isinstance(other, LabelSelectorRequirement):
            return NotImplemented
        return self._meaning == other._meaning

    def __hash__(self) -> int:
        """By meaning, as equality is."""
        return hash(self._meaning)

    @property
    def _meaning(self) -> tuple[str, str, tuple[str, ...]]:
        return self.key, self.operator, tuple(sorted(self.values))


Expressions = Annotated[list[LabelSelectorRequirement], AfterValidator(distinct)]


class LabelSelector(Strict):
    """All of matchLabels and all of matchExpressions; an empty one selects everything."""

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=empty_dict
    )  # labels and values
    # Comparisons that must hold as well.
    match_expressions: Expressions = Field(default_factory=empty_list)

    def __eq__(self, other: object) -> bool:
        """Equal when they say the same: the order of expressions means nothing."""
        if not isinstance(other, LabelSelector):
            return NotImplemented
        return self.match_labels == other.match_labels and set(self.match_expressions) == set(
            other.match_expressions
        )

    def __hash__(self) -> int:
        """By meaning, as equality is."""
        return hash((frozenset(self.match_labels.items()), frozenset(self.match_expressions)))

    def matcher(self) -> matching.LabelSelector:
        """The selector as a value that can be asked."""
        return matching.LabelSelector(
            labels=tuple(sorted(self.match_labels.items())),
            expressions=tuple(
                sorted(
                    matching.Expression(
                        each.key, matching.Operator(each.operator), tuple(sorted(each.values))
                    )
                    for each in self.match_expressions
                )
            ),
        )


Selectors = Annotated[list[LabelSelector], AfterValidator(distinct)]
Names = Annotated[list[str], AfterValidator(distinct)]
