"""docs/reference/differences.md names cases of the data."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/differences.md").read_text(encoding="utf-8")


def test_the_cases_it_names_are_there() -> None:
    data = json.loads((ROOT / "tests/conformance/data/cases.json").read_text(encoding="utf-8"))
    known = {case["id"] for case in data["cases"]}

    named = re.findall(r"`((?:alloc|bgp|config|l2)/[a-z0-9-]+/\d+)`", PAGE)

    assert len(named) >= 5
    assert set(named) <= known
