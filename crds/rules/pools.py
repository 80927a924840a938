"""Pools among one another: unique names, no address twice."""

from collections.abc import Iterator

from crds.rules.findings import Finding, error
from crds.rules.objects import Objects
from crds.rules.repeats import repeated_names


def check_pools(objects: Objects) -> Iterator[Finding]:
    """Names given twice, and entries that share an address with an earlier pool by name."""
    yield from repeated_names((facts.pool for facts in objects.pools), "pool")
    yield from _overlaps(objects)


def _overlaps(objects: Objects) -> Iterator[Finding]:
    """By a sweep over all entries, sorted: thousands of pools cost milliseconds."""
    spans = sorted(
        (
            (span.first.version, int(span.first), int(span.last), place, span)
            for place, facts in enumerate(objects.pools)
            for span in facts.ranges
        ),
        key=lambda entry: entry[:4],
    )
    reach: tuple[int, int, int] | None = None  # version, last address and pool of what came so far
    for version, first, last, place, span in spans:
        if reach is not None and reach[0] == version and first <= reach[1] and place != reach[2]:
            facts, rival = objects.pools[place], objects.pools[reach[2]]
            yield error(
                facts.pool.subject,
                ("spec", "addresses", span.place),
                f"overlaps {rival.pool.subject}; an address can be in one pool only",
                facts.pool.model.spec.addresses[span.place],
            )
        if reach is None or reach[0] != version or last > reach[1]:
            reach = (version, last, place)
