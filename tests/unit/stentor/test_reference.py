"""The reference pages say what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from stentor.cli.reference import markdown

ROOT = Path(__file__).parents[3]
PACKAGES = ("controller", "speaker", "stentor")
LOG_METHODS = {"debug", "info", "warn", "error"}
EVENT_ARGUMENT = {"Note": 0, "note": 0, "FatalError": 1, "emit": 1} | dict.fromkeys(LOG_METHODS, 0)
EVENT = re.compile(r"[a-z]+(_[a-z]+)+|nodeAssigned")


def events_in_code() -> set[str]:
    """Every text that stands where an event's name does, in a conditional expression too."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    found.update(event_names(node))
    return found


def event_names(call: ast.Call) -> Iterator[str]:
    """Names of events that a call may log."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    position = EVENT_ARGUMENT.get(name)
    if name == "tell":  # a bound method of a logger, chosen by severity
        position = 0
    if position is None or len(call.args) <= position:
        return
    for node in ast.walk(call.args[position]):
        value = getattr(node, "value", None)
        if isinstance(value, str) and EVENT.fullmatch(value):
            yield value


def events_in_docs() -> set[str]:
    """First column of every table of the page."""
    page = (ROOT / "docs/reference/events.md").read_text()
    return set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


def test_every_event_is_documented() -> None:
    assert events_in_code() - events_in_docs() == set()


def test_every_documented_event_is_in_the_code() -> None:
    code = "".join(path.read_text() for name in PACKAGES for path in (ROOT / name).rglob("*.py"))

    assert [event for event in sorted(events_in_docs()) if f'"{event}"' not in code] == []


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    """Else: python -m stentor.cli.reference > docs/reference/cli.md"""
    assert (ROOT / "docs/reference/cli.md").read_text() == markdown()
