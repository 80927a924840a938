"""Conformance data: the cases of a file, and what a run of them found."""

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs
import yaml

Json = dict[str, Any]
ANY_TEXT = "*nonempty*"


@attrs.frozen
class Case:
    """One behaviour. `steps`, where there are any, apply in order to one instance."""

    id: str
    area: str
    suite: str
    input: Json
    expect: Json
    steps: tuple[Json, ...]
    shared: Json
    bgp_types: tuple[str, ...] = ()  # of MetalLB's backends those that it holds for; none: all

    @property
    def path(self) -> str:
        """area/suite, which decides the shape of `input` and `expect`."""
        return f"{self.area}/{self.suite}"


# Drives the product with a case and returns what was seen, in the shape of `case.expect`.
Adapter = Callable[[Case], Json]


@attrs.frozen
class Outcome:
    """What came of one case: `problem` is empty where all is as expected."""

    case: Case
    problem: str


class UnusableError(ValueError):
    """A file that is not conformance data; says what is wrong with it."""


def load(path: Path) -> list[Case]:
    """Read a file of the shape of data/cases.json. Raises UnusableError."""
    try:
        document = json.loads(path.read_text())
        return [_case(entry, document.get("shared", {})) for entry in document["cases"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UnusableError(f"{path}: not conformance data: {type(exc).__name__}: {exc}") from exc


def _case(entry: Json, shared: Json) -> Case:
    return Case(
        id=entry["id"],
        area=entry["area"],
        suite=entry["suite"],
        input=entry["input"],
        expect=entry["expect"],
        steps=tuple(entry.get("steps", ())),
        shared=shared,
        bgp_types=tuple(entry.get("bgpTypes", ())),
    )


def load_differences(path: Path) -> dict[str, str]:
    """Case id -> why we differ there on purpose."""
    return {entry["id"]: entry["reason"] for entry in yaml.safe_load(path.read_text()) or ()}


def chosen(cases: list[Case], patterns: Iterable[str]) -> list[Case]:
    """The cases whose area/suite matches any of some shell patterns."""
    wanted = tuple(patterns)
    return [case for case in cases if any(fnmatchcase(case.path, each) for each in wanted)]


def run_case(case: Case, adapters: Mapping[str, Adapter]) -> Outcome:
    """Run one case; a missing adapter and an exception are failures like any other."""
    adapter = adapters.get(case.path)
    if adapter is None:
        return Outcome(case, "no adapter for this suite")
    try:
        observed = adapter(case)
    except Exception as exc:  # whatever the product raises is this case's failure
        return Outcome(case, f"{type(exc).__name__}: {exc}")
    return Outcome(case, difference(case.expect, observed))


def difference(expected: object, observed: object, path: str = "expect") -> str:
    """
    Say where `observed` departs from `expected`; empty where it does not.

    Every expected key must be there, further ones may be: a case states what it is about.
    """
    match expected:
        case dict() if isinstance(observed, dict):
            missing = [key for key in expected if key not in observed]
            if missing:
                return f"{path}: not observed: {', '.join(missing)}"
            parts = (difference(expected[k], observed[k], f"{path}.{k}") for k in expected)
            return next((part for part in parts if part), "")
        case str() if expected == ANY_TEXT:
            return "" if isinstance(observed, str) and observed else f"{path}: no text"
        case _ if type(expected) is type(observed) and expected == observed:
            return ""
    return f"{path}: expected {expected!r}, observed {observed!r}"
