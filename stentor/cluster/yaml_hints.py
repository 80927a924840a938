"""What a person most likely did where the YAML parser only says what it missed. Pure."""

import re
from typing import Final

_SHOWN_MAX: Final = 60
_KEY: Final = re.compile(r"[\w./-]+:(?=\s|$)")
_AFTER_QUOTE: Final = re.compile(r"""(?:"[^"]*"|'[^']*')[ \t]+[^ \t#,\]}:].*$""")


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
    if "mapping values are not allowed" in problem:
        if len(_KEY.findall(row)) > 1:
            return "write each `key: value` on a line of its own"
        return f"`{above[:_SHOWN_MAX]}` has a value, so no lines may be indented below it"
    if "expected '-' indicator" in problem:
        return "it stands among the entries of a list: start it with a dash or indent it less"
    if "expected key" in problem:
        if _AFTER_QUOTE.search(row):
            return "nothing may follow the closing quote"
        if row.startswith("-"):
            return "indent the entry of a list at least as far as the key of the list"
        return "its indentation is that of no line above"
    if "could not find expected ':'" in problem:
        return "it is no `key: value`: remove it, or put the text in quotes"
    return ""


def _row_above(rows: list[str], place: int) -> str:
    """The nearest row above that says something."""
    return next((row.strip() for row in reversed(rows[:place]) if row.strip()), "")
