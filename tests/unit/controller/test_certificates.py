"""What is done about a Secret, by what it holds and when."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.webhooks.certificates import (
    CA_CRT,
    MOST_AUTHORITIES,
    TLS_CRT,
    TLS_KEY,
    Fault,
    KeyKind,
    Lifetime,
    Nothing,
    Pair,
    Policy,
    Renew,
    Trust,
    key_kind_of,
    names_of,
    plan,
)
from controller.webhooks.issue import issue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(("metallb-webhook-service.metallb-system.svc", "127.0.0.1"))
GOOD = issue(POLICY, NOW)
OTHER = issue(POLICY, NOW)
DAY = timedelta(days=1)
Data = dict[str, str]


def changed(**keys: str) -> Data:
    """The data of a good Secret with other values; tls_key stands for tls.key."""
    return {**GOOD.data(), **{name.replace("_", "."): value for name, value in keys.items()}}


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_good_secret_is_left_alone() -> None:
    decided = plan(GOOD.data(), POLICY, NOW, GOOD.pair)

    assert isinstance(decided, Nothing)
    assert decided.stored.pair.certificate == GOOD.pair.certificate


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(None, Fault.MISSING, id="no_secret"),
        pytest.param({}, Fault.MISSING, id="empty_secret"),
        pytest.param(changed(tls_key=""), Fault.UNREADABLE, id="no_key"),
        pytest.param(changed(tls_key="%%%"), Fault.UNREADABLE, id="not_base64"),
        pytest.param(changed(tls_crt=text(b"x")), Fault.UNREADABLE, id="not_pem"),
        pytest.param(changed(ca_crt=text(GOOD.bundle[:99])), Fault.UNREADABLE, id="cut_short"),
        pytest.param(changed(tls_key=text(OTHER.pair.key)), Fault.KEY_MISMATCH, id="other_key"),
        pytest.param(changed(ca_crt=text(OTHER.bundle)), Fault.UNTRUSTED, id="other_ca"),
    ],
)
def test_a_secret_that_cannot_be_served_is_made_anew(data: Data | None, reason: Fault) -> None:
    decided = plan(data, POLICY, NOW, None)

    assert isinstance(decided, Renew)
    assert decided.reason is reason


@pytest.mark.parametrize(
    ("policy", "now", "reason"),
    [
        pytest.param(Policy((*POLICY.names, "more")), NOW, Fault.WRONG_NAMES, id="name_missing"),
        pytest.param(Policy(POLICY.names[:1]), NOW, None, id="a_name_too_many"),
        pytest.param(
            attrs.evolve(POLICY, key_kind=KeyKind.RSA), NOW, Fault.WRONG_KEY_KIND, id="key_kind"
        ),
        pytest.param(POLICY, NOW + 59 * DAY, None, id="in_time"),
        pytest.param(POLICY, NOW + 61 * DAY, Fault.DUE, id="due"),
        pytest.param(POLICY, NOW + 91 * DAY, Fault.NOT_VALID, id="ended"),
        pytest.param(POLICY, NOW - DAY, Fault.NOT_VALID, id="not_begun"),
    ],
)
def test_a_certificate_is_renewed_when_it_no_longer_serves(
    policy: Policy, now: datetime, reason: Fault | None
) -> None:
    decided = plan(GOOD.data(), policy, now, None)

    assert reason is (decided.reason if isinstance(decided, Renew) else None)


def test_what_is_due_serves_until_it_ends_where_nothing_else_can_be_written() -> None:
    due, ended = (plan(GOOD.data(), POLICY, NOW + days * DAY, None) for days in (61, 91))

    assert isinstance(due, Renew)
    assert due.meanwhile is not None
    assert due.meanwhile.pair.certificate == GOOD.pair.certificate
    assert isinstance(ended, Renew)
    assert ended.meanwhile is None


@pytest.mark.parametrize("data", [None, GOOD.data(), changed(tls_key="%%%"), changed(ca_crt="%")])
def test_what_is_served_stays_trusted_whatever_becomes_of_the_secret(data: Data | None) -> None:
    decided = plan(data, POLICY, NOW, OTHER.pair)

    match decided:
        case Renew(keep=keep):
            assert OTHER.pair.authority in keep
        case Trust(stored) | Nothing(stored):
            assert OTHER.pair.authority in stored.authorities


def test_a_ca_that_has_ended_is_forgotten_with_the_next_certificate() -> None:
    decided = plan(GOOD.data(), POLICY, NOW + 91 * DAY, GOOD.pair)

    assert isinstance(decided, Renew)
    assert decided.keep == ()


def test_a_secret_that_is_deleted_again_and_again_does_not_grow_without_end() -> None:
    stored = GOOD
    for _ in range(3 * MOST_AUTHORITIES):
        broken = {**stored.data(), TLS_KEY: ""}
        decided = plan(broken, POLICY, NOW, GOOD.pair)
        assert isinstance(decided, Renew)
        stored = issue(POLICY, NOW, decided.keep)

    assert len(stored.authorities) == MOST_AUTHORITIES
    assert GOOD.pair.authority in stored.authorities


@pytest.mark.parametrize("kind", KeyKind)
def test_what_is_made_is_what_was_asked_for(kind: KeyKind) -> None:
    policy = attrs.evolve(POLICY, key_kind=kind, lifetime=Lifetime(5 * DAY, DAY))

    stored = issue(policy, NOW, (OTHER.pair.authority,))

    assert isinstance(plan(stored.data(), policy, NOW, None), Nothing)
    assert names_of(stored.pair.certificate) == set(policy.names)
    assert key_kind_of(stored.pair.certificate) is kind
    assert stored.pair.expires == NOW + 5 * DAY
    assert stored.authorities == (stored.pair.authority, OTHER.pair.authority)


def test_a_metallb_secret_is_served_on_as_long_as_it_lasts() -> None:
    """Its ca.key is of no use to us, and in nobody's way."""
    rsa = issue(attrs.evolve(POLICY, key_kind=KeyKind.RSA), NOW)
    policy = attrs.evolve(POLICY, key_kind=KeyKind.RSA)

    decided = plan({**rsa.data(), "ca.key": text(b"x")}, policy, NOW, None)

    assert isinstance(decided, Nothing)


def test_a_key_does_not_show_in_a_representation() -> None:
    assert "PRIVATE" not in repr(GOOD)


WRECKS: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [lambda _: "", lambda t: t[: len(t) // 2], lambda t: t[::-1], lambda t: t + "=", lambda t: t]
)


@settings(max_examples=200)
@given(
    wrecks=st.fixed_dictionaries(dict.fromkeys((CA_CRT, TLS_CRT, TLS_KEY), WRECKS)),
    replaced=st.dictionaries(
        st.sampled_from((CA_CRT, TLS_CRT, TLS_KEY)), st.binary(max_size=40).map(text)
    ),
    days=st.integers(-1, 100),
)
def test_any_data_ends_in_a_decision(
    wrecks: dict[str, Callable[[str], str]], replaced: Data, days: int
) -> None:
    data = {name: wrecks[name](value) for name, value in GOOD.data().items()} | replaced

    decided = plan(data, POLICY, NOW + days * DAY, GOOD.pair)

    made = decided.stored if isinstance(decided, Nothing | Trust) else None
    assert made is None or made.pair.certificate.public_key() == GOOD.pair.certificate.public_key()


def test_a_pair_ends_with_the_first_of_its_certificates() -> None:
    short = issue(attrs.evolve(POLICY, lifetime=Lifetime(DAY, DAY)), NOW)

    mixed = Pair(GOOD.pair.certificate, short.pair.authority, GOOD.pair.key)

    assert mixed.expires == NOW + DAY
    assert not mixed.is_valid(NOW + 2 * DAY)
