"""Since when the API server trusts which CA, and so which certificate may be served. Pure."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import attrs

from controller.webhooks.certificates import Pair, fingerprint_of

Fingerprint = str
# How long every configuration must have held a CA before a certificate of its is served in place
# of one that is good. Several API servers each learn of a change by their own watch, as we do.
SETTLED_S: Final = 30.0
# The same where there is nothing good to serve meanwhile.
HURRIED_S: Final = 1.0
# And how long to wait for that at all: an error that names the certificate helps more than none.
PATIENCE_S: Final = 10.0


@attrs.frozen
class Waits:
    """The three times, as tests may shorten them."""

    settled_s: float = SETTLED_S
    hurried_s: float = HURRIED_S
    patience_s: float = PATIENCE_S


@attrs.frozen
class Trusted:
    """
    CAs that every configuration that calls us has now, each with the time since when.

    `calls` is False while there is no such configuration: nobody calls, nobody needs to trust.
    """

    since: Mapping[Fingerprint, float] = attrs.field(factory=dict)
    calls: bool = False

    def updated(self, bundles: Collection[frozenset[Fingerprint]], now: float) -> "Trusted":
        """Take in what the configurations have at `now`, a bundle each."""
        common = frozenset.intersection(*bundles) if bundles else frozenset()
        return Trusted({each: self.since.get(each, now) for each in sorted(common)}, bool(bundles))

    def lasts_s(self, pair: Pair, now: float) -> float | None:
        """How long a pair has been trusted; None: it is not."""
        since = self.since.get(fingerprint_of(pair.authority))
        return None if since is None else now - since


@attrs.frozen
class Wait:
    """Not yet; ask again after `for_s` at the latest."""

    for_s: float
    until: str  # what is waited for


def may_serve(
    pair: Pair, held: Pair | None, trusted: Trusted, waits: Waits, *,
    known_since: float, now: float, wall: datetime,
) -> Wait | None:  # fmt: skip
    """
    Say whether to serve `pair` from now on in place of `held`; None: yes.

    `known_since` is when this process first saw the pair, by the clock of `now` (seconds).
    """
    if not trusted.calls:
        return None
    has_good = held is not None and held.is_valid(wall)
    needed_s = waits.settled_s if has_good else waits.hurried_s
    lasts_s = trusted.lasts_s(pair, now)
    if lasts_s is not None:
        return None if lasts_s >= needed_s else Wait(needed_s - lasts_s, "the CA to settle")
    patience_s = known_since + waits.patience_s - now
    if not has_good and patience_s <= 0:
        return None
    return Wait(max(patience_s, waits.hurried_s), "the CA to be trusted")
