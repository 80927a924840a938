"""The ends of logs, shown with a failure: what they belong to is gone when it is read."""

from collections.abc import Iterable
from pathlib import Path

import pytest


def show_ends(
    report: pytest.TestReport, logs: Iterable[tuple[str, Path]], lines: int
) -> pytest.TestReport:
    """Add to a failed test's report the last `lines` of each log that is there, by its title."""
    for title, path in logs if report.failed else ():
        if path.exists():
            end = path.read_text(errors="replace").splitlines()[-lines:]
            report.sections.append((title, "\n".join(end)))
    return report
