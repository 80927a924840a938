"""One thing that is wrong with a set of objects."""

import enum

import attrs

from crds.errors import Path, Problem


class Severity(enum.StrEnum):
    """What a finding costs."""

    ERROR = "error"  # refused
    WARNING = "warning"  # taken, but hardly does what was meant


@attrs.frozen(order=True)
class Subject:
    """Names an object."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


@attrs.frozen
class Finding:
    """
    What is wrong, where, and what would be right.

    `is_transient`: an object that is missing may yet come, so a webhook lets it pass.
    """

    subject: Subject
    problem: Problem
    severity: Severity = Severity.ERROR
    is_transient: bool = False

    @property
    def is_error(self) -> bool:
        """Whether the configuration cannot be used as it stands."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


def error(subject: Subject, path: Path, message: str, value: object = "") -> Finding:
    """A finding that refuses."""
    return Finding(subject, Problem(path, message, str(value)))


def pending(subject: Subject, path: Path, message: str, value: object = "") -> Finding:
    """A finding that refuses until what is missing comes."""
    return Finding(subject, Problem(path, message, str(value)), is_transient=True)


def warning(subject: Subject, path: Path, message: str, value: object = "") -> Finding:
    """A finding that is only to be told."""
    return Finding(subject, Problem(path, message, str(value)), Severity.WARNING)
