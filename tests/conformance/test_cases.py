"""The project's own copy of the conformance data, and the runner that reads any such file."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.__main__ import DIFFERENCES, main
from tests.conformance.adapters import ADAPTERS
from tests.conformance.cases import Case, difference, load, load_differences, run_case

DATA = Path(__file__).with_name("data") / "cases.json"
CASES = load(DATA)
COVERED = [case for case in CASES if case.path in ADAPTERS]
NEEDS_ROOT = {"l2/arp-responder"}  # driven through the BPF program


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=[pytest.mark.root] if case.path in NEEDS_ROOT else [])
        for case in COVERED
        if case.id not in load_differences(DIFFERENCES)
    ],
)
def test_behaves_as_metallb_does(case: Case) -> None:
    assert run_case(case, ADAPTERS).problem == ""


def write(folder: Path, *cases: Mapping[str, object]) -> str:
    path = folder / "cases.json"
    path.write_text(json.dumps({"cases": list(cases)}))
    return str(path)


def can_serve_case(name: str, *, expected: bool) -> dict[str, object]:
    return {
        "id": name,
        "area": "l2",
        "suite": "endpoint-can-serve",
        "input": {"conditions": {"ready": True}},
        "expect": {"canServe": expected},
    }


def test_a_wrong_expectation_fails_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runner itself can fail: a comparison that always agrees would show here."""
    path = write(tmp_path, can_serve_case("x", expected=True), can_serve_case("y", expected=False))

    status = main([path, "--list-failures"])

    assert status == 1
    assert capsys.readouterr().out.splitlines() == [
        "l2/endpoint-can-serve 1/2",
        "failed: y: expect.canServe: expected False, observed True",
        "1 passed, 1 failed",
    ]


def test_a_suite_without_adapter_counts_as_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = {"id": "z", "area": "a", "suite": "b", "input": {}, "expect": {"error": True}}

    status = main([write(tmp_path, unknown), "--list-failures"])

    assert status == 1
    assert "failed: z: no adapter for this suite" in capsys.readouterr().out


def test_an_exception_of_the_product_is_a_failure_of_its_case(tmp_path: Path) -> None:
    broken = {**can_serve_case("x", expected=True), "input": {"conditions": 7}}
    [case] = load(Path(write(tmp_path, broken)))

    assert "AttributeError" in run_case(case, ADAPTERS).problem


@pytest.mark.parametrize("text", ["", "[]", '{"cases": [{"id": "x"}]}', '{"cases": 7}'])
def test_a_file_of_another_shape_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)

    assert main([str(path)]) == 2
    assert "not conformance data" in capsys.readouterr().err


def test_every_suite_asked_for_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    suites = ["misc/tls-flags", "bgp/filter-by-node"]

    status = main([str(DATA), *(word for suite in suites for word in ("--suite", suite))])

    *rows, _ = capsys.readouterr().out.splitlines()
    assert (status, sorted(row.split()[0] for row in rows)) == (0, sorted(suites))


def test_a_pattern_that_matches_nothing_is_not_a_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(DATA), "--suite", "nowhere/*"]) == 2
    assert "no suite matches" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expected", "observed", "found"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, "", id="more_than_expected_is_fine"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, "expect.a.b", id="the_path_is_named"),
        pytest.param({"a": 1}, {}, "not observed: a", id="a_missing_key"),
        pytest.param({"a": 1}, {"a": True}, "expected 1", id="a_bool_is_no_number"),
        pytest.param({"a": ["x"]}, {"a": ["x", "y"]}, "expected ['x']", id="lists_are_whole"),
        pytest.param({"a": "*nonempty*"}, {"a": "text"}, "", id="any_text"),
        pytest.param({"a": "*nonempty*"}, {"a": ""}, "no text", id="no_text"),
    ],
)
def test_difference(expected: dict[str, object], observed: dict[str, object], found: str) -> None:
    problem = difference(expected, observed)

    assert found in problem
    assert bool(found) == bool(problem)
