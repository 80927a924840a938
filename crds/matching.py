"""Label selectors, parsed once and asked often (Kubernetes API: LabelSelector)."""

import enum
from collections.abc import Mapping
from typing import assert_never

import attrs


class Operator(enum.StrEnum):
    """How an expression compares a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@attrs.frozen(order=True)
class Expression:
    """One of matchExpressions. `values` is sorted: their order means nothing."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` satisfy it; NotIn holds where the label is absent."""
        match self.operator:
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return self.key not in labels or labels[self.key] not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels
            case unknown:
                assert_never(unknown)

    def __str__(self) -> str:
        """As `kubectl -l` takes it."""
        match self.operator:
            case Operator.IN:
                return f"{self.key} in ({','.join(self.values)})"
            case Operator.NOT_IN:
                return f"{self.key} notin ({','.join(self.values)})"
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"
            case unknown:
                assert_never(unknown)


@attrs.frozen
class LabelSelector:
    """
    All labels and all expressions must hold; the empty selector matches everything.

    Both parts are sorted, so that two selectors that say the same are equal.
    """

    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[Expression, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether an object with `labels` is selected."""
        return all(labels.get(key) == value for key, value in self.labels) and all(
            expression.matches(labels) for expression in self.expressions
        )

    def __str__(self) -> str:
        """As `kubectl -l` takes it, sorted by key; empty for the one that matches everything."""
        parts = [(key, f"{key}={value}") for key, value in self.labels]
        parts += [(expression.key, str(expression)) for expression in self.expressions]
        return ",".join(text for _, text in sorted(parts))
