"""
Whom to join and when, and when the start is over for it. Pure: `now` in, targets to try out.

A target is tried until it is a member, after 1 s, then ten times after 2 s, then up to 10 s apart,
and again when it is lost, so that a ring that a long cut has split in two heals. A node without any
other member tries every 2 s at the latest: whoever took its seats meanwhile cannot know of it. A
name cannot be told from a member's address: it is tried each minute. The start is over once each
target was merged with or has failed twice (OWNERSHIP.md 8).
"""

from collections.abc import Iterable
from math import inf

import attrs

Target = tuple[str, int]
"""Host, an address or a name, and port."""

# Some 40 s of short waits, since an attempt may take 2 s itself: two halves of a ring that all
# restarted while it was cut know of each other by this alone (simulator: 7.6 s of two voices)
RETRY_S = (1.0, *(2.0,) * 10, 4.0, 8.0, 10.0)
REJOIN_S = 60.0
LONELY_S = 2.0
FAILURES_TO_SETTLE = 2
FIRST_AT_ONCE = 10  # of those never tried: whoever answers names the rest of hundreds


@attrs.define
class _Course:
    failures: int = 0
    has_merged: bool = False
    is_pending: bool = False
    next_try: float = 0.0
    ended_at: float = 0.0  # the last attempt


@attrs.define
class Joins:
    """The targets, each with how joining it went so far."""

    _courses: dict[Target, _Course] = attrs.field(factory=dict)

    def seek(self, targets: Iterable[Target]) -> None:
        """Replace the targets; those that stay keep their course, new ones are due at once."""
        self._courses = {t: self._courses.get(t) or _Course() for t in dict.fromkeys(targets)}

    def due(self, now: float, members: Iterable[Target]) -> list[Target]:
        """
        Return whom to try now; `note` is owed for each. `members` are those up in the ring.

        Of targets that were never tried only a few, so that a node that starts does not exchange
        state with hundreds at once: ask again in a tenth of a second.
        """
        known = frozenset(members)
        due, fresh = [], 0
        for target, course in self._courses.items():
            if target in known or course.is_pending:
                continue
            if self._next_try(course, is_lonely=len(known) < 2) > now:
                continue
            if not course.failures and not course.has_merged:
                fresh += 1
                if fresh > FIRST_AT_ONCE:
                    continue
            course.is_pending = True
            due.append(target)
        return due

    def next_due(self, members: Iterable[Target]) -> float:
        """When `due` has something to say; infinity while nothing waits."""
        known = frozenset(members)
        is_lonely = len(known) < 2
        return min(
            (
                self._next_try(course, is_lonely=is_lonely)
                for target, course in self._courses.items()
                if target not in known and not course.is_pending
            ),
            default=inf,
        )

    def hurry(self, now: float) -> None:
        """Try whoever is no member at once: there is a sign of life, or carrier again."""
        for course in self._courses.values():
            course.next_try = min(course.next_try, now)

    @staticmethod
    def _next_try(course: _Course, *, is_lonely: bool) -> float:
        if is_lonely and course.failures:
            return min(course.next_try, course.ended_at + LONELY_S)
        return course.next_try

    def note(self, target: Target, *, merged: bool, now: float) -> None:
        """Take how an attempt ended."""
        course = self._courses.get(target)
        if course is None:
            return
        course.is_pending = False
        course.ended_at = now
        if merged:
            course.has_merged, course.failures = True, 0
            course.next_try = now + REJOIN_S
        else:
            course.next_try = now + RETRY_S[min(course.failures, len(RETRY_S) - 1)]
            course.failures += 1

    def is_settled(self, members: Iterable[Target]) -> bool:
        """Whether each target was merged with, is a member, or has failed twice."""
        known = frozenset(members)
        return all(
            target in known or course.has_merged or course.failures >= FAILURES_TO_SETTLE
            for target, course in self._courses.items()
        )
