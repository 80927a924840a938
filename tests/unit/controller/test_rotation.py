"""
Replicas, a Secret, API servers that learn late: whatever happens, what is served is trusted.

The steps are the keeper's (controller/webhooks/keeper.py) without its requests.
"""

import base64
from datetime import UTC, datetime, timedelta

import attrs
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.webhooks.certificates import (
    TLS_KEY,
    Nothing,
    Pair,
    Policy,
    Renew,
    Stored,
    fingerprint_of,
    plan,
)
from controller.webhooks.issue import issue
from controller.webhooks.trust import (
    HURRIED_S,
    PATIENCE_S,
    SETTLED_S,
    Trusted,
    Wait,
    Waits,
    may_serve,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(("metallb-webhook-service.metallb-system.svc",))
WAITS = Waits()
SLOWEST_S = SETTLED_S - 1.0  # that an API server learns of a bundle
DAY_S = 86_400.0
GARBAGE = {TLS_KEY: base64.b64encode(b"no key").decode()}


@attrs.define
class Replica:
    """What one process knows."""

    held: Pair | None = None
    trusted: Trusted = attrs.field(factory=Trusted)
    known: dict[str, float] = attrs.field(factory=dict)
    remembered: tuple[x509.Certificate, ...] = ()


class Rotation(RuleBasedStateMachine):
    """Time passes, hands slip, replicas start; each step of a replica is atomic."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.secret: dict[str, str] | None = None
        self.told: list[tuple[float, frozenset[str]]] = [(0.0, frozenset())]  # since when
        self.trusted: tuple[x509.Certificate, ...] = ()  # the latest of them
        self.replicas = [Replica(), Replica()]

    @property
    def wall(self) -> datetime:
        return START + timedelta(seconds=self.now)

    @initialize()
    def all_start(self) -> None:
        self._settle()

    def _settle(self) -> None:
        """Let everybody work for two minutes, second by second where it matters."""
        for delay_s in (0, HURRIED_S, 1, 8, 1, 20, SETTLED_S, 60):
            self._pass(delay_s)
            for replica in self.replicas:
                self._step(replica)

    def _pass(self, seconds: float) -> None:
        self.now += seconds

    def _step(self, replica: Replica) -> None:
        remembered = (*replica.remembered, *self.trusted)
        decided = plan(self.secret, POLICY, self.wall, replica.held, remembered)
        stored: Stored
        if isinstance(decided, Renew):
            stored = issue(POLICY, self.wall, decided.keep)
        else:
            stored = decided.stored
        if not isinstance(decided, Nothing):
            self.secret = stored.data()
        replica.remembered = stored.authorities
        bundle = frozenset(map(fingerprint_of, stored.authorities))
        if bundle != self.told[-1][1]:
            self.told.append((self.now, bundle))
            self.trusted = stored.authorities
        replica.trusted = replica.trusted.updated([bundle], self.now)
        name = fingerprint_of(stored.pair.certificate)
        replica.known = {name: replica.known.get(name, self.now)}
        wait = may_serve(
            stored.pair,
            replica.held,
            replica.trusted,
            WAITS,
            known_since=replica.known[name],
            now=self.now,
            wall=self.wall,
        )
        if wait is None:
            replica.held = stored.pair

    @rule(days=st.floats(0.0, 7.0))
    def time_passes(self, days: float) -> None:
        self._pass(days * DAY_S)
        self._settle()

    @rule(first=st.booleans(), seconds=st.floats(0.0, 40.0))
    def one_works(self, *, first: bool, seconds: float) -> None:
        self._pass(seconds)
        self._step(self.replicas[0 if first else 1])

    @rule()
    def the_secret_is_deleted(self) -> None:
        self.secret = None

    @rule()
    def the_secret_is_broken(self) -> None:
        self.secret = {**(self.secret or {}), **GARBAGE}

    @invariant()
    def what_is_served_is_valid(self) -> None:
        assert all(r.held is None or r.held.is_valid(self.wall) for r in self.replicas)

    @invariant()
    def every_api_server_trusts_what_is_served(self) -> None:
        """Also the one that has not yet heard of the last changes."""
        for replica in self.replicas:
            if replica.held is None:
                continue
            name = fingerprint_of(replica.held.authority)
            late = [b for since, b in self.told[:-1] if self._is_still_seen(since)]
            for bundle in (*late, self.told[-1][1]):
                assert name in bundle

    def _is_still_seen(self, since: float) -> bool:
        """Whether a bundle was replaced so lately that an API server may still go by it."""
        index = [start for start, _ in self.told].index(since)
        return self.told[index + 1][0] > self.now - SLOWEST_S

    @invariant()
    def everybody_serves(self) -> None:
        assert self.now == 0.0 or all(replica.held is not None for replica in self.replicas)


Rotation.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestRotation = Rotation.TestCase


# --- the waits one by one

PAIR, OLD = issue(POLICY, START).pair, issue(POLICY, START).pair
TRUSTED = Trusted().updated([frozenset({fingerprint_of(PAIR.authority)})], 100.0)
NOBODY = Trusted().updated([frozenset()], 100.0)


def ask(held: Pair | None, trusted: Trusted, after_s: float, days: int = 0) -> Wait | None:
    """May PAIR, first seen at 100 s, be served so long afterwards?"""
    return may_serve(
        PAIR,
        held,
        trusted,
        WAITS,
        known_since=100.0,
        now=100.0 + after_s,
        wall=START + timedelta(days=days),
    )


def test_a_good_certificate_is_not_replaced_before_the_new_one_has_settled() -> None:
    assert ask(OLD, TRUSTED, SETTLED_S - 1) == Wait(1.0, "the CA to settle")
    assert ask(OLD, TRUSTED, SETTLED_S) is None


def test_a_good_certificate_is_never_replaced_by_one_that_is_not_trusted() -> None:
    assert ask(OLD, NOBODY, 100 * PATIENCE_S) is not None


def test_where_there_is_nothing_good_a_trusted_certificate_is_served_at_once() -> None:
    assert ask(None, TRUSTED, HURRIED_S) is None
    assert ask(OLD, TRUSTED, HURRIED_S, days=91) is None


def test_where_there_is_nothing_good_one_that_is_not_trusted_is_served_in_the_end() -> None:
    """The error then names the certificate."""
    assert ask(None, NOBODY, 1.0) == Wait(PATIENCE_S - 1.0, "the CA to be trusted")
    assert ask(None, NOBODY, PATIENCE_S) is None


def test_where_nobody_calls_nobody_has_to_trust() -> None:
    assert ask(OLD, Trusted(), 0.0) is None


def test_a_ca_has_to_stay_in_every_configuration_to_settle() -> None:
    name = fingerprint_of(PAIR.authority)
    has, lacks = frozenset({name}), frozenset[str]()

    lost = TRUSTED.updated([has, lacks], 110.0)
    back = lost.updated([has, has], 120.0)

    assert lost.lasts_s(PAIR, 110.0) is None
    assert back.lasts_s(PAIR, 125.0) == 5.0
