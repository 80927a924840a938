"""
What is wrong with an object.

    CrdError
      ConfigError    an object does not fit its kind: one or more `Problem`s
      AddressError   a text that is no address or range of addresses (also a ValueError)
      CommunityError a text that is no BGP community (also a ValueError)
"""

import attrs

Path = tuple[str | int, ...]


class CrdError(Exception):
    """Anything this package raises for bad input."""


class AddressError(CrdError, ValueError):
    """A text that is no address or range of addresses; the message says what would be one."""


class CommunityError(CrdError, ValueError):
    """A text that is no BGP community; the message says what would be one."""


def path_text(path: Path) -> str:
    """
    Spell a path as in YAML: ("spec", "addresses", 1) is spec.addresses[1].

    Keys with a dot or a slash, which labels and annotations have, stand in brackets.
    """
    text = ""
    for step in path:
        if isinstance(step, int) or "." in step or "/" in step:
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


@attrs.frozen
class Problem:
    """One field that is wrong: where, what stands there, and what would be right."""

    path: Path
    message: str
    value: str = ""  # as text, cut to a length a line can hold
    code: str = "bad_value"  # "unknown_field", "unknown_kind", "bad_object" or "bad_value"

    def __str__(self) -> str:
        field = path_text(self.path)
        return f"{field}: {self.message}" if field else self.message


class ConfigError(CrdError):
    """An object that does not fit its kind. `subject` is "Kind namespace/name"."""

    def __init__(self, subject: str, problems: tuple[Problem, ...]) -> None:
        """Name the object and all that is wrong with it, in the order of its fields."""
        self.subject = subject
        self.problems = problems
        super().__init__("; ".join(f"{subject}: {problem}" for problem in problems))
