"""Label selectors: who is selected."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds import selectors as models
from crds.matching import Expression, LabelSelector, Operator

IN, NOT_IN, EXISTS, ABSENT = Operator  # in the order they are declared

_KEYS = st.sampled_from(("app", "tier", "example.com/rack"))
_VALUES = st.sampled_from(("", "web", "db"))
_LABELS = st.dictionaries(_KEYS, _VALUES)
_VALUE_LISTS = st.lists(_VALUES, min_size=1, max_size=3, unique=True).map(
    lambda values: tuple(sorted(values))
)
_EXPRESSIONS = st.builds(
    Expression, _KEYS, st.sampled_from((IN, NOT_IN)), _VALUE_LISTS
) | st.builds(Expression, _KEYS, st.sampled_from((EXISTS, ABSENT)))
_SELECTORS = st.builds(
    LabelSelector,
    _LABELS.map(lambda labels: tuple(labels.items())),
    st.lists(_EXPRESSIONS, max_size=3).map(tuple),
)


def selector(*expressions: Expression, **labels: str) -> LabelSelector:
    return LabelSelector(tuple(labels.items()), expressions)


@pytest.mark.parametrize(
    ("asked", "labels", "is_selected"),
    [
        pytest.param(selector(), {}, True, id="the_empty_selector_selects_all"),
        pytest.param(selector(app="web"), {"app": "web", "x": "y"}, True, id="a_label_that_holds"),
        pytest.param(selector(app="web"), {"app": "db"}, False, id="another_value"),
        pytest.param(selector(app=""), {}, False, id="an_empty_value_is_not_an_absent_label"),
        pytest.param(selector(Expression("app", IN, ("a", "b"))), {"app": "b"}, True, id="in"),
        pytest.param(selector(Expression("app", IN, ("a",))), {}, False, id="in_needs_the_label"),
        pytest.param(
            selector(Expression("app", NOT_IN, ("a",))), {}, True, id="not_in_holds_without_label"
        ),
        pytest.param(selector(Expression("app", NOT_IN, ("a",))), {"app": "a"}, False, id="not_in"),
        pytest.param(selector(Expression("app", EXISTS)), {"app": ""}, True, id="exists"),
        pytest.param(selector(Expression("app", EXISTS)), {"x": "app"}, False, id="exists_not"),
        pytest.param(selector(Expression("app", ABSENT)), {}, True, id="does_not_exist"),
        pytest.param(selector(Expression("app", ABSENT)), {"app": ""}, False, id="but_it_exists"),
        pytest.param(
            selector(Expression("tier", EXISTS), app="web"), {"app": "web"}, False, id="and"
        ),
    ],
)  # fmt: skip
def test_who_is_selected(asked: LabelSelector, labels: dict[str, str], is_selected: bool) -> None:
    assert is_selected == asked.matches(labels)


@given(_KEYS, _VALUE_LISTS, _LABELS)
def test_each_operator_is_the_opposite_of_its_pair(
    key: str, values: tuple[str, ...], labels: dict[str, str]
) -> None:
    assert Expression(key, IN, values).matches(labels) != Expression(key, NOT_IN, values).matches(
        labels
    )
    assert Expression(key, EXISTS).matches(labels) != Expression(key, ABSENT).matches(labels)


@given(_SELECTORS, _EXPRESSIONS, _LABELS)
def test_one_more_condition_never_selects_more(
    asked: LabelSelector, extra: Expression, labels: dict[str, str]
) -> None:
    narrower = LabelSelector(asked.labels, (*asked.expressions, extra))

    assert narrower.matches(labels) == (asked.matches(labels) and extra.matches(labels))


@given(_LABELS, _LABELS)
def test_labels_select_whoever_has_them_all(wanted: dict[str, str], labels: dict[str, str]) -> None:
    asked = LabelSelector(tuple(wanted.items()))

    assert asked.matches(labels) == (wanted.items() <= labels.items())


@given(_SELECTORS, st.randoms(use_true_random=False))
def test_the_order_in_a_manifest_means_nothing(asked: LabelSelector, rng: Random) -> None:
    """Selectors that say the same are equal, or a World would change without a change."""
    expressions: list[dict[str, Any]] = [
        {"key": e.key, "operator": e.operator.value, "values": list(e.values)}
        for e in dict.fromkeys(asked.expressions)
    ]
    raw = {"matchLabels": dict(asked.labels), "matchExpressions": expressions}
    one = models.LabelSelector.model_validate(raw).matcher()
    rng.shuffle(expressions)
    for expression in expressions:
        rng.shuffle(expression["values"])

    other = models.LabelSelector.model_validate(raw).matcher()

    assert one == other
