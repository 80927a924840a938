"""What the webhooks answer."""

from typing import Any

import pytest

from controller.webhooks.admission import Admission, Operation
from crds.decode import KINDS

Raw = dict[str, Any]
ADMISSION = Admission("metallb-system")


def raw(kind: str, name: str, namespace: str = "metallb-system", **spec: Any) -> Raw:
    """An object of one of our kinds."""
    version = next(iter(KINDS[kind]))
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


POOL = raw("IPAddressPool", "a", addresses=["192.0.2.0/24"])
PEER: Raw = {"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1"}


def test_a_good_object_is_allowed_in_silence() -> None:
    review = ADMISSION.review(Operation.CREATE, POOL, [])

    assert (review.is_allowed, review.warnings) == (True, ())


def test_an_object_outside_the_namespace_is_refused_when_made_but_not_when_changed() -> None:
    stray = raw("IPAddressPool", "a", "default", addresses=["192.0.2.0/24"])

    assert ADMISSION.review(Operation.CREATE, stray, []).refusals == (
        "IPAddressPool in namespace default, need metallb-system",
    )
    assert ADMISSION.review(Operation.UPDATE, stray, []).is_allowed


def test_the_object_under_change_does_not_stand_in_its_own_way() -> None:
    larger = raw("IPAddressPool", "a", addresses=["192.0.2.0/23"])

    assert ADMISSION.review(Operation.UPDATE, larger, [POOL]).is_allowed


def test_what_was_wrong_before_refuses_nobody() -> None:
    """Two pools overlap since before the webhook: a third one is still taken."""
    rival = raw("IPAddressPool", "b", addresses=["192.0.2.7/32"])
    third = raw("IPAddressPool", "c", addresses=["198.51.100.0/24"])

    assert not ADMISSION.review(Operation.CREATE, rival, [POOL]).is_allowed
    assert ADMISSION.review(Operation.CREATE, third, [POOL, rival]).is_allowed


def test_a_reference_to_what_is_not_there_yet_is_a_warning() -> None:
    review = ADMISSION.review(Operation.CREATE, raw("BGPPeer", "p", **PEER, bfdProfile="x"), [])

    assert review.is_allowed
    assert review.warnings == (
        "BGPPeer metallb-system/p: spec.bfdProfile: there is no BFDProfile x",
    )


def test_a_pools_edit_is_not_judged_by_advertisements() -> None:
    """As MetalLB: it would refuse the first half of a change of both."""
    ad = raw("BGPAdvertisement", "ad", aggregationLength=24)
    smaller = raw("IPAddressPool", "a", addresses=["192.0.2.0/28"])

    assert ADMISSION.review(Operation.UPDATE, smaller, [POOL, ad]).is_allowed
    assert not ADMISSION.review(Operation.UPDATE, ad, [smaller]).is_allowed


@pytest.mark.parametrize(("user", "is_allowed"), [("fast", False), ("slow", True)])
def test_a_profile_in_use_is_not_deleted(user: str, *, is_allowed: bool) -> None:
    profile = raw("BFDProfile", "fast")
    peer = raw("BGPPeer", "p", **PEER, bfdProfile=user)

    assert ADMISSION.review(Operation.DELETE, profile, [peer]).is_allowed is is_allowed


def test_disable_mp_is_warned_of_and_ends_the_look_at_a_new_peer() -> None:
    """MetalLB's own order: even the namespace is not looked at then."""
    peer = raw("BGPPeer", "p", "default", myASN=0, disableMP=True)

    review = ADMISSION.review(Operation.CREATE, peer, [])

    assert review.is_allowed
    assert review.warnings == ("spec.disableMP is deprecated and has no effect; remove it",)


def test_an_object_that_is_no_object_is_refused() -> None:
    review = ADMISSION.review(Operation.CREATE, {"kind": "IPAddressPool"}, [])

    assert not review.is_allowed
