"""What a person most likely did where the YAML parser only says what it missed. Pure."""

import re
from typing import Final

_SHOWN_MAX: Final = 60  # characters of a row
_ANY: Final = re.compile("")
_TWO_KEYS: Final = re.compile(r"[\w./-]+:\s.*[\w./-]+:(\s|$)")
_AFTER_QUOTE: Final = re.compile(r"""("[^"]*"|'[^']*')[ \t]+[^ \t#,\]}:]""")
_ENTRY: Final = re.compile(r"^-(\s|$)")
# Part of libyaml's text, what the row looks like, and what would be right; the first that fits.
_HINTS: Final = (
    ("mapping values are not", _TWO_KEYS, "write each `key: value` on a line of its own"),
    ("mapping values are not", _ANY, "`{above}` has a value, so no lines may be indented below it"),
    (
        "expected '-' indicator",
        _ANY,
        "it stands among the entries of a list: start it with a dash or indent it less",
    ),
    ("expected key", _AFTER_QUOTE, "nothing may follow the closing quote"),
    (
        "expected key",
        _ENTRY,
        "indent the entry of a list at least as far as the key of the list",
    ),
    ("expected key", _ANY, "its indentation is that of no line above"),
    ("find expected ':'", _ANY, "it is no `key: value`: remove it, or put the text in quotes"),
)


def explained(problem: str, rows: list[str], place: int) -> str:
    """
    libyaml's `problem` with the row it is about, and what would be right where that is known.

    `place` counts rows from 0; a row that is not there is not shown.
    """
    row = rows[place].strip() if place < len(rows) else ""
    if not row:
        return problem
    shown = row if len(row) <= _SHOWN_MAX else f"{row[:_SHOWN_MAX]}…"
    if rows[place].startswith("\t"):
        hint = "indent with blanks, not with tabs"
    else:
        hint = _hint(problem, row, _row_above(rows, place))
    return f"{problem} at `{shown}`{hint and f'; {hint}'}"


def _hint(problem: str, row: str, above: str) -> str:
    for part, looks_like, hint in _HINTS:
        if part in problem and looks_like.search(row):
            return hint.replace("{above}", above[:_SHOWN_MAX])
    return ""


def _row_above(rows: list[str], place: int) -> str:
    """The nearest row above that says something."""
    return next((row.strip() for row in reversed(rows[:place]) if row.strip()), "")
