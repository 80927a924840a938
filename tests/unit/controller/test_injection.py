"""CAs in the objects that tell the API server to call us."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.webhooks.certificates import Policy, fingerprint_of
from controller.webhooks.injection import bundles_of, ours_in, with_bundle
from controller.webhooks.issue import issue
from controller.webhooks.manifests import configuration, render
from crds.generate import definition

ROOT = Path(__file__).parents[3]
STORED = issue(Policy(("x",)), datetime(2026, 1, 1, tzinfo=UTC))
NAME = fingerprint_of(STORED.pair.authority)
CONVERTED = definition("BGPPeer", webhook_url="https://127.0.0.1:9443")


@pytest.mark.parametrize("raw", [configuration(), configuration(url="https://x:1"), CONVERTED])
def test_every_client_gets_the_bundle_once(raw: dict[str, Any]) -> None:
    changed = with_bundle(raw, STORED.bundle)

    assert changed is not None
    assert {frozenset({NAME})} == set(bundles_of(changed))
    assert ours_in(changed) == STORED.authorities
    assert with_bundle(changed, STORED.bundle) is None


def test_nothing_else_of_an_object_is_changed() -> None:
    changed = with_bundle(CONVERTED, STORED.bundle)

    assert changed is not None
    del changed["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"]
    assert changed == CONVERTED


def test_a_definition_that_no_webhook_converts_is_left_alone() -> None:
    plain = definition("BGPPeer")

    assert (with_bundle(plain, STORED.bundle), bundles_of(plain)) == (None, [])


@pytest.mark.parametrize("bundle", [None, "", "%%%", base64.b64encode(b"x").decode(), 7])
def test_a_bundle_that_cannot_be_read_trusts_nobody(bundle: Any) -> None:
    raw = {"webhooks": [{"clientConfig": {"caBundle": bundle}}]}

    assert bundles_of(raw) == [frozenset()]
    assert with_bundle(raw, STORED.bundle) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["webhooks", "clientConfig", "spec", "conversion", "strategy", "webhook"]
            ),
            inner,
        )
    ),
    max_leaves=10,
)


@given(raw=st.dictionaries(st.sampled_from(["webhooks", "spec"]), JSON))
def test_objects_of_any_shape_are_taken(raw: dict[str, Any]) -> None:
    changed = with_bundle(raw, STORED.bundle)

    assert (changed is None) == (bundles_of(raw) == [])


def test_the_manifest_is_what_the_code_says() -> None:
    page = ROOT / "deploy/webhooks/configuration.yaml"

    assert render() == page.read_text()
