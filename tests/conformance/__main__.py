"""`python -m tests.conformance FILE... [--suite AREA/SUITE]... [--list-failures]`."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.conformance.adapters import ADAPTERS
from tests.conformance.cases import (
    Case,
    Outcome,
    UnusableError,
    chosen,
    load,
    load_differences,
    run_case,
)

DIFFERENCES = Path(__file__).with_name("differences.yaml")


def main(arguments: list[str] | None = None) -> int:
    """Run the files named; exit status 1 when a case failed, 2 when a file is unusable."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Run behaviour cases against the product's own functions.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--suite",
        action="append",
        dest="suites",
        metavar="AREA/SUITE",
        help="shell pattern; repeatable",
    )
    parser.add_argument("--list-failures", action="store_true", help="say what was wrong, too")
    options = parser.parse_args(arguments)
    patterns: list[str] = options.suites or ["*"]
    try:
        cases = [case for path in options.files for case in chosen(load(path), patterns)]
    except UnusableError as exc:
        print(exc, file=sys.stderr)
        return 2
    if not cases:
        print(f"no suite matches {' or '.join(patterns)}", file=sys.stderr)
        return 2
    return report(cases, explained=options.list_failures)


def report(cases: list[Case], *, explained: bool) -> int:
    """Run `cases`, print what came of them, return the exit status."""
    differences = load_differences(DIFFERENCES)
    outcomes = [run_case(case, ADAPTERS) for case in cases]
    failures = [o for o in outcomes if o.problem and o.case.id not in differences]
    intended = [o for o in outcomes if o.problem and o.case.id in differences]
    passed = len(outcomes) - len(failures) - len(intended)

    totals = Counter(outcome.case.path for outcome in outcomes)
    good = Counter(outcome.case.path for outcome in outcomes if not outcome.problem)
    for path, total in totals.items():
        print(f"{path} {good[path]}/{total}")
    for failure in failures:
        print(_line(failure) if explained else f"failed: {failure.case.id}")
    for outcome in intended:
        print(f"differs on purpose: {outcome.case.id}: {differences[outcome.case.id]}")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


def _line(failure: Outcome) -> str:
    return f"failed: {failure.case.id}: {failure.problem}"


if __name__ == "__main__":
    sys.exit(main())
