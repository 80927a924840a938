"""What our models take the API server's schema takes, and the other way round."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crds.decode import KINDS, decode
from crds.errors import ConfigError
from crds.rules import check, gather
from stentor.lab.control_plane import ControlPlane
from tests.cluster.api import DryRun
from tests.cluster.generated import SPECS, altered
from tests.cluster.kubectl import Kubectl

Raw = dict[str, Any]
DIFFERENCES = yaml.safe_load(
    (Path(__file__).parent / "schema_differences.yaml").read_text(encoding="utf-8")
)
# The same examples in every run: a build does not fail for what nobody changed.
SOME = settings(
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def server(plane: ControlPlane, kubectl: Kubectl) -> Iterator[DryRun]:
    """The API server with our definitions."""
    with DryRun(plane) as made:
        yield made


def whole(kind: str, spec: Raw, namespace: str, name: str = "metallb") -> Raw:
    """An object of the stored version."""
    version = next(iter(KINDS[kind]))
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def plural(kind: str) -> str:
    """Its name in a URL."""
    return next(iter(KINDS[kind].values())).PLURAL


def model_says(raw: Raw) -> list[str]:
    """All that the model has against an object."""
    try:
        decode(raw)
    except ConfigError as exc:
        return [str(problem) for problem in exc.problems]
    return []


@pytest.mark.parametrize("kind", SPECS)
def test_what_is_generated_right_is_taken_by_both(
    server: DryRun, namespace: str, kind: str
) -> None:
    @SOME
    @given(SPECS[kind])
    def holds(spec: Raw) -> None:
        raw = whole(kind, spec, namespace)

        objects, findings = gather([raw])
        refusals = [
            str(f) for f in [*findings, *check(objects)] if f.is_error and not f.is_transient
        ]

        assert refusals == []
        assert server.refusal(raw, plural(kind)) == ""

    holds()


@pytest.mark.parametrize("kind", SPECS)
def test_what_one_refuses_the_other_refuses_but_for_what_is_listed(
    server: DryRun, namespace: str, kind: str
) -> None:
    @SOME
    @given(altered(SPECS[kind]))
    def holds(spec: Raw) -> None:
        raw = whole(kind, spec, namespace)

        ours, theirs = model_says(raw), server.refusal(raw, plural(kind))

        if not theirs:
            assert [each for each in ours if not _is_listed("model", each)] == []
        elif not ours:
            assert _is_listed("schema", theirs), theirs

    holds()


def _is_listed(by: str, said: str) -> bool:
    return any(each["refused_by"] == by and re.search(each["says"], said) for each in DIFFERENCES)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda d: d["name"])
def test_a_difference_that_is_listed_is_one(
    server: DryRun, namespace: str, difference: Raw
) -> None:
    kind = difference["kind"]
    raw = whole(kind, difference["spec"], namespace, difference.get("object", "metallb"))

    ours, theirs = model_says(raw), server.refusal(raw, plural(kind))

    by_model = difference["refused_by"] == "model"
    assert (bool(ours), bool(theirs)) == (by_model, not by_model)
    assert re.search(difference["says"], ours[0] if by_model else theirs)


def test_altered_specs_are_wrong_often_enough_to_tell() -> None:
    """A mutation that hardly ever hurts would test nothing."""
    wrong = []

    @SOME
    @given(
        st.sampled_from(sorted(SPECS)).flatmap(lambda k: altered(SPECS[k]).map(lambda s: (k, s)))
    )
    def count(pair: tuple[str, Raw]) -> None:
        wrong.append(bool(model_says(whole(*pair, "x"))))

    count()

    assert sum(wrong) > len(wrong) / 4
